"""gRPC calls over HTTP/2 by libcurl, for half the processor time that `grpc.aio` takes.

The load generator runs on the cores of the server that it measures: what a call costs the one, the
other cannot serve.
"""

from __future__ import annotations

import base64
import select
import struct
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import pycurl
from google.rpc import status_pb2

from khulasa_client.failures import from_status

if TYPE_CHECKING:
    from collections.abc import Callable

STREAMS: Final = 1 << 20
"""Calls at once on a connection; libcurl's own limit would make some wait in the generator."""
_PREFIX: Final = struct.Struct(">BI")
_HEADERS: Final = ["content-type: application/grpc", "te: trailers", "user-agent:", "accept:"]
_HEALTH: Final = "/grpc.health.v1.Health/Check"


@dataclass(slots=True)
class Exchange:
    """One call: what goes out, and what came back.

    Args:
        path: `/package.Service/Method`.
        message: the request, serialized.
        timeout: seconds it may take.
        headers: lines received, trailers included.
        body: pieces received.
        failure: libcurl's code of what went wrong below gRPC; 0: nothing did.
        ended: when it ended, on the monotonic clock.
    """

    path: str
    message: bytes
    timeout: float
    headers: list[bytes] = field(default_factory=list)
    body: list[bytes] = field(default_factory=list)
    failure: int = 0
    ended: float = 0.0

    @property
    def status(self) -> int | None:
        """Number of the gRPC status; None: the call ended without one."""
        found = self._header(b"grpc-status")
        return None if found is None else int(found)

    @property
    def reason(self) -> str:
        """Of the ErrorInfo; empty where there is none."""
        packed = self._header(b"grpc-status-details-bin") or b""
        status = status_pb2.Status.FromString(base64.b64decode(packed + b"=" * (-len(packed) % 4)))
        return from_status(status).reason

    @property
    def response(self) -> bytes:
        """The response, serialized.

        Raises:
            ValueError: it is compressed, or not whole.
        """
        received = b"".join(self.body)
        compressed, size = _PREFIX.unpack_from(received)
        if compressed or len(received) != _PREFIX.size + size:
            raise ValueError("the response is compressed, or not whole")
        return received[_PREFIX.size :]

    def _header(self, name: bytes) -> bytes | None:
        for line in self.headers:
            key, _, value = line.partition(b":")
            if key.lower() == name:
                return value.strip()
        return None


class _Connection:
    """One HTTP/2 connection, and the calls on it.

    Args:
        address: of the server.
    """

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}"
        self._free: list[pycurl.Curl] = []
        self._waiting: dict[pycurl.Curl, tuple[Exchange, Callable[[], None]]] = {}
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
        self._multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, 1)
        self._multi.setopt(pycurl.M_MAX_CONCURRENT_STREAMS, STREAMS)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._remind)
        self.watched: dict[int, int] = {}
        """Socket → what libcurl waits for there."""
        self.due: float | None = None
        """When libcurl wants to be called though nothing came."""

    @property
    def unanswered(self) -> int:
        """Calls that were begun and have not ended."""
        return len(self._waiting)

    def begin(self, exchange: Exchange, ended: Callable[[], None]) -> None:
        """Send a call."""
        handle = self._free.pop() if self._free else _handle()
        self._waiting[handle] = exchange, ended
        timeout = max(1, round(1000 * exchange.timeout))
        handle.setopt(pycurl.URL, self._url + exchange.path)
        handle.setopt(pycurl.TIMEOUT_MS, timeout)
        handle.setopt(pycurl.HTTPHEADER, [*_HEADERS, f"grpc-timeout: {timeout}m"])
        handle.setopt(pycurl.POSTFIELDS, _PREFIX.pack(0, len(exchange.message)) + exchange.message)
        handle.setopt(pycurl.HEADERFUNCTION, exchange.headers.append)
        handle.setopt(pycurl.WRITEFUNCTION, exchange.body.append)
        self._multi.add_handle(handle)
        self.act(pycurl.SOCKET_TIMEOUT, 0)

    def act(self, socket: int, events: int) -> None:
        """Let libcurl read and write."""
        if socket == pycurl.SOCKET_TIMEOUT:
            self.due = None
        self._multi.socket_action(socket, events)

    def take(self) -> bool:
        """End what has ended; whether anything had."""
        _, succeeded, failed = self._multi.info_read()
        for handle in succeeded:
            self._end(handle, 0)
        for handle, failure, _ in failed:
            self._end(handle, failure)
        return bool(succeeded or failed)

    def _end(self, handle: pycurl.Curl, failure: int) -> None:
        self._multi.remove_handle(handle)
        self._free.append(handle)
        exchange, ended = self._waiting.pop(handle)
        exchange.failure, exchange.ended = failure, time.monotonic()
        ended()

    def _watch(self, what: int, socket: int, _multi: object, _data: object) -> None:
        if what == pycurl.POLL_REMOVE:
            self.watched.pop(socket, None)
        else:
            self.watched[socket] = what

    def _remind(self, milliseconds: int) -> None:
        self.due = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000


def _handle() -> pycurl.Curl:
    handle = pycurl.Curl()
    handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE)
    handle.setopt(pycurl.POST, 1)
    handle.setopt(pycurl.PIPEWAIT, 1)
    handle.setopt(pycurl.NOSIGNAL, 1)
    return handle


class Wire:
    """A few connections to one server, calls going to each in turn.

    Args:
        address: of the server.
        connections: how many.
    """

    def __init__(self, address: str, connections: int) -> None:
        self._connections = [_Connection(address) for _ in range(connections)]
        self._begun = 0

    def connect(self) -> None:
        """Open every connection.

        Raises:
            ConnectionError: one cannot be opened.
        """
        greetings = [Exchange(_HEALTH, b"", 60.0) for _ in self._connections]
        for greeting in greetings:
            self.begin(greeting)
        while self.unanswered:
            self.pump(1.0)
        failures = [greeting.failure for greeting in greetings if greeting.failure]
        if failures:
            raise ConnectionError(f"libcurl's error {failures[0]}")

    @property
    def unanswered(self) -> int:
        """Calls that were begun and have not ended."""
        return sum(each.unanswered for each in self._connections)

    def begin(self, exchange: Exchange, ended: Callable[[], None] = lambda: None) -> None:
        """Send a call; `ended` is called once, when it has ended."""
        connection = self._connections[self._begun % len(self._connections)]
        self._begun += 1
        connection.begin(exchange, ended)

    def pump(self, seconds: float) -> None:
        """Wait at most so long for something to come, and take it.

        By `select`, which is exact to microseconds: `epoll` rounds up to a whole millisecond, and
        what calls go out late is counted as the server's.
        """
        taken = self._take()
        now = time.monotonic()
        dues = [each.due - now for each in self._connections if each.due is not None]
        self._select(0.0 if taken else max(0.0, min([seconds, *dues])))
        now = time.monotonic()
        for each in self._connections:
            if each.due is not None and each.due <= now:
                each.act(pycurl.SOCKET_TIMEOUT, 0)
        self._take()

    def _take(self) -> bool:
        """End what has ended, and what ended as calls were begun for it."""
        taken = False
        while any(each.take() for each in self._connections):
            taken = True
        return taken

    def _select(self, seconds: float) -> None:
        acts = {
            socket: (partial(each.act, socket), wanted)
            for each in self._connections
            for socket, wanted in each.watched.items()
        }
        reading = [socket for socket, (_, wanted) in acts.items() if wanted & pycurl.POLL_IN]
        writing = [socket for socket, (_, wanted) in acts.items() if wanted & pycurl.POLL_OUT]
        ready = select.select(reading, writing, (), seconds)
        for sockets, event in zip(ready[:2], (pycurl.CSELECT_IN, pycurl.CSELECT_OUT), strict=True):
            for socket in sockets:
                acts[socket][0](event)
