"""A caller that goes away frees its place, whenever it goes."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest

from khulasa.v1 import summarization_pb2, translation_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from tests.integration.conftest import Gate, Service

    Serve = Callable[..., AbstractAsyncContextManager[Service]]

TEXT: Final = "\n".join(f"كتاب {'ا' * (number % 50)}" for number in range(40))


async def translate(service: Service) -> None:
    """A unary call."""
    await service.translate(TEXT, TEXT[::-1])


async def stream(service: Service) -> None:
    """A stream of segments."""
    request = translation_pb2.StreamTranslateRequest(text=TEXT)
    async for _ in service.translation.StreamTranslate(request, timeout=60):
        pass


async def summarize(service: Service) -> None:
    """A summary of summaries with a translation."""
    request = summarization_pb2.SummarizeRequest(
        text=TEXT,
        target_language_code="en",
        long_document_strategy=summarization_pb2.LONG_DOCUMENT_STRATEGY_HIERARCHICAL,
    )
    await service.summarization.Summarize(request, timeout=60)


async def bulk(service: Service) -> None:
    """Items that never end."""

    async def items() -> AsyncIterator[translation_pb2.BulkTranslateRequest]:
        number = 0
        while True:
            number += 1
            yield translation_pb2.BulkTranslateRequest(id=f"{number}", content=TEXT[: number * 40])

    async for _ in service.translation.BulkTranslate(items()):
        pass


KINDS: Final = (translate, stream, summarize, bulk)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancelled_call_frees_its_place(
    script: Callable[..., object],
    serve: Serve,
    gate: Gate,
    kind: Callable[[Service], Any],
) -> None:
    """What waits is dropped at once, what runs is not waited for, and nothing is outstanding."""
    script(before=gate.hold)
    async with serve(cache_bytes=0) as service:
        call = asyncio.create_task(kind(service))
        await asyncio.to_thread(gate.wait)
        assert service.statistics().requests >= 1
        call.cancel()
        async with asyncio.timeout(30):
            while service.statistics().requests:
                await service.server.scheduler.change()
        assert service.statistics().outstanding == 0
        gate.opened.set()
        await service.idle()
        await service.assert_well()


@pytest.mark.parametrize("seed", range(2))
async def test_every_segment_is_settled_once_whenever_callers_leave(
    script: Callable[..., object],
    serve: Serve,
    gate: Gate,
    seed: int,
    logged: list[dict[str, Any]],
) -> None:
    """Calls of all kinds that leave at any moment: the books balance and nothing failed inside.

    One leaves while its batch is held and one stays to its end, so that both are among them.
    """
    dice = random.Random(seed)  # noqa: S311 - makes a test repeatable
    forgotten: list[str] = []
    script(before=gate.hold)
    async with serve(cache_bytes=0) as service:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: forgotten.append(repr(context)))
        held = asyncio.create_task(dice.choice(KINDS)(service))
        await asyncio.to_thread(gate.wait)
        held.cancel()
        await asyncio.wait([held])
        gate.opened.set()
        await asyncio.gather(*(leave(dice.choice(KINDS), service, dice) for _ in range(30)))
        await translate(service)
        async with asyncio.timeout(30):
            await service.idle()
        books = service.statistics()
        assert books.submitted == sum(books.settled.values())
        assert books.settled["completed"] > 0
        assert books.settled["cancelled"] > 0
        assert books.outstanding == books.requests == books.running == 0
        await service.assert_well()
    assert not [line for line in logged if line["log_level"] in {"error", "critical"}]
    # The library's own client leaves the task that reads a cancelled stream's items pending.
    assert not [each for each in forgotten if "_consume_request_iterator" not in each]


async def leave(kind: Callable[[Service], Any], service: Service, dice: random.Random) -> None:
    """Start a call and hang up after a number of turns of the loop."""
    call = asyncio.create_task(kind(service))
    for _ in range(dice.choice([0, 1, 10, 50, 100, 200, 400])):
        await asyncio.sleep(0)
    call.cancel()
    ended: object = (await asyncio.gather(call, return_exceptions=True))[0]
    if isinstance(ended, grpc.aio.AioRpcError):
        assert ended.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    else:
        assert ended is None or isinstance(ended, asyncio.CancelledError)
