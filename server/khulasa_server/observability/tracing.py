"""Spans over OTLP, where an operator asked for them.

OpenTelemetry is an extra: without an endpoint it is not imported. A span says what was called,
how it ended and how long it took, never what was said.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

SERVICE: Final = "khulasa-server"
_PATH: Final = "/v1/traces"
_TIMEOUT_SECONDS: Final = 5
"""For one export, and so about as long as a collector that does not answer holds up the stop."""


class Call:
    """The span of one call."""

    def __init__(self, span: Span) -> None:
        self._span = span

    @property
    def trace_id(self) -> str:
        """32 lower-case hexadecimal digits."""
        return f"{self._span.get_span_context().trace_id:032x}"

    def finish(self, code: int, *, failed: bool) -> None:
        """How it ended: its gRPC code, and whether that is the server's fault; the last counts."""
        from opentelemetry.trace import StatusCode  # noqa: PLC0415 - an extra

        self._span.set_attribute("rpc.grpc.status_code", code)
        self._span.set_status(StatusCode.ERROR if failed else StatusCode.UNSET)


class Tracing:
    """Sends spans to a collector, in batches, from a thread of its own; drops what is too much.

    Args:
        endpoint: base address of an OTLP/HTTP collector, e.g. `http://collector:4318`.
        version: of the server.

    Raises:
        ValueError: the extra is not installed, or this is no such address.
    """

    def __init__(self, endpoint: str, version: str) -> None:
        if not endpoint.startswith(("http://", "https://")):
            raise ValueError("KHULASA_OTLP_ENDPOINT is no address such as http://collector:4318")
        self._provider = _provider(endpoint.rstrip("/") + _PATH, version)
        self._tracer = self._provider.get_tracer(SERVICE, version)

    @contextmanager
    def call(self, service: str, method: str, request_id: str, traceparent: str) -> Iterator[Call]:
        """The span of a call, a child of the caller's if it sent a `traceparent`."""
        from opentelemetry.trace import SpanKind  # noqa: PLC0415 - an extra
        from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415 - an extra

        parent = tracecontext.TraceContextTextMapPropagator().extract({"traceparent": traceparent})
        attributes = {
            "rpc.system": "grpc",
            "rpc.service": service,
            "rpc.method": method,
            "khulasa.request_id": request_id,
        }
        with self._tracer.start_as_current_span(
            f"{service}/{method}",
            parent,
            SpanKind.SERVER,
            attributes,
            # The message of an exception may hold a text.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield Call(span)

    def close(self) -> None:
        """Send what is left; blocks for seconds if the collector does not answer."""
        self._provider.shutdown()


def _provider(url: str, version: str) -> TracerProvider:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ValueError(
            "KHULASA_OTLP_ENDPOINT needs the extra `tracing`: pip install 'khulasa-server[tracing]'"
        ) from error
    resource = Resource.create({"service.name": SERVICE, "service.version": version})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(url, timeout=_TIMEOUT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
