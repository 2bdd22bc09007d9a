"""Bulk streams apart from the network: one answer an item, bounded, in the order they finish."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from google.rpc import code_pb2, status_pb2

from khulasa_server.errors import NotFoundError, Reason, UnavailableError
from khulasa_server.rpc.bulk import BulkDesk, answer_all, end_if_stalled, until_set

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator


@dataclass
class Source:
    """Items as they are read; `read` counts them."""

    count: int
    read: int = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for number in range(self.count):
            self.read += 1
            yield b"%d" % number
            await asyncio.sleep(0)


@dataclass
class Worker:
    """Answers items in the order they are let go."""

    waiting: dict[bytes, asyncio.Event] = field(default_factory=dict)
    cancelled: list[bytes] = field(default_factory=list)

    async def answer(self, data: bytes) -> bytes:
        """Wait to be let go."""
        event = self.waiting.setdefault(data, asyncio.Event())
        try:
            await event.wait()
        except asyncio.CancelledError:
            self.cancelled.append(data)
            raise
        return b"answer to " + data

    def let_go(self, data: bytes) -> None:
        """Answer one."""
        self.waiting.setdefault(data, asyncio.Event()).set()


async def settled() -> None:
    """Let everything happen that can happen by itself."""
    for _ in range(200):
        await asyncio.sleep(0)


async def test_answers_come_as_they_finish() -> None:
    """Each item has one answer, the last one read may be the first one answered."""
    worker = Worker()
    answers = answer_all(aiter(Source(5)), worker.answer)
    for number in (4, 0, 2, 1, 3):
        worker.let_go(b"%d" % number)
        assert await anext(answers) == b"answer to %d" % number
    assert [each async for each in answers] == []


async def test_no_more_than_a_window_is_read() -> None:
    """Reading goes on when an answer was taken, not when it is ready."""
    worker, source = Worker(), Source(100)
    answers = answer_all(aiter(source), worker.answer, window=7)
    first = asyncio.ensure_future(anext(answers))
    await settled()
    assert source.read == 7
    worker.let_go(b"3")
    assert await first == b"answer to 3"
    await settled()
    assert source.read == 7
    second = asyncio.ensure_future(anext(answers))
    await settled()
    assert source.read == 8
    for number in range(100):
        worker.let_go(b"%d" % number)
    rest = [await second] + [each async for each in answers]
    assert len(rest) == len(set(rest)) == 99
    assert source.read == 100


async def test_leaving_cancels_what_is_under_way() -> None:
    """A caller that goes away leaves no work behind."""
    worker = Worker()
    answers = answer_all(aiter(Source(5)), worker.answer)
    worker.let_go(b"0")
    await anext(answers)
    await settled()
    await answers.aclose()
    assert sorted(worker.cancelled) == [b"1", b"2", b"3", b"4"]


async def test_a_broken_source_ends_the_stream() -> None:
    """What goes wrong in reading is raised, not swallowed."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"0"
        raise LookupError

    worker = Worker()
    worker.let_go(b"0")
    with pytest.raises(ExceptionGroup) as caught:
        async for _ in answer_all(broken(), worker.answer):
            pass
    assert caught.value.subgroup(LookupError) is not None


async def test_reading_stops_at_the_drain() -> None:
    """Once the event is set no further item is taken, also from a caller that sends none."""
    stop, queue = asyncio.Event(), asyncio.Queue[bytes]()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield await queue.get()

    read = until_set(endless(), stop)
    queue.put_nowait(b"one")
    assert await anext(read) == b"one"
    waiting = asyncio.ensure_future(anext(read, None))
    await settled()
    stop.set()
    assert await waiting is None


async def test_a_stalled_reader_is_cut_off() -> None:
    """A caller that takes no answer for too long is gone; one that does is left alone."""

    async def two() -> AsyncGenerator[int, None]:
        yield 1
        yield 2

    assert [each async for each in end_if_stalled(two(), 5.0)] == [1, 2]

    async def stall() -> None:
        async for _ in end_if_stalled(two(), 0.01):
            await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError, match="write stalled"):
        await stall()


@dataclass
class Item:
    """A decoded item."""

    id: str


async def serve(item: Item) -> str:
    """Answers, or raises what the id says."""
    if item.id == "missing":
        raise NotFoundError(Reason.MODEL_NOT_FOUND, "no model")
    if item.id == "defect":
        raise KeyError("a text")
    return f"served {item.id}"


def refuse(name: str, error: status_pb2.Status) -> str:
    """An error as a word."""
    return f"{name}: {code_pb2.Code.Name(error.code)}"


def desk(draining: asyncio.Event) -> BulkDesk[Item, str]:
    """Of items that are their ids."""
    return BulkDesk(lambda data: Item(data.decode()), refuse, serve, draining)


async def items(*names: bytes) -> AsyncIterator[bytes]:
    """A caller's items."""
    for name in names:
        yield name


async def test_a_failing_item_fails_alone() -> None:
    """Refusals and defects are answers; bytes that do not decode have no id."""
    answers = desk(asyncio.Event()).answers(items(b"a", b"missing", b"", b"defect", b"\xff", b"b"))
    assert sorted([each async for each in answers]) == [
        ": INTERNAL",
        ": INVALID_ARGUMENT",
        "defect: INTERNAL",
        "missing: NOT_FOUND",
        "served a",
        "served b",
    ]


async def test_an_id_is_free_again_once_answered() -> None:
    """Names are unique among what is in flight, not for ever."""
    busy = desk(asyncio.Event())
    answers = busy.answers(items(b"a", b"b"))
    assert await anext(answers) in {"served a", "served b"}
    assert [each async for each in answers]
    assert busy.in_flight == set()
    assert [each async for each in busy.answers(items(b"a"))] == ["served a"]


async def test_a_draining_stream_says_so_at_its_end() -> None:
    """After the answers to what was read comes SHUTTING_DOWN, with a time to come back."""
    draining = asyncio.Event()
    draining.set()
    with pytest.raises(UnavailableError) as caught:
        async for _ in desk(draining).answers(items(b"a")):
            pass
    assert caught.value.reason is Reason.SHUTTING_DOWN
    assert caught.value.retry_after is not None
