"""The learning rate rises once, stays, and is gone when the run is over."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.schedule import Schedule

PLAN = Schedule(peak=1e-3, warmup=10, first=100, last=200, anneal=50)


def test_peak_is_reached_after_the_warmup_and_left_at_the_anneal() -> None:
    """Up in ten steps, along the peak, down in fifty."""
    assert PLAN.rate(100) == pytest.approx(1e-4)
    assert {PLAN.rate(step) for step in range(109, 151)} == {1e-3}
    assert PLAN.rate(199) == pytest.approx(1e-3 / 50)
    assert PLAN.rate(200) == 0.0


def test_run_told_its_end_on_the_way_goes_on_at_the_same_rate() -> None:
    """A run at its peak that is given a nearer end begins to come down, without a jump."""
    sooner = Schedule(peak=1e-3, warmup=10, first=100, last=150, anneal=30)
    assert sooner.rate(120) == PLAN.rate(120)
    assert sooner.rate(149) == pytest.approx(1e-3 / 30)


@given(
    warmup=st.integers(0, 50),
    anneal=st.integers(0, 50),
    steps=st.integers(1, 200),
    first=st.integers(0, 1000),
)
def test_rate_is_positive_and_has_one_summit(
    warmup: int, anneal: int, steps: int, first: int
) -> None:
    """Whatever the numbers: every step learns, none above the peak, no second rise."""
    schedule = Schedule(2.0, warmup, first, first + steps, anneal)
    rates = [schedule.rate(step) for step in range(first, first + steps)]
    assert all(0 < rate <= 2.0 for rate in rates)
    turns = [later < earlier for earlier, later in pairwise(rates) if later != earlier]
    assert turns == sorted(turns)
