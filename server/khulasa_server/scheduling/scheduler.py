"""The asyncio driver: one event-driven loop that feeds worker threads from the pure core."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from khulasa_server.errors import OverloadedError
from khulasa_server.scheduling.board import late
from khulasa_server.scheduling.core import SchedulerCore
from khulasa_server.scheduling.slots import Slots
from khulasa_server.scheduling.ticket import Ticket
from khulasa_server.scheduling.types import Priority
from khulasa_server.scheduling.work import Errand, Probe, Rebuild
from khulasa_server.scheduling.worker import LoadedModel, Ran, run

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor

    from khulasa_server.engines.base import Engine
    from khulasa_server.scheduling.items import Outcome, Request, Waiter
    from khulasa_server.scheduling.observer import Observer
    from khulasa_server.scheduling.types import (
        ModelProfile,
        SchedulerSettings,
        Stage,
        Statistics,
        Submission,
    )
    from khulasa_server.scheduling.work import Work


Result = TypeVar("Result")


def _sound(_engine: Engine) -> None:
    """The probe of an engine without golden inputs: it finds nothing."""


class Scheduler:
    """Every segment of every request goes through the one instance of a process.

    Made and used on one event loop. Engines run in the executor's threads, at most
    `settings.slots` at once, and never on the loop.

    Args:
        settings: bounds of the process.
        executor: runs engines; give it as many threads as there are slots.
        rng: spreads the times at which the refused come back.
        clock: monotonic, in seconds; deadlines are on it.
        observer: told what happens.
        on_health: told a model's name and whether it serves, whenever that changes.
    """

    def __init__(
        self,
        settings: SchedulerSettings,
        *,
        executor: Executor,
        rng: random.Random,
        clock: Callable[[], float] = time.monotonic,
        observer: Observer | None = None,
        on_health: Callable[[str, bool], None] | None = None,
    ) -> None:
        self._executor = executor
        self._clock = clock
        extras = {} if on_health is None else {"on_health": on_health}
        self._core = SchedulerCore(settings, rng, observer, **extras)
        self._models: dict[str, LoadedModel] = {}
        self._woken: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._line = asyncio.Lock()
        """Those who wait for room for bulk work, first come first served."""
        self._expected: Counter[str] = Counter()
        """How many of them will use a model."""
        self._changes: set[asyncio.Future[None]] = set()
        self._closing: set[asyncio.Future[None]] = set()
        self.slots = Slots(self._core, self.change, self._wake, clock)
        """For work that is no segment."""

    def add_model(
        self,
        name: str,
        engine: Engine,
        profile: ModelProfile,
        *,
        probe: Callable[[Engine], None] = _sound,
        rebuild: Callable[[], Engine] | None = None,
    ) -> None:
        """Accept work for a model.

        Args:
            name: unique among the models.
            engine: runs it.
            profile: what is believed of it before its first batch.
            probe: runs a golden input on the engine and raises if it fails; in a worker thread.
            rebuild: loads a new engine after a failure; in a worker thread, while nothing else
                of this model runs. The old engine is closed before it is called. None: a failed
                model stays down.
        """
        self._core.add_model(name, profile)
        self._models[name] = LoadedModel(engine, probe, rebuild)

    async def remove_model(self, name: str) -> Engine:
        """Fail what waits for a model, wait for what runs, and hand back its engine."""
        while not self._core.remove_model(name):
            await self.change()
        model = self._models.pop(name)
        if model.lone is not None:
            await self._closed(model.lone)
        return model.engine

    def exchange(self, name: str, engine: Engine, profile: ModelProfile) -> Engine:
        """Go on with another engine of the same weights; returns the one before.

        The caller holds every slot, and nothing waits.
        """
        self._core.renew(name, profile)
        model = self._models[name]
        before, model.engine = model.engine, engine
        return before

    def set_lone(self, name: str, engine: Engine, threads: int, gain: float) -> None:
        """Run a long item that has the machine to itself on an engine of its own.

        Args:
            name: of the model.
            engine: with the same weights, `threads` threads and one worker; closed here when it
                does not pay any more, or the model goes.
            threads: 2 or more, at most all slots.
            gain: times faster than the usual engine, as measured.
        """
        self._models[name].lone = engine
        self._core.widen(name, threads, gain)

    async def retire_model(self, name: str) -> Engine:
        """As `remove_model`, once every request that it was admitted or waits for has ended.

        It goes on taking work meanwhile: whoever sends requests elsewhere comes first.
        """
        while self._expected[name] or self._core.uses(name):
            await self.change()
        return await self.remove_model(name)

    async def run_errand(self, name: str, action: Callable[[Engine], Result]) -> Result:
        """Run something on a model's engine, in a slot, when bulk work has its turn.

        Args:
            name: of the model.
            action: given the engine, in a worker thread; what it returns or raises comes back.

        Raises:
            UnavailableError: the model is not there any more, or the server is shutting down.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        errand = self._core.errand(name, action, partial(_resolve, future), self._clock())
        self._wake()
        try:
            return await future
        finally:
            self._core.forget(errand)

    def admit(
        self,
        stages: Sequence[Stage],
        *,
        deadline: float,
        priority: Priority = Priority.INTERACTIVE,
    ) -> Ticket:
        """Admit a request whole, or refuse it whole, at once.

        Args:
            stages: all its work, later stages included.
            deadline: on the scheduler's clock; it must be finite.
            priority: of all its segments.

        Raises:
            OverloadedError: no room now; `retry_after` is set.
            DeadlineError: not even an idle server could finish it in time.
            UnavailableError: a model is not there, or the server is shutting down.
        """
        return Ticket(self, self._core.admit(stages, priority, deadline, self._clock()))

    async def admit_bulk(self, stages: Sequence[Stage], *, deadline: float) -> Ticket:
        """Admit bulk work as soon as there is room: the wait is the back-pressure.

        Raises:
            DeadlineError: the deadline passed first, or not even an idle server could finish.
            UnavailableError: a model is not there, or the server is shutting down.
        """
        try:
            with self._expecting(stages):
                async with asyncio.timeout(max(0.0, deadline - self._clock())), self._line:
                    return await self._admit_when_possible(stages, deadline)
        except TimeoutError:
            raise late() from None

    @contextmanager
    def _expecting(self, stages: Sequence[Stage]) -> Iterator[None]:
        models = {stage.model for stage in stages}
        self._expected.update(models)
        try:
            yield
        finally:
            self._expected.subtract(models)
            self._notify()

    async def _admit_when_possible(self, stages: Sequence[Stage], deadline: float) -> Ticket:
        while True:
            try:
                request = self._core.try_admit(stages, Priority.BULK, deadline, self._clock())
            except OverloadedError:
                await self.change()
            else:
                return Ticket(self, request)

    def place(
        self, request: Request, submission: Submission, deliver: Callable[[Outcome], None]
    ) -> Waiter:
        """Take a segment of a ticket."""
        waiter = self._core.submit(request, submission, deliver, self._clock())
        self._wake()
        return waiter

    def withdraw(self, waiter: Waiter) -> None:
        """Take a segment back."""
        self._core.cancel(waiter)
        self._wake()

    def release(self, request: Request) -> None:
        """End the request of a ticket."""
        self._core.release(request, self._clock())
        self._wake()

    def statistics(self) -> Statistics:
        """State at this moment, for gauges."""
        return self._core.statistics()

    def begin_drain(self) -> None:
        """Admit nothing any more; what was admitted goes on."""
        self._core.drain()
        self._notify()

    async def drain(self, grace: float) -> bool:
        """Admit nothing any more and wait until every ticket was left.

        Returns False when `grace` seconds passed first.
        """
        self.begin_drain()
        try:
            async with asyncio.timeout(grace):
                while self._core.requests:
                    await self.change()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Fail what has not started with SHUTTING_DOWN and wait for the running batches.

        Engines and the executor are the caller's to close.
        """
        self._core.close()
        self._notify()
        while self._core.running:
            await self.change()
        await asyncio.gather(*self._closing)
        for handle in (self._woken, self._timer):
            if handle is not None:
                handle.cancel()

    def _wake(self) -> None:
        """Look for work in the loop's next step, so that what comes together runs together."""
        if self._woken is None:
            self._woken = asyncio.get_running_loop().call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._woken = None
        now = self._clock()
        self._core.expire(now)
        while (work := self._core.next_work(now)) is not None:
            self._run(work)
        self._set_timer(now)
        self._notify()

    def _set_timer(self, now: float) -> None:
        """Wake up at the next deadline, however long no engine reports.

        A timer that is set for an earlier moment stays: deadlines come and go with every call, and
        nearly all of them are later.
        """
        event = self._core.next_event(now)
        if event is None or event >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        delay = max(0.0, event - self._clock())
        self._timer = asyncio.get_running_loop().call_later(delay, self._time_is_up)
        self._timer_at = event

    def _time_is_up(self) -> None:
        self._timer, self._timer_at = None, math.inf
        self._wake()

    def _run(self, work: Work) -> None:
        future = self._executor.submit(run, work, self._models[work.model], self._clock)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda done: _hand_over(loop, self._ended, work, done.result()))

    def _ended(self, work: Work, ran: Ran) -> None:
        if self._core.waits:
            # The slot comes first: what callers do with their outputs would keep it idle. With
            # nothing to run, callers come first, and what is learned from their batch after them.
            self._wake()
        self._report(work, ran, self._clock())
        self._retire_lone(work.model)
        self._wake()

    def _retire_lone(self, name: str) -> None:
        """Free a lone engine that the core has given up; nothing of it runs then."""
        model = self._models[name]
        if model.lone is not None and not self._core.lone_threads(name):
            lone, model.lone = model.lone, None
            self._closing.add(closing := asyncio.ensure_future(self._closed(lone)))
            closing.add_done_callback(self._closing.discard)

    async def _closed(self, engine: Engine) -> None:
        # Freeing memory takes longer than the loop may stand still.
        await asyncio.get_running_loop().run_in_executor(self._executor, engine.close)

    def _report(self, work: Work, ran: Ran, now: float) -> None:
        if isinstance(work, Probe):
            self._core.probed(work, sound=ran.error is None, now=now)
        elif isinstance(work, Rebuild):
            if ran.engine is not None:
                self._models[work.model].engine = ran.engine
                self._core.widen(work.model, 0, 0.0)
            self._core.rebuilt(work, succeeded=ran.error is None, now=now)
        elif isinstance(work, Errand):
            self._core.ran(work, ran.result if ran.error is None else ran.error)
        elif ran.error is not None:
            self._core.failed(work, ran.error, now)
        else:
            self._core.completed(work, ran.generations, ran.seconds, now)

    async def change(self) -> None:
        """Wait until anything has happened that could matter to somebody who waits."""
        change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._changes.add(change)
        try:
            await change
        finally:
            self._changes.discard(change)

    def _notify(self) -> None:
        for change in self._changes:
            if not change.done():
                change.set_result(None)


def _hand_over(
    loop: asyncio.AbstractEventLoop, take: Callable[[Work, Ran], None], work: Work, ran: Ran
) -> None:
    """Bring back from a worker thread what it did, in one step of the loop instead of three."""
    with suppress(RuntimeError):  # the server ended without waiting for a call that hung
        loop.call_soon_threadsafe(take, work, ran)


def _resolve(future: asyncio.Future[Result], outcome: Result | Exception) -> None:
    if future.done():  # nobody waits any more
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
