"""Callers that come in masses, leave in masses, or take nothing of what they asked for."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

import grpc
import pytest
from tests.faults.history import expected, sentence
from tests.faults.servers import replica

from khulasa.v1 import translation_pb2, translation_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.faults.servers import Replica

    Stub = translation_pb2_grpc.TranslationServiceAsyncStub

CANCELLED: Final = 100_000
WARM: Final = 20_000
"""Cancelled calls after which memory should be as large as it gets."""
AT_ONCE: Final = 200
CONNECTIONS: Final = 1_000
UNREAD: Final = 40
WATCHED_SECONDS: Final = 10


async def assert_well(stub: Stub) -> None:
    """The next request is answered, and rightly."""
    request = translation_pb2.TranslateRequest(contents=[sentence(7)])
    answer = await stub.Translate(request, timeout=30)
    assert answer.translations[0].text == expected(sentence(7))


async def leave(stub: Stub, number: int, dice: random.Random) -> bool:
    """Hang up on a call after a moment; True: it was not answered before."""
    request = translation_pb2.TranslateRequest(contents=[sentence(number)] * 3)
    call = stub.Translate(request, timeout=30)
    await asyncio.sleep(dice.random() * 0.005)
    call.cancel()
    try:
        await call
    except (asyncio.CancelledError, grpc.aio.AioRpcError):
        return True
    return False


async def flood(stub: Stub, numbers: range) -> int:
    """Calls that are all hung up on, some at once; how many were not answered before."""
    dice, waiting, left = random.Random(numbers.start), iter(numbers), 0  # noqa: S311 - repeatable

    async def caller() -> int:
        return sum([await leave(stub, number, dice) for number in waiting])

    for count in await asyncio.gather(*(caller() for _ in range(AT_ONCE))):
        left += count
    return left


@pytest.mark.timeout(900)
async def test_a_hundred_thousand_cancelled_calls_leave_nothing_behind() -> None:
    """Memory, tasks and queues are where they were after the first fifth."""
    with replica() as server:
        async with grpc.aio.insecure_channel(server.grpc) as channel:
            stub: Stub = translation_pb2_grpc.TranslationServiceStub(channel)
            await assert_well(stub)
            fresh = server.await_empty()
            left = await flood(stub, range(WARM))
            server.await_empty()
            warm = server.rss_mb
            left += await flood(stub, range(WARM, CANCELLED))
            held = server.await_empty()
            grown = server.rss_mb - warm
            await assert_well(stub)
            print(f"{left} of {CANCELLED} cancelled in flight; {grown:+.1f} MB after {WARM}")  # noqa: T201
        assert left > CANCELLED / 2, "most were answered before they were cancelled"
        assert held["tasks"] <= fresh["tasks"] + 2
        assert grown < 20
        server.end()


async def test_a_thousand_idle_connections_cost_little_and_stop_nobody() -> None:
    """Each takes some memory and no more, calls go on beside them, and all can leave."""
    with replica(max_connections=CONNECTIONS + 100) as server:
        before = server.rss_mb
        own = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.aio.insecure_channel(server.grpc, options=own) for _ in range(CONNECTIONS)]
        async with asyncio.timeout(120):
            await asyncio.gather(*(each.channel_ready() for each in channels))
        each_kb = (server.rss_mb - before) / CONNECTIONS * 1_000
        async with grpc.aio.insecure_channel(server.grpc, options=own) as channel:
            stub: Stub = translation_pb2_grpc.TranslationServiceStub(channel)
            for _ in range(20):
                await assert_well(stub)
        print(f"{CONNECTIONS} idle connections: {each_kb:.0f} kB each")  # noqa: T201 - the figure
        assert each_kb < 200
        await asyncio.gather(*(each.close() for each in channels))
        server.await_empty()
        server.end()


async def unread_bulk(stub: Stub) -> None:
    """Send items for as long as the server takes them, and read no answer."""

    async def items() -> AsyncIterator[translation_pb2.BulkTranslateRequest]:
        for number in range(1_000_000):
            yield translation_pb2.BulkTranslateRequest(id=str(number), content=sentence(number))

    call = stub.BulkTranslate(items())
    try:
        await call.code()
    finally:
        call.cancel()


async def unread_stream(stub: Stub, number: int) -> None:
    """Ask for a long text's segments, and read none."""
    text = "\n".join(f"{sentence(number * 1_000 + line)}." for line in range(1_000))
    call = stub.StreamTranslate(translation_pb2.StreamTranslateRequest(text=text), timeout=120)
    try:
        await call.code()
    finally:
        call.cancel()


async def grown_while_watched(server: Replica) -> float:
    """How many MB a server grows by in some seconds."""
    before = server.rss_mb
    await asyncio.sleep(WATCHED_SECONDS)
    return server.rss_mb - before


async def test_callers_that_never_read_hold_no_memory_and_nobody_up() -> None:
    """Streams and bulk calls that nobody reads: memory is flat, others are served, all is freed."""
    with replica() as server:
        async with (
            grpc.aio.insecure_channel(server.grpc) as theirs,
            grpc.aio.insecure_channel(
                server.grpc, options=[("grpc.use_local_subchannel_pool", 1)]
            ) as ours,
        ):
            lazy: Stub = translation_pb2_grpc.TranslationServiceStub(theirs)
            stub: Stub = translation_pb2_grpc.TranslationServiceStub(ours)
            await assert_well(stub)
            start = server.rss_mb
            calls = [asyncio.create_task(unread_bulk(lazy)) for _ in range(UNREAD // 2)]
            calls += [asyncio.create_task(unread_stream(lazy, each)) for each in range(UNREAD // 2)]
            await asyncio.sleep(WATCHED_SECONDS)
            taken = server.rss_mb - start
            grown = await grown_while_watched(server)
            await assert_well(stub)
            print(f"{UNREAD} unread streams: {taken:.1f} MB, then {grown:+.1f} MB")  # noqa: T201
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            server.await_empty()
        assert taken < 60
        assert grown < 5
        server.end()
