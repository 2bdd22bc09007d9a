"""How fast a model learns at each step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Schedule:
    """Up to a peak, along it, and down to zero at the end.

    Most of what a run gains it gains on the way down; that a run can go on at the peak until the
    time it has is nearly over, and only then be told its end, is why it is no cosine.

    Args:
        peak: highest rate.
        warmup: steps from zero up to it, counted from `first`.
        first: step at which the optimizer knew nothing yet.
        last: step after which nothing is learned.
        anneal: steps before `last` in which the rate falls to zero, linearly.
    """

    peak: float
    warmup: int
    first: int
    last: int
    anneal: int

    def rate(self, step: int) -> float:
        """Learning rate of a step, `first` ≤ step < `last`: above 0, at most `peak`."""
        up = (step - self.first + 1) / max(1, self.warmup)
        down = (self.last - step) / max(1, self.anneal)
        return self.peak * max(0.0, min(1.0, up, down))
