"""An admitted request, as a task holds it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, Self

from khulasa_server.scheduling.items import Cancelled
from khulasa_server.scheduling.types import CacheMode, Completion, Submission

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from khulasa_server.engines.base import GenerationOptions, Tokens
    from khulasa_server.scheduling.items import Outcome, Request, Waiter


class Office(Protocol):
    """What a ticket needs of the scheduler it came from."""

    def place(
        self, request: Request, submission: Submission, deliver: Callable[[Outcome], None]
    ) -> Waiter:
        """Take a segment."""

    def withdraw(self, waiter: Waiter) -> None:
        """Take a segment back."""

    def release(self, request: Request) -> None:
        """End a request."""


class Ticket:
    """The right to submit segments, and the one place that takes them all back.

    Leaving it as a context manager, by whatever way, cancels what has not ended and frees its
    place. Used on the event loop only.
    """

    def __init__(self, office: Office, request: Request) -> None:
        self._office = office
        self._request = request
        self._futures: list[asyncio.Future[Completion]] = []

    @property
    def deadline(self) -> float:
        """On the scheduler's clock."""
        return self._request.deadline

    def submit(
        self,
        model: str,
        tokens: Tokens,
        options: GenerationOptions,
        *,
        order: int,
        cache_mode: CacheMode = CacheMode.USE,
        deterministic: bool = False,
        retry: bool = False,
    ) -> asyncio.Future[Completion]:
        """Queue one segment; `order` is its position among the request's segments.

        The future ends exactly once, with a Completion or with

        - DeadlineError: the deadline passed before the segment started;
        - InternalError: the engine fails on this very segment;
        - UnavailableError: the engine failed, or the server is shutting down;
        - CancelledError: the future was cancelled or the ticket was left.
        """
        submission = Submission(model, tokens, options, order, cache_mode, deterministic, retry)
        future: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        waiter = self._office.place(self._request, submission, lambda end: _end(future, end))
        self._futures.append(future)
        if not future.done():
            future.add_done_callback(lambda done: self._withdraw_if_cancelled(done, waiter))
        return future

    def _withdraw_if_cancelled(self, future: asyncio.Future[Completion], waiter: Waiter) -> None:
        if future.cancelled():
            self._office.withdraw(waiter)

    def close(self) -> None:
        """Cancel what has not ended and free its place; calling it again does nothing."""
        self._office.release(self._request)
        for future in self._futures:
            if not future.cancelled() and future.done():
                future.exception()  # marks it as seen: whoever left the ticket had a reason
        self._futures.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _end(future: asyncio.Future[Completion], outcome: Outcome) -> None:
    if future.done():  # cancelled by its owner; the scheduler hears of it one step later
        return
    if isinstance(outcome, Completion):
        future.set_result(outcome)
    elif isinstance(outcome, Cancelled):
        future.cancel()
    else:
        future.set_exception(outcome)
