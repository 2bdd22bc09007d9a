"""Engine calls that do not end: nobody may wait for them, and nobody may be sent to them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from khulasa_server.scheduling.lane import Health

if TYPE_CHECKING:
    from collections.abc import Iterable

    from khulasa_server.scheduling.board import Board
    from khulasa_server.scheduling.lane import Lane
    from khulasa_server.scheduling.recovery import Recovery
    from khulasa_server.scheduling.types import SchedulerSettings
    from khulasa_server.scheduling.work import Batch

PATIENCE: Final = 10.0
"""Multiples of its predicted seconds that a batch may take besides `stall_seconds`."""


class Stalls:
    """Notices hung engine calls.

    A call cannot be ended from outside, so its slot stays taken. What can be done: tell everyone
    in the batch, turn the model NOT_SERVING so that routers send its callers elsewhere, and rebuild
    the engine when the call ends after all. Once every slot hangs, no model can serve.

    Args:
        board: where items stand.
        recovery: takes models out of service.
        settings: of the scheduler.
    """

    def __init__(self, board: Board, recovery: Recovery, settings: SchedulerSettings) -> None:
        self._board = board
        self._recovery = recovery
        self._seconds = settings.stall_seconds
        self._slots = settings.slots
        self._hung: set[Batch] = set()

    def ended(self, batch: Batch) -> bool:
        """Take note that a batch ended; True: it had been given up, its outputs are nobody's."""
        if batch not in self._hung:
            return False
        self._hung.discard(batch)
        return True

    def next_event(self, running: Iterable[Batch]) -> float | None:
        """When the next running call will count as hung."""
        batches = (self._due(batch) for batch in running if batch not in self._hung)
        probes = (self._due_probe(lane) for lane in self._board.lanes.values())
        soonest = min((*batches, *probes), default=math.inf)
        return soonest if soonest < math.inf else None

    def notice(self, running: Iterable[Batch], now: float) -> None:
        """Give up on every call that has run for too long."""
        for batch in running:
            if batch not in self._hung and self._due(batch) <= now:
                self._hung.add(batch)
                self._recovery.hang(self._board.lanes[batch.model], batch.items, now)
        for lane in self._board.lanes.values():
            if self._due_probe(lane) <= now:
                self._recovery.hang(lane, (), now)
        if sum(batch.slots for batch in self._hung) >= self._slots:
            self._give_up_all(now)

    def _give_up_all(self, now: float) -> None:
        for lane in self._board.lanes.values():
            if lane.health is not Health.DOWN:
                self._recovery.hang(lane, (), now)

    def _due(self, batch: Batch) -> float:
        return batch.started_at + self._seconds + PATIENCE * batch.predicted_seconds

    def _due_probe(self, lane: Lane) -> float:
        probing = lane.caring and lane.health is Health.SUSPECT
        return lane.caring_since + self._seconds if probing else math.inf
