"""Bulk streams: every item answered once, as it finishes, with a bounded look-ahead."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from khulasa_server.errors import Reason, UnavailableError
from khulasa_server.observability.correlation import current
from khulasa_server.rpc.handlers import report
from khulasa_server.rpc.requests import check_id
from khulasa_server.rpc.status import to_status

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator

    from google.rpc import status_pb2


WINDOW: Final = 32
"""Items read and not yet answered; beyond it the server stops reading."""
STALL_SECONDS: Final = 60.0
"""A caller that takes no answer for so long is gone or stuck: the call ends."""
SHUTDOWN_RETRY_SECONDS: Final = 0.5
"""Another replica, or this one started again, takes the rest."""

Answer = TypeVar("Answer")
Item = TypeVar("Item", bound="Identified")


class Identified(Protocol):
    """What items of both bulk streams have."""

    id: str


@dataclass(frozen=True, slots=True)
class BulkDesk(Generic[Item, Answer]):
    """Turns a stream of encoded items into one answer for each.

    Args:
        parse: decodes an item.
        refuse: makes the answer that carries an error.
        serve: answers one item, or raises.
        draining: set once the server stops; no more items are read then.
    """

    parse: Callable[[bytes], Item]
    refuse: Callable[[str, status_pb2.Status], Answer]
    serve: Callable[[Item], Awaitable[Answer]]
    draining: asyncio.Event
    in_flight: set[str] = field(default_factory=set)

    async def answers(self, requests: AsyncIterator[bytes]) -> AsyncGenerator[Answer, None]:
        """Answers in the order they finish.

        Raises:
            UnavailableError: SHUTTING_DOWN, after every item that was read has its answer.
        """
        read = until_set(requests, self.draining)
        async with aclosing(end_if_stalled(answer_all(read, self._answer))) as answers:
            async for answer in answers:
                yield answer
        if self.draining.is_set():
            raise UnavailableError(
                Reason.SHUTTING_DOWN,
                "the server is stopping; send the items without an answer again",
                retry_after=SHUTDOWN_RETRY_SECONDS,
            )

    async def _answer(self, data: bytes) -> Answer:
        identity = ""
        try:
            item = self.parse(data)
            identity = item.id
            check_id(identity, self.in_flight)
        except Exception as error:  # noqa: BLE001 - the table decides what callers see
            return self._refused(identity, error)
        self.in_flight.add(identity)
        try:
            return await self.serve(item)
        except Exception as error:  # noqa: BLE001 - the same
            return self._refused(identity, error)
        finally:
            self.in_flight.discard(identity)

    def _refused(self, identity: str, error: Exception) -> Answer:
        report(error)
        return self.refuse(identity, to_status(error, current().request_id))


async def until_set(
    requests: AsyncIterator[bytes], stop: asyncio.Event
) -> AsyncGenerator[bytes, None]:
    """The same items, until `stop` is set."""
    stopping = asyncio.ensure_future(stop.wait())
    try:
        while True:
            reading = asyncio.ensure_future(_next(requests))
            await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                reading.cancel()
                return
            if (data := reading.result()) is None:
                return
            yield data
    finally:
        stopping.cancel()


async def _next(requests: AsyncIterator[bytes]) -> bytes | None:
    return await anext(requests, None)


async def answer_all(
    requests: AsyncIterator[bytes],
    answer: Callable[[bytes], Awaitable[Answer]],
    *,
    window: int = WINDOW,
) -> AsyncGenerator[Answer, None]:
    """Answer each item of a stream, in the order they finish.

    Back-pressure is in the slots: one is taken before an item is read and given back when its
    answer has been written, so a slow engine or a slow reader stops the reading. `answer` turns
    its own failures into answers.
    """
    slots = asyncio.Semaphore(window)
    answers: asyncio.Queue[Answer | None] = asyncio.Queue()
    feeder = asyncio.create_task(_feed(requests, answer, slots, answers))
    feeder.add_done_callback(lambda _: answers.put_nowait(None))
    try:
        while (ready := await answers.get()) is not None:
            yield ready
            slots.release()
        await feeder
    finally:
        feeder.cancel()
        await asyncio.gather(feeder, return_exceptions=True)


async def _feed(
    requests: AsyncIterator[bytes],
    answer: Callable[[bytes], Awaitable[Answer]],
    slots: asyncio.Semaphore,
    answers: asyncio.Queue[Answer | None],
) -> None:
    async def settle(data: bytes) -> None:
        answers.put_nowait(await answer(data))

    async with asyncio.TaskGroup() as group:
        await slots.acquire()
        async for data in requests:
            group.create_task(settle(data))
            await slots.acquire()


async def end_if_stalled(
    answers: AsyncGenerator[Answer, None], seconds: float = STALL_SECONDS
) -> AsyncGenerator[Answer, None]:
    """The same answers; the task is cancelled when one stays unwritten for `seconds`."""
    async with aclosing(answers):
        async for item in answers:
            with _watchdog(seconds):
                yield item


@contextmanager
def _watchdog(seconds: float) -> Iterator[None]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a stream is written by a task")
    alarm = asyncio.get_running_loop().call_later(seconds, task.cancel, "write stalled")
    try:
        yield
    finally:
        alarm.cancel()
