"""A span for every call but those for health; behind `RequestIdInterceptor`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import grpc

from khulasa_server.observability.correlation import correlate, current
from khulasa_server.rpc.authorization import OPEN_TO_ALL
from khulasa_server.rpc.wrapping import WrappedContext, wrap

if TYPE_CHECKING:
    from typing import NoReturn

    from khulasa_server.observability.tracing import Call, Tracing
    from khulasa_server.rpc.wrapping import Behaviour, Context, Continuation, Handler, Metadata

_TRACEPARENT: Final = "traceparent"
_FAULTS: Final = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""Codes that OpenTelemetry's conventions take for the server's errors."""


class TracingInterceptor(grpc.aio.ServerInterceptor):
    """Makes spans.

    Args:
        tracing: where they go.
    """

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Run the handler inside a span; what nothing serves stays as it is."""
        handler = await continuation(handler_call_details)
        path = handler_call_details.method
        if handler is None or path.startswith(OPEN_TO_ALL):
            return handler
        metadata = handler_call_details.invocation_metadata
        traceparent = next((str(value) for key, value in metadata if key == _TRACEPARENT), "")
        return wrap(handler, _Traced(self._tracing, path, traceparent))


class _Traced:
    """Runs a behaviour inside a span."""

    def __init__(self, tracing: Tracing, path: str, traceparent: str) -> None:
        self._tracing = tracing
        self._service, _, self._method = path.removeprefix("/").partition("/")
        self._traceparent = traceparent

    async def __call__(self, inner: Behaviour, request: object, context: Context, /) -> object:
        called = (self._service, self._method, current().request_id, self._traceparent)
        with self._tracing.call(*called) as call:
            # So that log lines and the span find each other, whoever began the trace.
            correlate(replace(current(), trace_id=call.trace_id))
            traced = _TracedContext(context, call)
            try:
                response = await inner(request, traced.as_context())
            except asyncio.CancelledError:
                traced.ended(grpc.StatusCode.CANCELLED)
                raise
            except Exception:
                traced.ended(grpc.StatusCode.UNKNOWN)
                raise
            traced.ended(grpc.StatusCode.OK)
            return response


class _TracedContext(WrappedContext):
    """Sees the code that a handler aborts with."""

    def __init__(self, inner: Context, call: Call) -> None:
        super().__init__(inner)
        self._call = call
        self._ended = False

    def ended(self, code: grpc.StatusCode) -> None:
        """Note the outcome; what comes after the first is an echo of it."""
        if not self._ended:
            self._ended = True
            self._call.finish(code.value[0], failed=code in _FAULTS)

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()
    ) -> NoReturn:
        self.ended(code)
        await self._inner.abort(code, details, trailing_metadata)
