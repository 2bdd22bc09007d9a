"""What a token may use at once and in a time."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Final

import pytest

from khulasa_server.errors import OverloadedError, Reason
from khulasa_server.rpc.allowance import CONCURRENCY_RETRY_SECONDS, Allowances
from khulasa_server.rpc.tokens import Rate, Token

ALICE: Final = Token("alice", b"a", concurrency=2, rate=Rate(3, "hour"))
BOB: Final = Token("bob", b"b", concurrency=1, rate=Rate(1, "hour"))
FREE: Final = Token("free", b"f")


@pytest.fixture
def allowances() -> Allowances:
    """Nothing is used."""
    return Allowances(random.Random(7))  # noqa: S311 - spreads retries


def test_calls_at_once_are_bounded(allowances: Allowances) -> None:
    """One more than allowed is refused with a time to come back; an end makes room."""
    with allowances.call(ALICE):
        second = allowances.call(ALICE)
        with second, pytest.raises(OverloadedError) as caught, allowances.call(ALICE):
            pytest.fail("the third of two")
        with allowances.call(ALICE):
            pass
    error = caught.value
    assert (error.reason, error.metadata) == (Reason.CONCURRENCY_LIMITED, {"limit": "2"})
    assert error.retry_after is not None
    assert CONCURRENCY_RETRY_SECONDS <= error.retry_after <= 1.2 * CONCURRENCY_RETRY_SECONDS


def test_a_failed_call_gives_its_place_back(allowances: Allowances) -> None:
    """However a call ends, it is no longer in flight."""
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), allowances.call(BOB):
            raise ZeroDivisionError


async def test_a_rate_is_spent_and_told(allowances: Allowances) -> None:
    """A used-up rate refuses, and says when the next call would be admitted."""
    for _ in range(3):
        await allowances.spend(ALICE)
    with pytest.raises(OverloadedError) as caught:
        await allowances.spend(ALICE)
    error = caught.value
    assert (error.reason, error.metadata) == (Reason.RATE_LIMITED, {"limit": "3/hour"})
    assert error.retry_after is not None
    assert 1200 <= error.retry_after <= 1.2 * 1200


async def test_tokens_do_not_share(allowances: Allowances) -> None:
    """What one token uses is not taken from another, and a token without limits has none."""
    await allowances.spend(BOB)
    with allowances.call(BOB), allowances.call(ALICE):
        await allowances.spend(ALICE)
        for _ in range(100):
            await allowances.spend(FREE)
            await allowances.wait(FREE)


async def test_waiting_takes_turns(allowances: Allowances) -> None:
    """Who waits gets what comes back, as soon as it does."""
    fast = replace(ALICE, rate=Rate(100, "second"))
    for _ in range(100):
        await allowances.spend(fast)
    async with asyncio.timeout(30):
        await asyncio.gather(*[allowances.wait(fast) for _ in range(5)])


async def test_usage_outlives_a_reload(allowances: Allowances) -> None:
    """A new entry for the same name, with the same limits, starts with what was used."""
    await allowances.spend(BOB)
    again = replace(BOB, digest=b"new")
    with pytest.raises(OverloadedError):
        await allowances.spend(again)
    with allowances.call(BOB), pytest.raises(OverloadedError), allowances.call(again):
        pytest.fail("the second of one")
    await allowances.spend(replace(BOB, rate=Rate(2, "hour")))
