"""Whether a request can be finished in time, and when it could be if not now."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from khulasa_server.errors import DeadlineError, OverloadedError, Reason
from khulasa_server.scheduling.ratios import RatioWindow
from khulasa_server.scheduling.types import Priority

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from khulasa_server.scheduling.ledger import Ledger
    from khulasa_server.scheduling.types import SchedulerSettings

JITTER = 0.2
"""The refused come back spread over this part of the wait, not as a herd."""
LEAST_DELAY = 0.2
"""Seconds: shorter delays say nothing about long ones."""
TELLING = 0.25
"""Part of the time a request has that its expected delay must be, to tell whether more would fit:
behind a short queue, or with minutes to go, batches are others than where every second counts."""
MOST_PATIENCE = 3.0
"""A delay counts as at most this multiple of the expected one."""
KEPT = 0.99
"""Part of the delays that a promise holds for: what is late was computed for nobody."""
LEAST_RETRY_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Need:
    """What a whole request needs.

    Args:
        seconds: of engine time, by model.
        alone: seconds from start to end on an idle machine, at the cautious end.
    """

    seconds: Mapping[str, float]
    alone: float

    @property
    def total(self) -> float:
        """Engine seconds over all models."""
        return sum(self.seconds.values())


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would become of a request.

    Args:
        delay: seconds until a batch of those around it ends, by the expected costs: all that a
            short one takes.
        beyond: seconds that it needs for itself beyond such a batch.
        shortfall: seconds that are missing for it to fit; 0 or less: it fits.
    """

    delay: float
    beyond: float
    shortfall: float


class Admission:
    """Admits a request whole, or refuses it whole.

    Work runs in the order of deadlines, interactive before bulk. So a request fits if it ends in
    time behind everything that is due before it, and if everything that is due after it still
    does so behind it.

    Args:
        ledger: what is promised already.
        settings: slots and limits.
        rng: spreads the times at which the refused come back.
    """

    def __init__(self, ledger: Ledger, settings: SchedulerSettings, rng: random.Random) -> None:
        self._ledger = ledger
        self._settings = settings
        self._rng = rng
        self._delays = RatioWindow(1.0)

    def check(
        self, need: Need, priority: Priority, deadline: float, now: float, running: float
    ) -> Outlook:
        """Return if the request fits, with what should become of it.

        Args:
            need: what it needs.
            priority: of all its work.
            deadline: on the clock of `now`.
            now: the time.
            running: engine seconds that the running batches still need.

        Raises:
            DeadlineError: it could not end in time on an idle machine.
            OverloadedError: there is no room now; `retry_after` says when there would be.
        """
        if now + need.alone > deadline:
            raise unreachable(need.alone)
        outlook = self._outlook(need, priority, deadline, now, running)
        if self._busy(running) and outlook.shortfall > 0:
            wait = outlook.shortfall * self._rng.uniform(1 - JITTER, 1 + JITTER)
            raise overloaded(max(LEAST_RETRY_SECONDS, wait))
        return outlook

    def observe_delay(self, expected: float, seconds: float, given: float) -> None:
        """Learn by how much a request was delayed.

        From admission to its end, whenever it started: what starts early, as a companion of
        others, has segments that end late. Second attempts wait for their turn again, too, which
        no cost tells beforehand.

        Args:
            expected: seconds, when it was admitted.
            seconds: that it took, without those it needed for itself.
            given: seconds from its admission to its deadline.
        """
        if expected >= max(LEAST_DELAY, TELLING * given):
            self._delays.observe(min(MOST_PATIENCE, max(0.0, seconds) / expected))

    def _busy(self, running: float) -> bool:
        return running > 0 or any(self._ledger.claims(priority) for priority in Priority)

    def _outlook(
        self, need: Need, priority: Priority, deadline: float, now: float, running: float
    ) -> Outlook:
        """One look at everything that is promised, in the order of deadlines."""
        first = running + self._before(priority)
        capacity = self._capacity(priority)
        due_before, lateness = 0.0, -math.inf
        for earliest, due in self._ledger.curve(priority):
            if earliest <= deadline:
                due_before = due
            else:
                end = now + self._cautious((first + due + need.total) / capacity)
                lateness = max(lateness, end - earliest)
        # It will not have a batch for itself: what waits around it comes along.
        share = min(self._settings.batch_seconds, (first + due_before) / self._settings.slots)
        delay = (first + due_before) / capacity + share
        beyond = max(0.0, need.alone - share)
        own = now + self._cautious(delay) + beyond - deadline
        return Outlook(delay, beyond, max(self._over_limit(priority), own, lateness))

    def _cautious(self, delay: float) -> float:
        return delay * self._delays.quantile(KEPT)

    def queue_seconds(self, priority: Priority) -> float:
        """Seconds that all slots together need for what waits at a priority."""
        return self._ledger.seconds(priority) / self._settings.slots

    def _over_limit(self, priority: Priority) -> float:
        limit = (
            self._settings.queue_seconds
            if priority is Priority.INTERACTIVE
            else self._settings.bulk_queue_seconds
        )
        return self.queue_seconds(priority) - limit

    def _before(self, priority: Priority) -> float:
        """Seconds of work that goes first whatever its deadline."""
        if priority is Priority.INTERACTIVE:
            return 0.0
        return self._ledger.seconds(Priority.INTERACTIVE)

    def _capacity(self, priority: Priority) -> float:
        """Slots that a priority can count on."""
        bulk_waits = self._ledger.claims(Priority.BULK) > 0
        if priority is Priority.INTERACTIVE and bulk_waits:
            return self._settings.slots * (1 - self._settings.bulk_share)
        return float(self._settings.slots)


def unreachable(needed_seconds: float) -> DeadlineError:
    """The refusal of a request that no idle machine could end in time."""
    needed = f"{needed_seconds:.3f}"
    return DeadlineError(
        Reason.DEADLINE_UNREACHABLE,
        f"The deadline leaves no time: about {needed} s are needed even on an idle server.",
        metadata={"needed_seconds": needed},
    )


def overloaded(retry_after: float) -> OverloadedError:
    """The refusal of a request that finds no room now."""
    seconds = f"{retry_after:.3f}"
    return OverloadedError(
        Reason.OVERLOADED,
        f"Too much work is waiting; there should be room in about {seconds} s.",
        metadata={"retry_after_seconds": seconds},
        retry_after=retry_after,
    )
