"""What a token may use: calls at once, and calls and bulk items in a time."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiolimiter import AsyncLimiter

from khulasa_server.errors import OverloadedError, Reason

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from khulasa_server.rpc.tokens import Rate, Token

CONCURRENCY_RETRY_SECONDS: Final = 1.0
"""Nobody knows when a call of the same token ends."""
_SPREAD: Final = 0.2
"""Share by which callers that were refused together come back at different times."""


@dataclass(slots=True)
class _Usage:
    """Of one token."""

    in_flight: int = 0
    rate: Rate | None = None
    limiter: AsyncLimiter | None = None


class Allowances:
    """Counts what tokens use; on one event loop, across reloads of the file.

    Args:
        rng: spreads retries.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._usage: dict[str, _Usage] = {}

    @contextmanager
    def call(self, token: Token) -> Iterator[None]:
        """Around a call.

        Raises:
            OverloadedError: CONCURRENCY_LIMITED, as many calls as allowed are in flight.
        """
        usage = self._usage_of(token)
        if token.concurrency is not None and usage.in_flight >= token.concurrency:
            raise self._refusal(
                Reason.CONCURRENCY_LIMITED,
                f"the token's {token.concurrency} calls at once are in flight",
                str(token.concurrency),
                CONCURRENCY_RETRY_SECONDS,
            )
        usage.in_flight += 1
        try:
            yield
        finally:
            usage.in_flight -= 1

    async def spend(self, token: Token) -> None:
        """Take one from the rate.

        Raises:
            OverloadedError: RATE_LIMITED, nothing is left now.
        """
        limiter = self._usage_of(token).limiter
        if limiter is None:
            return
        if not limiter.has_capacity():
            # The bucket leaks steadily: there is room for one more after this at the latest.
            raise self._refusal(
                Reason.RATE_LIMITED,
                f"the token's rate of {token.rate} is used up",
                str(token.rate),
                limiter.time_period / limiter.max_rate,
            )
        await limiter.acquire()

    async def wait(self, token: Token) -> None:
        """Take one from the rate as soon as there is one."""
        limiter = self._usage_of(token).limiter
        if limiter is not None:
            await limiter.acquire()

    def _usage_of(self, token: Token) -> _Usage:
        usage = self._usage.setdefault(token.name, _Usage())
        if usage.rate != token.rate:
            rate = usage.rate = token.rate
            usage.limiter = AsyncLimiter(rate.amount, rate.seconds) if rate else None
        return usage

    def _refusal(self, reason: Reason, message: str, limit: str, seconds: float) -> OverloadedError:
        later = seconds * self._rng.uniform(1.0, 1.0 + _SPREAD)
        return OverloadedError(reason, message, metadata={"limit": limit}, retry_after=later)
