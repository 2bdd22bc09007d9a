"""Spans, as a collector receives them."""

from __future__ import annotations

import gzip
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from khulasa.v1 import translation_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from tests.integration.conftest import Service

    Serve = Callable[..., AbstractAsyncContextManager[Service]]

SENTENCE: Final = "ذهب الولد إلى المدرسة"
TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT: Final = "00f067aa0ba902b7"
TRACEPARENT: Final = (("traceparent", f"00-{TRACE}-{PARENT}-01"), ("x-request-id", "mine"))
TRANSLATION: Final = "khulasa.v1.TranslationService"


class Collector:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.address = ""
        self.received: list[bytes] = []

    async def receive(self, request: web.Request) -> web.Response:
        """One export."""
        data = await request.read()
        packed = data.startswith(b"\x1f\x8b")
        self.received.append(gzip.decompress(data) if packed else data)
        return web.Response()

    def spans(self) -> dict[str, Any]:
        """By name."""
        return {
            span.name: span
            for data in self.received
            for resource in ExportTraceServiceRequest.FromString(data).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A collector on a free port."""
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    collector.address = f"http://{host}:{port}"
    try:
        yield collector
    finally:
        await runner.cleanup()


def told(span: Any) -> dict[str, Any]:  # noqa: ANN401 - a span of the wire
    """Attributes of a span."""
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


async def test_calls_are_spans(serve: Serve) -> None:
    """By its stop a server has sent a span for each call: whose child, how it ended, no text."""
    async with collecting() as collector:
        async with serve(otlp_endpoint=collector.address) as service:
            call: Any = service.translation
            request = translation_pb2.TranslateRequest(contents=[SENTENCE])
            await call.Translate(request, timeout=30, metadata=TRACEPARENT)
            item = translation_pb2.BulkTranslateRequest(id="1", content=SENTENCE)
            async for _ in call.BulkTranslate(iter([item]), timeout=30):
                pass
            with pytest.raises(grpc.aio.AioRpcError):
                await service.raw("TranslationService/StreamTranslate", b"\xff")
            assert await service.health() == "SERVING"
        spans = collector.spans()
    assert set(spans) == {
        f"{TRANSLATION}/{name}" for name in ("Translate", "BulkTranslate", "StreamTranslate")
    }
    span = spans[f"{TRANSLATION}/Translate"]
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert told(span) == {
        "rpc.system": "grpc",
        "rpc.service": TRANSLATION,
        "rpc.method": "Translate",
        "rpc.grpc.status_code": 0,
        "khulasa.request_id": "mine",
    }
    assert not spans[f"{TRANSLATION}/BulkTranslate"].parent_span_id
    refused = spans[f"{TRANSLATION}/StreamTranslate"]
    assert told(refused)["rpc.grpc.status_code"] == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert refused.status.code == 0, "the caller's fault"
    assert all(SENTENCE.encode() not in data for data in collector.received)


async def test_a_defect_is_an_error_of_its_span(
    serve: Serve, script: Callable[..., object]
) -> None:
    """What is our fault is marked as such, without the message of the exception."""
    script(poison=frozenset({"الولد"}))
    async with collecting() as collector:
        async with serve(otlp_endpoint=collector.address) as service:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await service.translate(SENTENCE)
        span = collector.spans()[f"{TRANSLATION}/Translate"]
    assert told(span)["rpc.grpc.status_code"] == caught.value.code().value[0]
    assert span.status.code == 2
    assert not span.status.message
    assert not span.events


async def test_a_missing_extra_is_a_sentence(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for traces without the extra is told what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ValueError, match=r"khulasa-server\[tracing\]"):
        async with serve(otlp_endpoint="http://127.0.0.1:1"):
            pytest.fail("it started")


async def test_a_wrong_address_is_a_sentence(serve: Serve) -> None:
    """The endpoint is a URL."""
    with pytest.raises(ValueError, match="KHULASA_OTLP_ENDPOINT"):
        async with serve(otlp_endpoint="collector:4317"):
            pytest.fail("it started")
