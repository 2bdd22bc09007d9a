"""How much work is promised, by model, priority and deadline."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import TYPE_CHECKING

from khulasa_server.scheduling.types import Priority

if TYPE_CHECKING:
    from collections.abc import Iterator

STEPS_PER_SECOND = 10
"""Deadlines in one step count as one, so that a look at all of them stays cheap."""


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """Engine time promised to somebody.

    Args:
        model: name of the model.
        priority: of the work.
        deadline: on the scheduler's clock.
        seconds: of engine time, at least 0.
    """

    model: str
    priority: Priority
    deadline: float
    seconds: float


@dataclass(slots=True)
class _Sum:
    """A sum that returns to exactly 0 when the last claim leaves."""

    claims: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        self.claims += 1
        self.seconds += seconds

    def remove(self, seconds: float) -> None:
        self.claims -= 1
        self.seconds = max(0.0, self.seconds - seconds) if self.claims else 0.0


class Ledger:
    """Sums of the claims that are placed and not released."""

    def __init__(self) -> None:
        self._totals = {priority: _Sum() for priority in Priority}
        self._models: dict[tuple[str, Priority], _Sum] = {}
        self._steps: dict[Priority, dict[int, _Sum]] = {priority: {} for priority in Priority}
        self._order: dict[Priority, list[int]] = {priority: [] for priority in Priority}

    def place(self, claim: Claim) -> Claim:
        """Count a claim until it is released."""
        step, priority = step_of(claim.deadline), claim.priority
        if step not in self._steps[priority]:
            self._steps[priority][step] = _Sum()
            insort(self._order[priority], step)
        for total in self._sums(claim):
            total.add(claim.seconds)
        return claim

    def release(self, claim: Claim) -> None:
        """Count a placed claim no more."""
        for total in self._sums(claim):
            total.remove(claim.seconds)
        step, priority = step_of(claim.deadline), claim.priority
        if not self._steps[priority][step].claims:
            del self._steps[priority][step]
            order = self._order[priority]
            del order[bisect_left(order, step)]

    def seconds(self, priority: Priority, model: str | None = None) -> float:
        """Engine seconds placed at a priority, of one model or of all."""
        if model is None:
            return self._totals[priority].seconds
        return self._models.get((model, priority), _Sum()).seconds

    def claims(self, priority: Priority) -> int:
        """How many claims are placed at a priority."""
        return self._totals[priority].claims

    def curve(self, priority: Priority) -> Iterator[tuple[float, float]]:
        """(deadline, seconds due by then), earliest deadline first.

        Each deadline is the earliest that its claims may have.
        """
        due = 0.0
        for step in self._order[priority]:
            due += self._steps[priority][step].seconds
            yield step / STEPS_PER_SECOND, due

    def _sums(self, claim: Claim) -> tuple[_Sum, _Sum, _Sum]:
        return (
            self._totals[claim.priority],
            self._models.setdefault((claim.model, claim.priority), _Sum()),
            self._steps[claim.priority][step_of(claim.deadline)],
        )


def step_of(deadline: float) -> int:
    """Number of the step that a deadline is in."""
    return math.floor(deadline * STEPS_PER_SECOND)
