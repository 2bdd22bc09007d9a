"""A bulk call with asyncio: one task takes the caller's items, one reads the answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from khulasa_client.bulk import GOODBYE_SECONDS, WINDOW, Item, Session, as_item
from khulasa_client.failures import from_cancellation, from_rpc_error
from khulasa_client.values import BulkSummary, BulkTranslation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from khulasa_client.errors import KhulasaError

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)
R = TypeVar("R", bound=BulkTranslation | BulkSummary)


class AsyncBulkStream(Generic[Q, A]):
    """One stream to the server.

    Args:
        start: begins the call with an iterator of requests.
        request_id: the id that it is sent with.
        release: is awaited once, when the call is over.
    """

    def __init__(
        self,
        start: Callable[[AsyncIterator[Q]], Any],
        request_id: str,
        release: Callable[[], Awaitable[None]],
    ) -> None:
        self._outbox: asyncio.Queue[Q | None] = asyncio.Queue()
        self._request_id = request_id
        self._release = release
        self._call = start(self._requests())

    def send(self, request: Q) -> None:
        """Send, in the background."""
        self._outbox.put_nowait(request)

    def end(self) -> None:
        """Say that nothing more will be sent."""
        self._outbox.put_nowait(None)

    def cancel(self) -> None:
        """End both directions now."""
        self._call.cancel()

    async def read(self, report: Callable[[A], None]) -> KhulasaError | None:
        """Report every answer until the stream is over; returns why, None: in good order."""
        try:
            async for answer in self._call:
                report(answer)
        except grpc.RpcError as error:
            return from_rpc_error(error, self._request_id)
        except asyncio.CancelledError:
            return from_cancellation(self._request_id)
        finally:
            self._call.cancel()
            await self._release()
        return None

    async def _requests(self) -> AsyncIterator[Q]:
        while (request := await self._outbox.get()) is not None:
            yield request


class AsyncBulkCall(Generic[Q, A, R]):
    """Drives a session, in the order things are reported.

    Args:
        session: decides.
        open_stream: opens a stream.
    """

    def __init__(
        self,
        session: Session[Q, A, R],
        open_stream: Callable[[], Awaitable[AsyncBulkStream[Q, A]]],
    ) -> None:
        self._session = session
        self._open_stream = open_stream
        self._events: asyncio.Queue[Callable[[], None]] = asyncio.Queue()
        self._slots = asyncio.Semaphore(WINDOW)
        self._stream: AsyncBulkStream[Q, A] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._reader: asyncio.Task[None] | None = None

    async def run(self, items: Iterable[Item] | AsyncIterable[Item]) -> AsyncIterator[R]:
        """Results as they come; items are taken as results leave room for them."""
        self._spawn(self._feed(items))
        try:
            while True:
                while self._session.results:
                    yield self._session.results.popleft()
                    self._slots.release()
                if self._session.finished:
                    break
                await self._step()
            await self._part()
        finally:
            await self._clean_up()

    async def _step(self) -> None:
        """Send what is to be sent, then wait for the next thing that happens."""
        if self._session.wants_stream:
            await self._open()
        if self._stream is not None:
            for request in self._session.outgoing():
                self._stream.send(request)
        try:
            event = await asyncio.wait_for(self._events.get(), self._session.wait())
        except TimeoutError:
            self._check()
        else:
            event()

    async def _open(self) -> None:
        self._stream = await self._open_stream()
        self._session.opened()
        self._reader = self._spawn(self._read(self._stream))

    def _check(self) -> None:
        if self._session.stalled and self._stream is not None:
            stream, self._stream = self._stream, None
            stream.cancel()
            self._session.silent()

    async def _part(self) -> None:
        """Let the server end the stream in good order."""
        if self._stream is not None and self._reader is not None:
            self._stream.end()
            await asyncio.wait([self._reader], timeout=GOODBYE_SECONDS)

    async def _clean_up(self) -> None:
        if self._stream is not None:
            self._stream.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read(self, stream: AsyncBulkStream[Q, A]) -> None:
        """Report what comes on a stream."""
        error = await stream.read(
            lambda answer: self._events.put_nowait(partial(self._session.answer, answer))
        )
        self._events.put_nowait(partial(self._closed, stream, error))

    def _closed(self, stream: AsyncBulkStream[Q, A], error: KhulasaError | None) -> None:
        if stream is self._stream:  # else it was given up before
            self._stream = None
            self._session.closed(error)

    async def _feed(self, items: Iterable[Item] | AsyncIterable[Item]) -> None:
        """Take the caller's items while there is room."""
        try:
            await self._slots.acquire()
            index = 0
            async for item in _iterate(items):
                self._events.put_nowait(partial(self._session.item, as_item(index, item)))
                index += 1
                await self._slots.acquire()
        except Exception as error:  # noqa: BLE001 - it is raised where the results are read
            self._events.put_nowait(partial(_raise, error))
        else:
            self._events.put_nowait(self._session.ended)

    def _spawn(self, work: Any) -> asyncio.Task[None]:  # noqa: ANN401 - any coroutine
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _iterate(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncIterator[Item]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


def _raise(error: Exception) -> None:
    raise error
