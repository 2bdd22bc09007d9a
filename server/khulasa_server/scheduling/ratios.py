"""Ratios learned from the traffic: output for input tokens, tokens for code points."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque

_PRIOR_SPREAD = (0.6, 0.8, 0.9, 1.0, 1.0, 1.1, 1.2, 1.6)
"""Multiples of the prior that stand for observations until real ones outnumber them."""
ENOUGH = 32
"""Observations from which an octave of lengths is judged by its own."""


class RatioWindow:
    """Quantiles of the most recent ratios.

    Args:
        prior: ratio believed before anything was measured, above 0.
        size: how many recent ratios count.
    """

    def __init__(self, prior: float, size: int = 256) -> None:
        self._recent = deque(prior * factor for factor in _PRIOR_SPREAD)
        self._ordered = sorted(self._recent)
        self._size = size
        self.seen = 0
        """Observations so far, forgotten ones included."""

    def observe(self, ratio: float) -> None:
        """Learn one ratio; the oldest one is forgotten when the window is full."""
        self.seen += 1
        self._recent.append(ratio)
        insort(self._ordered, ratio)
        if len(self._recent) > self._size:
            del self._ordered[bisect_left(self._ordered, self._recent.popleft())]

    def quantile(self, part: float) -> float:
        """Smallest observed ratio that at least `part` (0 to 1) of them do not exceed."""
        last = len(self._ordered) - 1
        return self._ordered[min(last, max(0, _ceil(part * len(self._ordered)) - 1))]


class LengthRatios:
    """Quantiles of recent ratios for inputs of about a length.

    Short inputs get outputs that are longer than they are, long ones shorter, but for those that
    loop to their limit: one ratio for all would expect neither.

    Args:
        prior: ratio believed before anything was measured, above 0.
    """

    def __init__(self, prior: float) -> None:
        self._all = RatioWindow(prior)
        self._octaves: dict[int, RatioWindow] = {}
        self._prior = prior

    def observe(self, tokens: int, ratio: float) -> None:
        """Learn one ratio of an input of so many tokens."""
        self._all.observe(ratio)
        self._octaves.setdefault(_octave(tokens), RatioWindow(self._prior)).observe(ratio)

    def knows(self, tokens: int) -> bool:
        """Whether enough inputs of that octave were seen to judge it by its own."""
        window = self._octaves.get(_octave(tokens))
        return window is not None and window.seen >= ENOUGH

    def quantile(self, part: float, tokens: int) -> float:
        """As `RatioWindow.quantile`, of inputs of that octave, or of all while it has few."""
        window = self._octaves[_octave(tokens)] if self.knows(tokens) else self._all
        return window.quantile(part)


def _octave(tokens: int) -> int:
    """Inputs of 1, 2 to 3, 4 to 7, … tokens."""
    return max(1, tokens).bit_length()


class WeightedMean:
    """Ratio of two sums with slow forgetting: big requests count more than small ones.

    Args:
        prior: ratio believed before anything was measured.
        weight: denominator that the prior counts for.
        memory: denominator that is remembered.
    """

    def __init__(self, prior: float, weight: float, memory: float) -> None:
        self._numerator = prior * weight
        self._denominator = weight
        self._memory = memory

    @property
    def value(self) -> float:
        """The ratio as known now."""
        return self._numerator / self._denominator

    def observe(self, numerator: float, denominator: float) -> None:
        """Learn one observation; nothing is learned from a denominator of 0."""
        self._numerator += numerator
        self._denominator += denominator
        if self._denominator > self._memory:
            fading = self._memory / self._denominator
            self._numerator *= fading
            self._denominator *= fading


def _ceil(value: float) -> int:
    """Smallest integer not below, forgiving the rounding of a product."""
    return -int(-(value - 1e-9) // 1)
