"""Calls that the server has no more time for are told so, by us and not by gRPC."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from khulasa.v1 import summarization_pb2, translation_pb2
from khulasa_server.rpc.ending import RETRY_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from tests.integration.conftest import Gate, Service

    Serve = Callable[..., AbstractAsyncContextManager[Service]]

SENTENCE: Final = "ذهب الولد إلى المدرسة"


def held(service: Service) -> Mapping[str, Awaitable[Any]]:
    """A call of each kind, none of which gets an answer while the gate is closed."""
    translation: Any = service.translation
    summarization: Any = service.summarization
    stream = translation_pb2.StreamTranslateRequest(text=SENTENCE)
    item = translation_pb2.BulkTranslateRequest(id="1", content=SENTENCE)
    text = summarization_pb2.SummarizeRequest(text=SENTENCE)
    return {
        "unary": translation.Translate(
            translation_pb2.TranslateRequest(contents=[SENTENCE]), timeout=60
        ),
        "summary": summarization.Summarize(text, timeout=60),
        "stream": translation.StreamTranslate(stream, timeout=60).read(),
        "bulk": translation.BulkTranslate(iter([item]), timeout=60).read(),
    }


@asynccontextmanager
async def draining(service: Service, gate: Gate) -> AsyncIterator[Mapping[str, Awaitable[Any]]]:
    """Calls on a server that drains, while its engines hang."""
    calls = {name: asyncio.ensure_future(call) for name, call in held(service).items()}
    while service.statistics().requests < len(calls):
        await service.server.scheduler.change()
    service.server.request_stop()
    drain = asyncio.create_task(service.server.drain())
    try:
        yield calls
        async with asyncio.timeout(30):
            await drain
    finally:
        gate.opened.set()


async def told(service: Service, calls: Mapping[str, Awaitable[Any]]) -> None:
    """Every call ends with a status of ours that says when to try again."""
    for call in calls.values():
        fault = await service.refused(call, "SHUTTING_DOWN", code="UNAVAILABLE")
        assert fault.retry_seconds == RETRY_SECONDS
        assert fault.trailers["grpc-retry-pushback-ms"] == str(round(1000 * RETRY_SECONDS))


async def test_what_is_left_is_answered_before_the_grace_ends(
    serve: Serve, script: Callable[..., object], gate: Gate
) -> None:
    """When the grace is nearly over, calls of every kind get UNAVAILABLE with RetryInfo."""
    script(before=gate.hold)
    async with serve(drain_grace=1.0) as service, draining(service, gate) as calls:
        await told(service, calls)


async def test_a_second_signal_answers_what_is_left(
    serve: Serve, script: Callable[..., object], gate: Gate
) -> None:
    """Told to hurry, the server does not wait for the grace, and still says why."""
    script(before=gate.hold)
    async with serve(drain_grace=600.0) as service, draining(service, gate) as calls:
        service.server.request_stop()
        await told(service, calls)


async def test_a_drain_without_calls_is_short(serve: Serve) -> None:
    """Nobody waits for a grace that no call needs."""
    async with serve(drain_grace=600.0) as service, asyncio.timeout(30):
        await service.assert_well()
        await service.channel.close()
        await service.server.drain()
