"""A bulk call with threads: one reads the caller's items, one the answers of each stream."""

from __future__ import annotations

import itertools
import queue
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from khulasa_client.bulk import GOODBYE_SECONDS, WINDOW, Item, Session, as_item
from khulasa_client.failures import from_rpc_error
from khulasa_client.values import BulkSummary, BulkTranslation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from khulasa_client.errors import KhulasaError

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)
R = TypeVar("R", bound=BulkTranslation | BulkSummary)


class BulkStream(Generic[Q, A]):
    """One stream to the server.

    Args:
        start: begins the call with an iterator of requests.
        request_id: the id that it is sent with.
        release: is called once, when the call is over.
    """

    def __init__(
        self, start: Callable[[Iterator[Q]], Any], request_id: str, release: Callable[[], None]
    ) -> None:
        self._outbox: queue.SimpleQueue[Q | None] = queue.SimpleQueue()
        self._request_id = request_id
        self._release = release
        self._call = start(iter(self._outbox.get, None))
        self.over = threading.Event()

    def send(self, request: Q) -> None:
        """Send, in the background."""
        self._outbox.put(request)

    def end(self) -> None:
        """Say that nothing more will be sent."""
        self._outbox.put(None)

    def cancel(self) -> None:
        """End both directions now."""
        self.end()
        self._call.cancel()

    def read(self, report: Callable[[A], None]) -> KhulasaError | None:
        """Report every answer until the stream is over; returns why, None: in good order."""
        try:
            for answer in self._call:
                report(answer)
        except grpc.RpcError as error:
            return from_rpc_error(error, self._request_id)
        finally:
            self.over.set()
            self.end()
            self._release()
        return None


class BulkCall(Generic[Q, A, R]):
    """Drives a session: everything happens in the caller's thread, in the order it is reported.

    Args:
        session: decides.
        open_stream: opens a stream.
    """

    def __init__(
        self,
        session: Session[Q, A, R],
        open_stream: Callable[[], BulkStream[Q, A]],
    ) -> None:
        self._session = session
        self._open_stream = open_stream
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._slots = threading.Semaphore(WINDOW)
        self._stream: BulkStream[Q, A] | None = None
        self._stopped = False

    def run(self, items: Iterable[Item]) -> Iterator[R]:
        """Results as they come; items are taken as results leave room for them."""
        threading.Thread(target=self._feed, args=(items,), daemon=True).start()
        try:
            while True:
                while self._session.results:
                    yield self._session.results.popleft()
                    self._slots.release()
                if self._session.finished:
                    break
                self._step()
            self._part()
        finally:
            self._stopped = True
            self._slots.release()
            if self._stream is not None:
                self._stream.cancel()

    def _step(self) -> None:
        """Send what is to be sent, then wait for the next thing that happens."""
        if self._session.wants_stream:
            self._open()
        if self._stream is not None:
            for request in self._session.outgoing():
                self._stream.send(request)
        try:
            event = self._events.get(timeout=self._session.wait())
        except queue.Empty:
            self._check()
        else:
            event()

    def _open(self) -> None:
        self._stream = self._open_stream()
        self._session.opened()
        threading.Thread(target=self._read, args=(self._stream,), daemon=True).start()

    def _check(self) -> None:
        if self._session.stalled and self._stream is not None:
            stream, self._stream = self._stream, None
            stream.cancel()
            self._session.silent()

    def _part(self) -> None:
        """Let the server end the stream in good order."""
        if self._stream is not None:
            self._stream.end()
            self._stream.over.wait(GOODBYE_SECONDS)

    def _read(self, stream: BulkStream[Q, A]) -> None:
        """Report what comes on a stream (in a thread of its own)."""
        error = stream.read(lambda answer: self._events.put(partial(self._session.answer, answer)))
        self._events.put(partial(self._closed, stream, error))

    def _closed(self, stream: BulkStream[Q, A], error: KhulasaError | None) -> None:
        if stream is self._stream:  # else it was given up before
            self._stream = None
            self._session.closed(error)

    def _feed(self, items: Iterable[Item]) -> None:
        """Take the caller's items while there is room (in a thread of its own)."""
        try:
            iterator = iter(items)
            for index in itertools.count():
                if not self._has_room():
                    return
                item = as_item(index, next(iterator))
                self._events.put(partial(self._session.item, item))
        except StopIteration:
            self._events.put(self._session.ended)
        except BaseException as error:  # noqa: BLE001 - it is raised where the results are read
            self._events.put(partial(_raise, error))

    def _has_room(self) -> bool:
        self._slots.acquire()
        return not self._stopped


def _raise(error: BaseException) -> None:
    raise error
