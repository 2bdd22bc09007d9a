"""The loaded models of one process: brought up side by side, each by itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from khulasa_server.bundles import store
from khulasa_server.bundles.errors import BundleError
from khulasa_server.bundles.manifest import Task
from khulasa_server.engines import memory
from khulasa_server.engines.base import Engine, EngineError
from khulasa_server.engines.proving import load_proven, prove
from khulasa_server.observability.logs import logger
from khulasa_server.observability.metrics import Metrics, ModelFacts
from khulasa_server.scheduling import ModelProfile
from khulasa_server.scheduling.cost import Shape, fit_prior
from khulasa_server.tasks.catalog import Model, ModelState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from concurrent.futures import Executor

    from khulasa_server.bundles.canary import Mode
    from khulasa_server.bundles.store import Bundle
    from khulasa_server.engines.base import Timing
    from khulasa_server.engines.plan import ThreadPlan
    from khulasa_server.engines.proving import EngineKind, Proven
    from khulasa_server.scheduling import Scheduler
    from khulasa_server.tasks.catalog import Catalog

log = logger(__name__)

SUMMARY_RATIO = 0.3
"""Output tokens of a summary for each of input, until the scheduler has learned better."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How every model is loaded, and where that blocks."""

    kind: EngineKind
    plan: ThreadPlan
    canary: Mode
    executor: Executor


@dataclass(frozen=True, slots=True)
class Fleet:
    """Loads the configured bundles and keeps the catalog in step with them.

    Args:
        catalog: where the models are listed.
        scheduler: runs the loaded ones.
        metrics: told what serves.
        options: how to load.
        changed: awaited after each change of a model's state.
    """

    catalog: Catalog
    scheduler: Scheduler
    metrics: Metrics
    options: LoadOptions
    changed: Callable[[], Awaitable[None]]
    plans: dict[str, ThreadPlan] = field(default_factory=dict)
    """Of models for which another one was measured to be better than that of `options`."""
    bundles: dict[str, Bundle] = field(default_factory=dict)
    """What each model was loaded from, or is to be."""

    def register(self, bundles: Sequence[Bundle]) -> None:
        """List every bundle as a model that has yet to be loaded.

        Raises:
            ValueError: two of them have the same name.
        """
        for bundle in bundles:
            self.metrics.add_model(self.catalog.add(bundle.manifest).name)
            self.bundles[bundle.manifest.name] = bundle

    async def load_all(self, bundles: Sequence[Bundle]) -> None:
        """Load every registered bundle, side by side; one that fails leaves the others alone."""
        share = max(1, self.options.plan.slots // max(1, len(bundles)))
        await asyncio.gather(*(self._bring_up(bundle, share) for bundle in bundles))
        await asyncio.get_running_loop().run_in_executor(self.options.executor, memory.give_back)

    async def set_health(self, lane: str, *, serving: bool) -> None:
        """Follow an engine that fell, or came back; one that was replaced is of no interest."""
        model = self.catalog.in_lane(lane)
        if model is not None and model.state in {ModelState.READY, ModelState.FAILED}:
            model.state = ModelState.READY if serving else ModelState.FAILED
            model.detail = "" if serving else "its engine failed and is being rebuilt"
            await self.changed()

    async def close(self) -> None:
        """Free every engine; nothing may run any more."""
        for model in self.catalog:
            if model.engine is not None:
                engine, model.engine = await self.scheduler.remove_model(model.lane), None
                engine.close()

    async def _bring_up(self, bundle: Bundle, share: int) -> None:
        await self._load(self.catalog.models[bundle.manifest.name], bundle, share)
        await self.changed()

    async def _load(self, model: Model, bundle: Bundle, share: int) -> None:
        try:
            proven = await self._load_in_turn(bundle, share)
        except (BundleError, EngineError) as error:
            model.state, model.detail = ModelState.FAILED, str(error)
            log.error("model_refused", model=model.name, why=str(error))  # noqa: TRY400 - said whole
            return
        except Exception as error:
            model.state, model.detail = ModelState.FAILED, f"{type(error).__name__}: {error}"
            log.exception("model_failed_to_load", model=model.name)
            return
        self.enroll(model, bundle, proven.engine, profile(model, proven.timings))
        model.engine, model.state = proven.engine, ModelState.READY
        self.tell(model, proven)

    async def _load_in_turn(self, bundle: Bundle, share: int) -> Proven:
        """Load on its share of the slots while nothing runs, else on those of one batch."""
        slots, plan = self.scheduler.slots, self.options.plan
        held = max(share, plan.threads)
        if not slots.hold(held):
            held = plan.threads
            await slots.take(held)
        prove = partial(self._prove, bundle, together=held // plan.threads)
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self.options.executor, prove)
        finally:
            slots.let_go(held)

    def _prove(self, bundle: Bundle, together: int = 1) -> Proven:
        options = self.options
        plan = self.plans.get(bundle.manifest.name, options.plan)
        return load_proven(
            replace(bundle, path=store.pinned(bundle.path)),
            options.kind,
            workers=plan.workers,
            threads=plan.threads,
            mode=options.canary,
            together=together,
        )

    def exchange(self, model: Model, engine: Engine, plan: ThreadPlan) -> Engine:
        """Serve a model with another engine of the same weights; returns the one before.

        The caller holds every slot.
        """
        cost = self.scheduler.statistics().lanes[model.name].coefficients
        known = replace(profile(model), prior=cost, threads=plan.threads)
        before = self.scheduler.exchange(model.lane, engine, known)
        model.engine = engine
        self.plans[model.name] = plan
        return before

    def _rebuild(self, model: Model, bundle: Bundle) -> Engine:
        model.engine = self._prove(bundle).engine
        return model.engine

    def _probe(self, bundle: Bundle) -> Callable[[Engine], None]:
        if self.options.kind == "scripted":
            return lambda _engine: None
        return lambda engine: void(prove(engine, bundle, "tolerant"))

    def enroll(self, model: Model, bundle: Bundle, engine: Engine, known: ModelProfile) -> None:
        """Let the scheduler run a model that was loaded by the plan of the options.

        `known`: what is believed of it.
        """
        known = replace(known, threads=self.options.plan.threads)
        self.scheduler.add_model(
            model.lane,
            engine,
            known,
            probe=self._probe(bundle),
            rebuild=lambda: self._rebuild(model, bundle),
        )

    def tell(self, model: Model, proven: Proven) -> None:
        """Say in metrics and log that a model serves from now on."""
        self.metrics.model_serves(self._facts(model, proven))
        plan, reason = self.options.plan, "default" if self.options.plan.chosen else "setting"
        self.metrics.threads_chosen(
            model.name, threads=plan.slots, plan=str(plan), lone="", reason=reason
        )
        report = proven.report
        if report.changed:
            log.warning("golden_texts_differ", model=model.name, equal=report.texts_equal)
        log.info("model_ready", model=model.name, seconds=round(proven.load_seconds, 3))
        if model.manifest.demonstration:
            log.warning(
                "demonstration_model",
                model=model.name,
                meaning="trained for show, not for use",
                production_build=model.manifest.production_build,
            )

    def _facts(self, model: Model, proven: Proven) -> ModelFacts:
        return ModelFacts(
            model=model.name,
            digest=model.manifest.digest,
            engine=proven.engine.name,
            compute_type=proven.engine.compute_type,
            license_name=model.manifest.source.license,
            load_seconds=proven.load_seconds,
        )


def profile(model: Model, timings: Sequence[Timing] = ()) -> ModelProfile:
    """What the scheduler believes of a model before its first batch, with what start-up timed."""
    manifest, limits = model.manifest, model.manifest.limits
    summarizes = model.task is Task.SUMMARIZE
    window = limits.max_input_tokens if summarizes else limits.segment_tokens
    defaults = ModelProfile(digest=manifest.digest, tokenizer_digest=manifest.digest)
    return ModelProfile(
        digest=manifest.digest,
        tokenizer_digest=manifest.digest,
        prior=fit_prior([(_shape(each), each.seconds) for each in timings], defaults.prior),
        segment_tokens=window if summarizes else defaults.segment_tokens,
        max_segment_tokens=window,
        output_ratio=SUMMARY_RATIO if summarizes else defaults.output_ratio,
        max_output_tokens=manifest.generation.max_output_tokens,
    )


def _shape(timing: Timing) -> Shape:
    return Shape(timing.items, timing.longest, timing.steps, timing.written, timing.beam_size)


def void(_: object) -> None:
    """Drop a value."""
