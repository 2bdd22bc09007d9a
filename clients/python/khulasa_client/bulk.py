"""What a bulk call does next, without threads, sockets or clocks of its own.

A session is told what happens (an item comes, an answer comes, the stream closes) and says what is
to be done: which requests to send, which results to show, when to open a stream again. Each item
has exactly one result, whatever happens to the streams.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from google.protobuf.message import Message

from khulasa_client.encoding import checked_size
from khulasa_client.errors import (
    CallCancelledError,
    InternalError,
    InvalidRequestError,
    KhulasaError,
    OverloadedError,
    UnavailableError,
)
from khulasa_client.values import BulkItem, BulkSummary, BulkTranslation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from khulasa_client.methods import BulkMethod

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)
R = TypeVar("R", bound=BulkTranslation | BulkSummary)

Item = str | tuple[str, str] | BulkItem
"""`(id, text)`, an item with a timeout of its own, or a text, which is named by its place."""

WINDOW = 64
"""Items that are sent and unanswered at most: twice what the server reads ahead."""
MOST_ATTEMPTS = 5
"""How often an item is sent because of its own retryable answer."""
SLACK_SECONDS = 30.0
"""How much longer than an item's timeout its answer may take before the stream counts as dead."""
PATIENCE_SECONDS = 60.0
"""How long streams may fail in a row without a single answer."""

GOODBYE_SECONDS = 5.0
"""How long the server may take to end a stream on which everything is answered."""


class Throttle:
    """Allows one retry in ten answers (gRFC A6), after four for nothing."""

    def __init__(self) -> None:
        self._tokens = 10.0

    def answered(self) -> None:
        """Count an answer."""
        self._tokens = min(10.0, self._tokens + 0.1)

    def allows_retry(self) -> bool:
        """Count a failure that could be retried; True: do it."""
        self._tokens = max(0.0, self._tokens - 1)
        return self._tokens > 5  # noqa: PLR2004 - half of the tokens


@dataclass(slots=True)
class _Entry(Generic[Q]):
    request: Q
    timeout: float
    attempts: int = 1
    due: float | None = None
    """When it is sent again; None: it is on its way."""


class Session(Generic[Q, A, R]):
    """The state of one bulk call.

    Args:
        method: what is called.
        encode: makes an item's request with a default timeout; raises KhulasaError for what
            cannot be sent.
        timeout: seconds an item may take unless it has a timeout of its own.
        limit: most bytes of a request.
        clock: monotonic seconds.
        patience: seconds that streams may fail in a row without an answer.
        jitter: uniform in 0 to 1.
    """

    def __init__(
        self,
        method: BulkMethod[Q, A, R],
        encode: Callable[[BulkItem, float], Q],
        *,
        timeout: float,
        limit: int,
        clock: Callable[[], float],
        patience: float = PATIENCE_SECONDS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.results: deque[R] = deque()
        """What the caller sees next."""
        self._method = method
        self._encode = encode
        self._timeout = timeout
        self._limit = limit
        self._clock = clock
        self._patience = patience
        self._jitter = jitter
        self._unanswered: dict[str, _Entry[Q]] = {}
        self._unsent: deque[str] = deque()
        self._throttle = Throttle()
        self._ended = False
        self._connected = False
        self._reopen_at = self._alive_at = clock()
        self._failing_since: float | None = None
        self._failures = 0
        self._silences = 0

    @property
    def finished(self) -> bool:
        """Every item has its result, and no more will come."""
        return self._ended and not self._unanswered

    @property
    def wants_stream(self) -> bool:
        """A stream is to be opened now."""
        idle = self._connected or not self._unanswered
        return not idle and self._clock() >= self._reopen_at

    def wait(self) -> float | None:
        """Seconds until something is due though nothing happens; None: nothing is."""
        times = [entry.due for entry in self._unanswered.values() if entry.due is not None]
        if not self._connected and self._unanswered:
            times.append(self._reopen_at)
        if self._connected and self._waiting:
            times.append(self._deadline)
        return max(0.0, min(times) - self._clock()) if times else None

    @property
    def stalled(self) -> bool:
        """The open stream gave no answer for longer than any item may take: it is dead."""
        return self._connected and self._waiting and self._clock() >= self._deadline

    def opened(self) -> None:
        """A stream is open: everything unanswered is sent on it."""
        self._connected = True
        self._alive_at = self._clock()
        sendable = (key for key, entry in self._unanswered.items() if entry.due is None)
        self._unsent = deque(sendable)

    def outgoing(self) -> Iterator[Q]:
        """Requests to send on the open stream, now."""
        now = self._clock()
        for key, entry in self._unanswered.items():
            if entry.due is not None and entry.due <= now:
                entry.due = None
                self._unsent.append(key)
        while self._connected and self._unsent:
            key = self._unsent.popleft()
            if key in self._unanswered:
                yield self._unanswered[key].request

    def item(self, item: BulkItem) -> None:
        """The caller gave an item."""
        try:
            request = checked_size(self._encode(item, self._timeout), self._limit)
            self._check_id(item.id)
        except KhulasaError as error:
            self.results.append(self._method.failure(item.id, error))
            return
        if not self._unanswered:
            self._alive_at = self._clock()
        self._unanswered[item.id] = _Entry(request, item.timeout or self._timeout)
        self._unsent.append(item.id)

    def ended(self) -> None:
        """The caller has no more items."""
        self._ended = True

    def answer(self, message: A) -> None:
        """The server answered; what nobody waits for is dropped."""
        result = self._method.result(message)
        entry = self._unanswered.get(result.id)
        if entry is None:
            return
        self._alive_at, self._failing_since = self._clock(), None
        self._failures = self._silences = 0
        if result.error is not None and self._retries(entry, result.error):
            return
        self._throttle.answered()
        del self._unanswered[result.id]
        self.results.append(result)

    def silent(self) -> None:
        """The open stream is dead and was given up.

        A server that stops may keep a stream that no handler ever takes. The first such stream in
        a row says nothing of how long streams fail: patience begins anew.

        Raises:
            UnavailableError: it is not the first, and streams have failed for too long.
        """
        self._silences += 1
        if self._silences == 1:
            self._failing_since = None
        self.closed(UnavailableError("the stream is open and no answer comes"))

    def closed(self, error: KhulasaError | None) -> None:
        """The stream is gone.

        Args:
            error: why; None: the server ended it in good order, e.g. because it is stopping.

        Raises:
            KhulasaError: the reason is not one that passes, or lasts for too long.
        """
        self._connected = False
        if error is not None and not (_passes(error) or _broke(error)):
            raise error
        if not self._unanswered:
            return
        now = self._clock()
        if self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since >= self._patience:
            raise error or UnavailableError("the server ends the stream without answers")
        self._reopen_at = now + self._backoff(error)
        self._failures += 1

    @property
    def _waiting(self) -> bool:
        """An item is on its way."""
        return any(entry.due is None for entry in self._unanswered.values())

    @property
    def _deadline(self) -> float:
        """When the open stream counts as dead."""
        longest = max(entry.timeout for entry in self._unanswered.values())
        return self._alive_at + longest + SLACK_SECONDS

    def _backoff(self, error: KhulasaError | None) -> float:
        """Seconds until a stream is opened again: none after the first end in good order."""
        if error is None and not self._failures:
            return 0.0
        backoff = min(5.0, 0.2 * 2.0**self._failures) * (0.5 + self._jitter())
        return max(backoff, error.retry_after or 0.0) if error else backoff

    def _check_id(self, key: str) -> None:
        if key and key not in self._unanswered:
            return
        problem = f"the id {key!r} is in flight already" if key else "the id is empty"
        raise InvalidRequestError(problem, code="INVALID_ARGUMENT", reason="OPTION_INVALID")

    def _retries(self, entry: _Entry[Q], error: KhulasaError) -> bool:
        """Whether the item is sent again because of its own answer."""
        if not _passes(error) or entry.attempts >= MOST_ATTEMPTS:
            return False
        if not self._throttle.allows_retry():
            return False
        entry.attempts += 1
        entry.due = self._clock() + (error.retry_after or 0.2 * (0.5 + self._jitter()))
        return True


def _passes(error: KhulasaError) -> bool:
    """Whether the same may succeed later."""
    patient = isinstance(error, OverloadedError) and error.retry_after is not None
    return patient or isinstance(error, UnavailableError)


def _broke(error: KhulasaError) -> bool:
    """Whether it was the connection and not the service that ended the stream.

    grpc.aio answers INTERNAL of its own where the server ended the stream during a write, and
    proxies have their own ways to tell of a lost connection; the service always gives a reason.
    """
    return not error.reason and isinstance(error, InternalError | CallCancelledError)


def as_item(index: int, item: Item) -> BulkItem:
    """An item; a bare text is named by its place, from 0."""
    if isinstance(item, BulkItem):
        return item
    if isinstance(item, str):
        return BulkItem(str(index), item)
    key, content = item
    return BulkItem(key, content)
