"""A virtual machine for the scheduler's own code: a clock, events, and what batches take."""

from __future__ import annotations

import heapq
import itertools
import random
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from khulasa_server.engines.base import Finish, Generation
from khulasa_server.scheduling import Coefficients, ModelProfile, SchedulerSettings
from khulasa_server.scheduling.core import SchedulerCore
from khulasa_server.scheduling.work import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MACHINE: Final = Coefficients(fixed=0.0005, input_token=0.00001, step=0.0004, beam_token=0.00004)
"""What batches really take, but for a tenth of noise."""


class Machine(ABC):
    """A scheduler with one model, "m", and events in the order of their time.

    Args:
        settings: of the scheduler.
        profile: of the model.
    """

    def __init__(self, settings: SchedulerSettings, profile: ModelProfile) -> None:
        self.now = 1_000.0
        self.rng = random.Random(1)  # noqa: S311 - a repeatable world
        self.core = SchedulerCore(settings, random.Random(2))  # noqa: S311 - the same
        self.core.add_model("m", profile)
        self.numbers = itertools.count()
        self.engine_seconds = 0.0
        self.longest_batch = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, time: float, event: Callable[[], None]) -> None:
        """Let something happen."""
        heapq.heappush(self._events, (time, next(self.numbers), event))

    def run(self, seconds: float) -> None:
        """Let time pass, as the driver does."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, event = heapq.heappop(self._events)
            event()
            self.core.expire(self.now)
            while (work := self.core.next_work(self.now)) is not None:
                assert isinstance(work, Batch)
                self.start(work, self.outputs(work))
        self.now = end

    @abstractmethod
    def outputs(self, batch: Batch) -> Sequence[int]:
        """Tokens that are written for each item of a batch that is to start now."""

    def start(self, batch: Batch, outputs: Sequence[int]) -> None:
        """Run a batch on the machine, which is never quite the same."""
        seconds = self.rng.lognormvariate(0, 0.1) * (
            MACHINE.fixed
            + MACHINE.input_token * batch.shape.padded
            + MACHINE.step * max(outputs)
            + MACHINE.beam_token * batch.options.beam_size * sum(outputs)
        )
        self.engine_seconds += seconds
        self.longest_batch = max(self.longest_batch, seconds)
        generations = [Generation("", ("x",) * count, 0.0, Finish.LENGTH) for count in outputs]
        self.at(
            self.now + seconds,
            lambda: self.core.completed(batch, generations, seconds, self.now),
        )
