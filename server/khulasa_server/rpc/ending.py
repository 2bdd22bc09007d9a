"""The end of calls that the server has no more time for."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

from khulasa_server.errors import DeadlineError, Reason, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

RETRY_SECONDS: Final = 0.5
"""Another replica, or this one started again, takes the call."""


class Ending:
    """Says when calls in flight end; cancelled by gRPC they would have no status of ours."""

    def __init__(self) -> None:
        self._open: set[asyncio.Timeout] = set()
        self._over = False
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._busy = asyncio.Event()

    @contextmanager
    def call(self) -> Iterator[None]:
        """A call is in flight, from its handler's first step to its last."""
        self._calls += 1
        self._idle.clear()
        self._busy.set()
        try:
            yield
        finally:
            self._calls -= 1
            if not self._calls:
                self._idle.set()
                self._busy.clear()

    @property
    def calls(self) -> int:
        """How many are in flight."""
        return self._calls

    async def idle(self, seconds: float) -> None:
        """Wait until no call has been in flight for so many seconds."""
        while True:
            await self._idle.wait()
            try:
                async with asyncio.timeout(seconds):
                    await self._busy.wait()
            except TimeoutError:
                return

    @asynccontextmanager
    async def within(self, seconds: float | None) -> AsyncIterator[None]:
        """Cancels what is inside after so many seconds, or at the end of all calls.

        Raises:
            DeadlineError: the seconds passed.
            UnavailableError: SHUTTING_DOWN, all calls end.
        """
        try:
            async with asyncio.timeout(seconds) as limit:
                if self._over:
                    _pass(limit)
                self._open.add(limit)
                try:
                    yield
                finally:
                    self._open.discard(limit)
        except TimeoutError as error:
            raise self._fault() from error

    def now(self) -> None:
        """End all calls."""
        self._over = True
        for limit in self._open:
            _pass(limit)

    def _fault(self) -> DeadlineError | UnavailableError:
        if self._over:
            message = "the server is stopping and cannot finish this call"
            return UnavailableError(Reason.SHUTTING_DOWN, message, retry_after=RETRY_SECONDS)
        return DeadlineError(
            Reason.DEADLINE_EXCEEDED, "the deadline passed before the answer was ready"
        )


def _pass(limit: asyncio.Timeout) -> None:
    if not limit.expired():
        limit.reschedule(asyncio.get_running_loop().time())
