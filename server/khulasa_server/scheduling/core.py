"""The scheduler without threads or an event loop: every method takes the time and returns at once.

A driver calls `expire`, then `next_work` until it returns None, runs each work in a thread, and
hands what became of it to `completed`, `failed`, `probed` or `rebuilt`. `next_event` says when to
call again if nothing else happens before. The asyncio driver is in `scheduler`; a simulation
needs nothing but this module and a virtual clock.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from khulasa_server.errors import ServiceError
from khulasa_server.scheduling.board import Board, not_ready, shutting_down
from khulasa_server.scheduling.cache import OutputCache
from khulasa_server.scheduling.census import take_census
from khulasa_server.scheduling.desk import Desk
from khulasa_server.scheduling.dispatch import Dispatcher
from khulasa_server.scheduling.items import State
from khulasa_server.scheduling.lane import Health, Lane
from khulasa_server.scheduling.lone import Lone
from khulasa_server.scheduling.observer import NamingObserver, Observer, SilentObserver
from khulasa_server.scheduling.types import (
    Drop,
    ModelProfile,
    Priority,
    SchedulerSettings,
    Stage,
    Statistics,
    Submission,
)
from khulasa_server.scheduling.work import Batch, Errand, Probe, Rebuild, Work

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from khulasa_server.engines.base import Engine, Generation
    from khulasa_server.scheduling.items import Outcome, Request, Waiter


__all__ = ["Batch", "Errand", "Probe", "Rebuild", "SchedulerCore", "Work"]


def _ignore(_model: str, _serving: bool) -> None:  # noqa: FBT001 - the callback has two parameters
    """Health that nobody asks for."""


class SchedulerCore:
    """Admission, queues, batches, cache and slots of the whole process.

    Args:
        settings: bounds of the process.
        rng: spreads the times at which the refused come back.
        observer: told what happens.
        on_health: told a model's name and whether it serves, whenever that changes.
    """

    def __init__(
        self,
        settings: SchedulerSettings,
        rng: random.Random,
        observer: Observer | None = None,
        on_health: Callable[[str, bool], None] = _ignore,
    ) -> None:
        self._settings = settings
        self._observer = NamingObserver(observer or SilentObserver())
        self._board = Board(OutputCache(settings.cache_bytes), self._observer)
        self._desk = Desk(self._board, settings, rng)
        self._dispatcher = Dispatcher(self._board, settings, on_health)

    @property
    def running(self) -> int:
        """Slots that are taken."""
        return self._dispatcher.running

    @property
    def requests(self) -> int:
        """Requests admitted and not released."""
        return len(self._desk.requests)

    def add_model(self, name: str, profile: ModelProfile) -> None:
        """Accept work for a model; its name must be new."""
        if name in self._board.lanes:
            raise ValueError(f"model {name} is there already")
        if profile.threads > self._settings.slots:
            raise ValueError(f"{profile.threads} threads do not fit {self._settings.slots} slots")
        self._board.lanes[name] = Lane(name, profile, self._settings)

    def renew(self, name: str, profile: ModelProfile) -> None:
        """Begin anew with a model of which nothing waits or runs, as when it was added."""
        lane = self._board.lanes[name]
        if lane.running or lane.caring or lane.waits or lane.health is not Health.UP:
            raise RuntimeError(f"model {name} is at work")
        del self._board.lanes[name]
        self.add_model(name, profile)

    def widen(self, name: str, threads: int, gain: float) -> None:
        """Give more threads to long items that have the machine to themselves; 0: no more."""
        self._board.lanes[name].lone = Lone(threads, gain) if threads else None

    def lone_threads(self, name: str) -> int:
        """Threads of such an item; 0: it runs as any other."""
        lone = self._board.lanes[name].lone
        return lone.threads if lone else 0

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nobody is here who could submit anything."""
        return not (self.running or self.requests)

    @property
    def waits(self) -> bool:
        """Whether anything waits for a slot."""
        return any(lane.waits for lane in self._board.lanes.values())

    def hold(self, slots: int) -> bool:
        """Take slots for other work; False: so many are not free."""
        return self._dispatcher.hold(slots)

    def want(self, more: int) -> None:
        """Start nothing while somebody waits to hold slots; `more` is 1, and -1 afterwards."""
        self._dispatcher.want(more)

    def let_go(self, slots: int) -> None:
        """Give held slots back."""
        self._dispatcher.let_go(slots)

    def remove_model(self, name: str) -> bool:
        """Fail what waits for a model; False: something of it still runs, call again later."""
        self._dispatcher.errands.refuse(self._board.lanes[name], lambda: not_ready(name))
        return self._dispatcher.recovery.abandon(name)

    def uses(self, name: str) -> bool:
        """Whether a request was admitted, and not released, that may still use a model."""
        return any(name in request.code_points for request in self._desk.requests)

    def errand(
        self,
        model: str,
        action: Callable[[Engine], object],
        deliver: Callable[[object], None],
        now: float,
    ) -> Errand:
        """Have something run on a model's engine when bulk work has its turn.

        Raises:
            UnavailableError: the model is not there, or the server is shutting down.
        """
        if self._desk.draining:
            raise shutting_down()
        return self._dispatcher.errands.add(model, action, deliver, now)

    def forget(self, errand: Errand) -> None:
        """Take an errand back; one that runs goes on, and nobody is told."""
        self._dispatcher.errands.forget(errand)

    def ran(self, errand: Errand, outcome: object) -> None:
        """Take what an errand returned, or the exception it raised."""
        self._dispatcher.ran(errand, outcome)

    def admit(
        self, stages: Sequence[Stage], priority: Priority, deadline: float, now: float
    ) -> Request:
        """Admit a request whole, or refuse it whole.

        Raises:
            OverloadedError, DeadlineError, UnavailableError: why it is refused.
        """
        try:
            return self.try_admit(stages, priority, deadline, now)
        except ServiceError as error:
            self._observer.rejected(self._culprit(stages), priority, error.reason)
            raise

    def try_admit(
        self, stages: Sequence[Stage], priority: Priority, deadline: float, now: float
    ) -> Request:
        """As `admit`, for a caller that will try again: a refusal is not counted."""
        running = self._dispatcher.running_seconds(now)
        return self._desk.admit(stages, priority, deadline, now, running)

    def _culprit(self, stages: Sequence[Stage]) -> str:
        """The model that a refusal is counted for: the first that is not up, or the first."""
        lanes = self._board.lanes
        down = [
            stage.model
            for stage in stages
            if stage.model not in lanes or lanes[stage.model].health is Health.DOWN
        ]
        return (down or [stage.model for stage in stages] or ["_none"])[0]

    def submit(
        self,
        request: Request,
        submission: Submission,
        deliver: Callable[[Outcome], None],
        now: float,
    ) -> Waiter:
        """Take a segment of an admitted request; `deliver` is called once, maybe before return."""
        return self._desk.submit(request, submission, deliver, now)

    def cancel(self, waiter: Waiter) -> None:
        """Withdraw one segment; nothing happens if it is settled."""
        if not waiter.settled:
            self._board.leave(waiter)

    def release(self, request: Request, now: float) -> None:
        """End a request and cancel everything of it that is not settled."""
        self._desk.release(request, now)

    def expire(self, now: float) -> None:
        """Drop what waits past its deadline, and give up on engine calls that do not end."""
        self._desk.expire(now)
        self._dispatcher.notice_stalls(now)

    def next_work(self, now: float) -> Work | None:
        """Take a slot for the most urgent work; None: no slot is free, or nothing waits."""
        self._dispatcher.learn()
        self._desk.expire(now)
        return self._dispatcher.next_work(now)

    def next_event(self, after: float = -math.inf) -> float | None:
        """When a deadline passes, an engine may be rebuilt, or a call hangs; None: nothing does.

        What was due by `after`, and still waits, waits for a slot and not for a time.
        """
        events = (
            self._desk.next_deadline(),
            self._dispatcher.recovery.next_rebuild(),
            self._dispatcher.next_stall(),
        )
        return min((event for event in events if event is not None and event > after), default=None)

    def completed(
        self, batch: Batch, generations: Sequence[Generation], seconds: float, now: float
    ) -> None:
        """Take the outputs of a batch, which ran for `seconds` and ended at `now`."""
        self._dispatcher.completed(batch, generations, seconds, now)

    def failed(self, batch: Batch, error: Exception, now: float) -> None:
        """Take back a batch whose engine call raised."""
        self._dispatcher.failed(batch, error, now)
        if self._desk.closed:
            self._fail_waiting()

    def probed(self, probe: Probe, *, sound: bool, now: float) -> None:
        """Take the verdict of a golden input."""
        self._dispatcher.probed(probe, sound=sound, now=now)

    def rebuilt(self, rebuild: Rebuild, *, succeeded: bool, now: float) -> None:
        """Take note whether an engine works again."""
        self._dispatcher.rebuilt(rebuild, succeeded=succeeded, now=now)

    def drain(self) -> None:
        """Admit nothing any more; what was admitted goes on, errands that wait do not."""
        self._desk.draining = True
        for lane in self._board.lanes.values():
            self._dispatcher.errands.refuse(lane, shutting_down)

    def close(self) -> None:
        """Fail everything that has not started; what runs is still to be reported."""
        self.drain()
        self._desk.closed = True
        self._fail_waiting()

    def _fail_waiting(self) -> None:
        for request in list(self._desk.requests):
            for waiter in list(request.waiters):
                if waiter.item is not None and waiter.item.state is State.WAITING:
                    self._board.drop(waiter, Drop.SHUTTING_DOWN, shutting_down())

    def statistics(self) -> Statistics:
        """State at this moment."""
        self._dispatcher.learn()
        return Statistics(
            lanes=take_census(self._board, self._desk.requests, self._settings.slots),
            slots=self._settings.slots,
            running=self._dispatcher.running,
            requests=self.requests,
            submitted=self._board.submitted,
            outstanding=self._board.outstanding,
            settled=dict(self._board.settled),
            cache_bytes=self._board.cache.size,
        )
