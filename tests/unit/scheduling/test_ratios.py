"""Learned ratios."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khulasa_server.scheduling.ratios import ENOUGH, LengthRatios, RatioWindow, WeightedMean


def test_the_prior_gives_median_and_tail_at_once() -> None:
    """Before anything was seen: the prior is the median, 1.6 times the prior the tail."""
    window = RatioWindow(2.0)
    assert window.quantile(0.5) == 2.0
    assert window.quantile(0.95) == 3.2
    assert window.quantile(0.0) == 1.2
    assert window.quantile(1.0) == 3.2


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 10), min_size=8, max_size=60), st.floats(0, 1))
def test_a_quantile_is_the_smallest_that_enough_do_not_exceed(
    ratios: list[float], part: float
) -> None:
    """Once the window holds only observations, quantiles are theirs by nearest rank."""
    window = RatioWindow(1.0, size=len(ratios))
    for ratio in ratios:
        window.observe(ratio)
    rank = max(1, math.ceil(round(part * len(ratios), 9)))
    assert window.quantile(part) == sorted(ratios)[rank - 1]


def test_the_oldest_ratio_is_forgotten_first() -> None:
    """A window of eight that saw nine holds the last eight."""
    window = RatioWindow(1.0, size=8)
    for ratio in (100.0, *[5.0] * 8):
        window.observe(ratio)
    assert window.quantile(1.0) == window.quantile(0.0) == 5.0


def test_each_octave_of_lengths_has_its_own_ratio_once_enough_was_seen() -> None:
    """Inputs of 8 to 15 tokens get twice as many, of 64 to 127 half as many; others both."""
    ratios = LengthRatios(1.0)
    for seen in range(ENOUGH):
        assert not ratios.knows(8)
        assert ratios.quantile(0.5, 8) == ratios.quantile(0.5, 64), seen
        ratios.observe(8, 2.0)
        ratios.observe(127, 0.5)
    assert ratios.knows(15)
    assert (ratios.quantile(0.5, 15), ratios.quantile(0.5, 64)) == (2.0, 0.5)
    assert not ratios.knows(16)
    assert ratios.quantile(0.2, 16) == 0.5
    assert ratios.quantile(0.8, 0) == 2.0


def test_a_mean_starts_at_its_prior() -> None:
    """The prior weighs as much as `weight` says."""
    mean = WeightedMean(0.5, weight=10, memory=1_000)
    assert mean.value == 0.5
    mean.observe(20, 10)
    assert mean.value == (5 + 20) / 20


def test_a_mean_forgets_in_proportion() -> None:
    """Beyond its memory everything fades alike, so the newest counts most."""
    mean = WeightedMean(0.0, weight=10, memory=10)
    mean.observe(10, 10)
    assert mean.value == 0.5
    mean.observe(10, 10)
    assert mean.value == 0.75
    for _ in range(100):
        mean.observe(30, 10)
    assert mean.value == pytest.approx(3.0)


def test_a_mean_keeps_everything_within_its_memory() -> None:
    """Up to its memory, inclusive, nothing fades."""
    mean = WeightedMean(1.0, weight=5, memory=15)
    mean.observe(0, 10)
    mean.observe(0, 0)
    assert mean.value == pytest.approx(5 / 15)
