"""The ledger of promised work."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khulasa_server.scheduling.ledger import Claim, Ledger
from khulasa_server.scheduling.types import Priority

CLAIMS = st.builds(
    Claim,
    model=st.sampled_from(["a", "b"]),
    priority=st.sampled_from(Priority),
    deadline=st.floats(0, 100),
    seconds=st.floats(0, 10),
)


@settings(deadline=None)
@given(st.lists(st.tuples(CLAIMS, st.booleans()), max_size=40))
def test_sums_are_those_of_the_claims_placed(history: list[tuple[Claim, bool]]) -> None:
    """By priority, by model and by deadline, at any time."""
    ledger = Ledger()
    for claim, _ in history:
        ledger.place(claim)
    for claim, released in history:
        if released:
            ledger.release(claim)
    placed = [claim for claim, released in history if not released]
    for priority in Priority:
        mine = [claim for claim in placed if claim.priority is priority]
        assert ledger.claims(priority) == len(mine)
        assert ledger.seconds(priority) == pytest.approx(sum(c.seconds for c in mine), abs=1e-9)
        for model in ("a", "b"):
            theirs = sum(claim.seconds for claim in mine if claim.model == model)
            assert ledger.seconds(priority, model) == pytest.approx(theirs, abs=1e-9)
        check_curve(ledger, priority, mine)


def check_curve(ledger: Ledger, priority: Priority, mine: list[Claim]) -> None:
    """Deadlines rise, and each says what is due by the end of its step."""
    curve = list(ledger.curve(priority))
    assert [deadline for deadline, _ in curve] == sorted(
        {math.floor(10 * c.deadline) / 10 for c in mine}
    )
    for deadline, due in curve:
        expected = sum(c.seconds for c in mine if math.floor(10 * c.deadline) / 10 <= deadline)
        assert due == pytest.approx(expected, abs=1e-9)


def test_deadlines_within_a_tenth_of_a_second_count_as_one() -> None:
    """The step begins at the earliest deadline that may be in it."""
    ledger = Ledger()
    for deadline in (5.0, 5.05, 5.2):
        ledger.place(Claim("m", Priority.INTERACTIVE, deadline, 1.0))
    assert list(ledger.curve(Priority.INTERACTIVE)) == [
        (5.0, 2.0),
        (5.2, 3.0),
    ]
    assert list(ledger.curve(Priority.BULK)) == []


def test_an_empty_ledger_holds_exactly_nothing() -> None:
    """Rounding does not leave crumbs that would count as work."""
    ledger = Ledger()
    claims = [ledger.place(Claim("m", Priority.BULK, 1.0, 0.1 * i)) for i in range(1, 20)]
    for claim in reversed(claims):
        ledger.release(claim)
    assert ledger.seconds(Priority.BULK) == 0.0
    assert ledger.seconds(Priority.BULK, "m") == 0.0
    assert ledger.seconds(Priority.BULK, "never seen") == 0.0


def test_no_sum_is_ever_negative() -> None:
    """Rounding does not make promised work negative while claims are left."""
    ledger = Ledger()
    big, small = (Claim("m", Priority.BULK, 1.0, seconds) for seconds in (1e9, 1e-9))
    ledger.place(small)
    ledger.place(big)
    ledger.release(big)
    assert ledger.seconds(Priority.BULK) >= 0.0
    assert ledger.claims(Priority.BULK) == 1
