"""Chooses each model's threads once the server serves, whenever nobody is there to be disturbed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from khulasa_server.bundles.errors import BundleError
from khulasa_server.bundles.manifest import Task
from khulasa_server.engines import calibration, trials
from khulasa_server.engines.base import EngineError
from khulasa_server.engines.calibration import Choice, Comparison, Speed
from khulasa_server.engines.proving import load_checked, prove
from khulasa_server.observability.logs import logger
from khulasa_server.tasks.catalog import ModelState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from khulasa_server.bundles.store import Bundle
    from khulasa_server.engines.base import Engine
    from khulasa_server.engines.plan import ThreadPlan
    from khulasa_server.engines.trials import Trial
    from khulasa_server.tasks.catalog import Model
    from khulasa_server.tasks.fleet import Fleet

log = logger(__name__)
R = TypeVar("R")

SETTLED_SECONDS: Final = 2.0
"""Without a request before the first measurement: a server that is called at once has better
things to do."""
PAUSE_SECONDS: Final = 0.05
"""Without a request before each further one."""
ROUNDS: Final = 5
"""Of each measurement, taken in turns, so that what disturbs one disturbs its neighbour too."""
STEPS: Final = 16
LONG_TOKENS: Final = 256
SENTENCES: Final = 8


class _GoneError(Exception):
    """The model is not what it was when its measurement began."""


@dataclass(slots=True)
class Tuner:
    """Measures each model's speed at each number of threads, or remembers it.

    Every measurement takes all slots, so that engine threads never exceed the cores, and is short,
    because whoever comes meanwhile waits for its end.

    Args:
        fleet: whose models these are.
        path: file that keeps choices; None: they are measured at each start.
    """

    fleet: Fleet
    path: Path | None
    settled: float = SETTLED_SECONDS
    """Seconds without a request before the next measurement."""
    done: set[str] = field(default_factory=set)
    """Digests of models that were tuned, or cannot be."""

    async def tune(self) -> None:
        """Choose for each model that serves, one after the other; a failure is logged.

        Called again, it goes on with those that are left, or were replaced.
        """
        for bundle in list(self.fleet.bundles.values()):
            model = self.fleet.catalog.models[bundle.manifest.name]
            # One whose engine was exchanged is no yardstick for what one thread does.
            if bundle.manifest.digest in self.done or model.name in self.fleet.plans:
                continue
            try:
                await self._tune(model, bundle)
            except (BundleError, EngineError, _GoneError) as error:
                log.warning("threads_not_calibrated", model=model.name, why=str(error))
            self.done.add(bundle.manifest.digest)

    async def _tune(self, model: Model, bundle: Bundle) -> None:
        digest, cores = bundle.manifest.digest, self._plan.slots
        kept = await asyncio.to_thread(calibration.recall, self.path, digest, cores)
        choice = kept or await self._measure(model, bundle)
        await self._apply(model, bundle, choice)
        if kept is None:
            await self._keep(digest, choice)
        source = "file" if kept else "calibrated"
        log.info("threads_calibrated", model=model.name, source=source, **choice.model_dump())
        lone = replace(self._plan, workers=1, threads=choice.lone_threads)
        self.fleet.metrics.threads_chosen(
            model.name,
            plan=str(self._with(choice.threads)),
            lone=str(lone) if choice.lone_threads else "",
            reason=source,
            threads=cores,
        )

    async def _keep(self, digest: str, choice: Choice) -> None:
        try:
            await asyncio.to_thread(calibration.keep, self.path, digest, self._plan.slots, choice)
        except OSError as error:
            log.warning("calibration_not_kept", file=str(self.path), why=str(error))

    @property
    def _plan(self) -> ThreadPlan:
        return self.fleet.options.plan

    def _with(self, threads: int) -> ThreadPlan:
        """The plan that fills the same cores with batches of so many threads."""
        return replace(self._plan, workers=self._plan.slots // threads, threads=threads)

    async def _measure(self, model: Model, bundle: Bundle) -> Choice:
        comparisons = []
        for threads in calibration.candidates(self._plan.slots)[1:]:
            copy = await self._copy(bundle, self._with(threads))
            try:
                rounds = [await self._round(model, bundle, threads, copy) for _ in range(ROUNDS)]
            finally:
                await _to_its_end(copy.close)
            comparisons.append(Comparison(threads, tuple(rounds)))
        long_inputs = model.task is Task.SUMMARIZE
        return calibration.choose(comparisons, self._plan.slots, long_inputs=long_inputs)

    async def _round(
        self, model: Model, bundle: Bundle, threads: int, copy: Engine
    ) -> tuple[Speed, Speed]:
        """The speed of the engine that serves, with one thread, and of its copy."""
        one = await self._speed(model, bundle, 1, None)
        return one, await self._speed(model, bundle, threads, copy)

    async def _speed(
        self, model: Model, bundle: Bundle, threads: int, engine: Engine | None
    ) -> Speed:
        sentences = trials.sentences(bundle.manifest, STEPS, SENTENCES)
        long = trials.longest(bundle.manifest, STEPS, LONG_TOKENS)
        workers = self._plan.slots // threads
        together = await self._timed(model, engine, sentences, workers)
        alone = await self._timed(model, engine, long, 1)
        return Speed(workers * len(sentences.batch) / together, alone)

    async def _timed(
        self, model: Model, engine: Engine | None, trial: Trial, workers: int
    ) -> float:
        """Seconds until the last of `workers` equal batches has ended, with the machine free."""

        def run() -> float:
            subject = engine or model.engine
            if subject is None or model.state is not ModelState.READY:
                raise _GoneError(f"the model is {model.state.value}")
            return max(timing.seconds for timing in trials.run(subject, trial, workers))

        return await self._exclusively(run)

    async def _exclusively(self, function: Callable[[], R]) -> R:
        """Run in a worker thread while nothing else does."""
        slots = self.fleet.scheduler.slots
        await slots.take_when_idle(self._plan.slots, self.settled)
        self.settled = PAUSE_SECONDS
        try:
            return await _to_its_end(function)
        finally:
            slots.let_go(self._plan.slots)

    async def _copy(self, bundle: Bundle, plan: ThreadPlan) -> Engine:
        """A second engine of the same weights, proven as the first one was."""
        read = partial(
            load_checked,
            bundle,
            self.fleet.options.kind,
            workers=plan.workers,
            threads=plan.threads,
        )
        engine = await _to_its_end(read)
        try:
            await self._exclusively(partial(prove, engine, bundle, "tolerant"))
        except BaseException:
            engine.close()
            raise
        return engine

    async def _apply(self, model: Model, bundle: Bundle, choice: Choice) -> None:
        if choice.threads != self._plan.threads:
            plan = self._with(choice.threads)
            await self._exchange(model, await self._copy(bundle, plan), plan)
        if choice.lone_threads:
            plan = replace(self._plan, workers=1, threads=choice.lone_threads)
            lone = await self._copy(bundle, plan)
            self.fleet.scheduler.set_lone(model.lane, lone, choice.lone_threads, choice.gain)

    async def _exchange(self, model: Model, engine: Engine, plan: ThreadPlan) -> None:
        slots = self.fleet.scheduler.slots
        await slots.take_when_idle(plan.slots, PAUSE_SECONDS)
        try:
            before = self.fleet.exchange(model, engine, plan)
        finally:
            slots.let_go(plan.slots)
        await _to_its_end(before.close)


async def _to_its_end(function: Callable[[], R]) -> R:
    """Run in a thread, and wait for it even if nobody wants the result any more."""
    running = asyncio.ensure_future(asyncio.to_thread(function))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
