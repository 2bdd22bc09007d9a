"""Whose turn it is: one set of compute slots over all models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from khulasa_server.scheduling.types import Priority

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Turn:
    """Work that could have the next slot.

    Args:
        model: whose it is.
        priority: of its most urgent item.
        deadline: of its most urgent item.
    """

    model: str
    priority: Priority
    deadline: float


class Arbiter:
    """Grants slots by priority, then by deadline.

    Bulk collects a debt while it waits behind interactive work, `share` of the engine's time. As
    soon as the debt pays for one bulk batch, bulk has one turn; so it yields and never starves.

    Args:
        slots: engine threads that run at once, over all models.
        share: part of the time that is bulk's own, at least 0 and below 1.
        price: seconds of debt that buy a turn.
    """

    def __init__(self, slots: int, share: float, price: float) -> None:
        if slots < 1:
            raise ValueError(f"at least one slot is needed, not {slots}")
        self.slots = slots
        self.running = 0
        self._rate = share / (1 - share)
        self._price = price
        self._debt = 0.0

    @property
    def free(self) -> int:
        """Slots that nothing runs in."""
        return self.slots - self.running

    def take(self, slots: int = 1) -> None:
        """Occupy so many slots."""
        if slots > self.free:
            raise RuntimeError(f"{slots} slots are wanted and {self.free} are free")
        self.running += slots

    def give_back(self, slots: int = 1) -> None:
        """Free so many slots."""
        if slots > self.running:
            raise RuntimeError(f"{slots} slots are given back and {self.running} are taken")
        self.running -= slots

    def choose(self, turns: Sequence[Turn]) -> Turn | None:
        """The turn to grant next."""
        preferred = Priority.BULK if self._debt >= self._price else Priority.INTERACTIVE
        return min(
            turns,
            key=lambda turn: (turn.priority is not preferred, turn.deadline),
            default=None,
        )

    def charge(self, turn: Turn, seconds: float, turns: Sequence[Turn]) -> None:
        """Count that `turn`, predicted to run for `seconds`, was chosen among `turns`."""
        waiting = {other.priority for other in turns}
        if len(waiting) < len(Priority):
            self._debt = 0.0
        elif turn.priority is Priority.BULK:
            self._debt = max(0.0, self._debt - seconds)
        else:
            self._debt += self._rate * seconds
