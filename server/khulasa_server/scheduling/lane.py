"""Everything the scheduler keeps about one model."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING

from khulasa_server.scheduling.estimator import Estimator
from khulasa_server.scheduling.items import State
from khulasa_server.scheduling.queues import SegmentQueue
from khulasa_server.scheduling.types import Priority

if TYPE_CHECKING:
    from collections.abc import Iterator

    from khulasa_server.scheduling.items import Item
    from khulasa_server.scheduling.lone import Lone
    from khulasa_server.scheduling.types import ModelProfile, SchedulerSettings
    from khulasa_server.scheduling.work import Errand

REBUILD_SECONDS = 1.0
"""Wait before the first attempt to rebuild an engine; it doubles with each that fails."""
REBUILD_SECONDS_MOST = 60.0


class Health(Enum):
    """What is known of a model's engine."""

    UP = "up"
    SUSPECT = "suspect"
    """A batch raised; the golden input has not said yet whose fault it was."""
    DOWN = "down"


class Lane:
    """One model: its queues, its estimates and its health.

    Args:
        name: of the model; one that replaces another has a number of its own behind it.
        profile: what is believed of it before the first batch.
        settings: of the scheduler.
    """

    def __init__(self, name: str, profile: ModelProfile, settings: SchedulerSettings) -> None:
        self.name = name
        self.profile = profile
        self.threads = profile.threads
        """Slots that each batch takes."""
        self.lone: Lone | None = None
        """More threads for an item that has the machine to itself."""
        batches = max(1, settings.slots // profile.threads)
        self.estimator = Estimator(profile, replace(settings, slots=batches))
        self.queues = {priority: SegmentQueue() for priority in Priority}
        self.suspects: deque[list[Item]] = deque()
        """Parts of failed batches; they run as they are, before anything else of the model."""
        self.accused: list[tuple[list[Item], Exception]] = []
        """Failed batches that wait for the golden input's verdict."""
        self.errands: deque[Errand] = deque()
        """What else is to run on the engine."""
        self.running = 0
        self.caring = False
        """A golden input runs on its engine, or the engine is being rebuilt."""
        self.caring_since = 0.0
        self.health = Health.UP
        self.rebuild_at = math.inf
        self.attempts = 0
        self.leaving = False

    @property
    def waits(self) -> bool:
        """Whether an item could start if a slot were free."""
        return self.health is Health.UP and (
            bool(self.suspects) or any(len(queue) for queue in self.queues.values())
        )

    def waiting(self) -> Iterator[Item]:
        """Items that wait, those of failed batches included."""
        for queue in self.queues.values():
            yield from queue
        yield from self._set_aside()

    def depth(self, priority: Priority) -> int:
        """Items that wait at a priority."""
        aside = sum(item.priority is priority for item in self._set_aside())
        return len(self.queues[priority]) + aside

    def _set_aside(self) -> Iterator[Item]:
        """Items that wait outside of the queues."""
        for items in (*self.suspects, *(items for items, _ in self.accused)):
            yield from (item for item in items if item.state is State.WAITING)

    def purge_suspects(self) -> None:
        """Leave only suspects that somebody still waits for, the most urgent first."""
        while self.suspects:
            alive = [item for item in self.suspects[0] if item.state is State.WAITING]
            if alive:
                self.suspects[0] = sorted(alive, key=lambda item: (item.priority, item.deadline))
                return
            self.suspects.popleft()

    def fall(self, now: float) -> None:
        """Note that the engine failed, or that rebuilding it did."""
        self.health = Health.DOWN
        self.rebuild_at = now + self.backoff
        self.attempts += 1

    @property
    def backoff(self) -> float:
        """Seconds until the next attempt to rebuild the engine, counted from the last failure."""
        return min(REBUILD_SECONDS_MOST, REBUILD_SECONDS * 2.0 ** min(self.attempts, 30))

    def rise(self) -> None:
        """Note that the engine works again."""
        self.health = Health.UP
        self.rebuild_at = math.inf
        self.attempts = 0
