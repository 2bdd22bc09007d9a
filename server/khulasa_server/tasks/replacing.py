"""A new bundle takes the place of one that serves, and nobody notices but by its digest."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from khulasa_server.bundles.errors import ReplacementError
from khulasa_server.engines.proving import Proven, load_checked, make_ready
from khulasa_server.errors import Reason, ServiceError, UnavailableError
from khulasa_server.observability.logs import logger
from khulasa_server.scheduling.naming import successor_of
from khulasa_server.tasks.catalog import Model, ModelState
from khulasa_server.tasks.deputy import Deputy
from khulasa_server.tasks.fleet import profile

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from khulasa_server.bundles.store import Bundle
    from khulasa_server.engines.base import Engine
    from khulasa_server.scheduling import ModelProfile
    from khulasa_server.tasks.fleet import Fleet

log = logger(__name__)


@dataclass(slots=True)
class Replacing:
    """Replaces one model at a time, so that at most one bundle more than configured is in memory.

    Args:
        fleet: whose models are replaced.
        undisturbed: around each replacement; nobody else touches engines inside.
        over: True: the server stops, nothing is replaced any more.
    """

    fleet: Fleet
    undisturbed: Callable[[], AbstractAsyncContextManager[None]]
    over: bool = False
    _retiring: dict[str, asyncio.Task[Engine]] = field(default_factory=dict)

    async def replace(self, name: str, bundle: Bundle) -> None:
        """Load a bundle beside the model, prove it, switch, and let the old one finish its work.

        The old one stays where the new one does not prove itself, for whatever reason.
        """
        old = self.fleet.catalog.models[name]
        log.info("model_loading", model=name, digest=bundle.manifest.digest)
        try:
            _refuse_another(old, bundle)
            async with self.undisturbed():
                new, proven = await self._candidate(old, bundle)
                await self._switch(new, bundle, proven)
        except Exception as error:  # noqa: BLE001 - what went wrong with a file must not end a server
            self.refuse(name, error)
        else:
            await self._retire(old)

    def refuse(self, name: str, error: Exception) -> None:
        """Say why a model stays as it is; a server that stops is no failure of a bundle."""
        if isinstance(error, ServiceError) and error.reason is Reason.SHUTTING_DOWN:
            log.info("model_kept", model=name, why="the server is stopping")
            return
        model = self.fleet.catalog.models[name]
        why = str(error) or type(error).__name__
        if model.engine is not None and model.state is ModelState.READY:
            model.detail = f"its replacement was refused: {why}"
        self.fleet.metrics.model_reloaded(name, succeeded=False)
        log.error("model_kept", model=name, digest=model.manifest.digest, why=why)

    def stop(self) -> None:
        """Replace nothing any more; models whose work has not ended are for `close`."""
        self.over = True
        for retiring in self._retiring.values():
            retiring.cancel()

    async def close(self) -> None:
        """Free the engines that were replaced; nothing may run any more."""
        for lane in list(self._retiring):
            (await self.fleet.scheduler.remove_model(lane)).close()

    async def _candidate(self, old: Model, bundle: Bundle) -> tuple[Model, Proven]:
        """The new model, proven, and unknown to callers."""
        started = time.monotonic()
        engine = await asyncio.to_thread(self._load, bundle)
        new = Model(bundle.manifest, engine=engine, lane=successor_of(old.lane))
        self.fleet.enroll(new, bundle, engine, self._known(old, new))
        try:
            proven = await self._proven(new, bundle, engine, started)
        except BaseException:
            (await self.fleet.scheduler.remove_model(new.lane)).close()
            raise
        return new, proven

    def _load(self, bundle: Bundle) -> Engine:
        options = self.fleet.options
        plan = options.plan
        return load_checked(bundle, options.kind, workers=plan.workers, threads=plan.threads)

    def _known(self, old: Model, new: Model) -> ModelProfile:
        """What batches cost until now is the best guess of what they will."""
        lane = self.fleet.scheduler.statistics().lanes.get(old.name)
        known = profile(new)
        return replace(known, prior=lane.coefficients) if lane else known

    async def _proven(self, new: Model, bundle: Bundle, engine: Engine, started: float) -> Proven:
        options = self.fleet.options
        deputy = Deputy(self.fleet.scheduler, new.lane, engine, asyncio.get_running_loop())
        report, timings = await asyncio.to_thread(
            make_ready, deputy, bundle, options.kind, options.canary
        )
        if self.over:
            raise UnavailableError(Reason.SHUTTING_DOWN, "the server is stopping")
        return Proven(engine, report, time.monotonic() - started, timings)

    async def _switch(self, new: Model, bundle: Bundle, proven: Proven) -> None:
        """From here on requests go to the new model; one step of the event loop."""
        new.state = ModelState.READY
        self.fleet.plans.pop(new.name, None)
        self.fleet.bundles[new.name] = bundle
        self.fleet.catalog.put(new)
        self.fleet.tell(new, proven)
        self.fleet.metrics.model_reloaded(new.name, succeeded=True)
        log.info("model_replaced", model=new.name, digest=new.manifest.digest)
        await self.fleet.changed()

    async def _retire(self, old: Model) -> None:
        """Close a model's engine after the last request that was routed to it."""
        if old.engine is None:
            return
        retiring = asyncio.ensure_future(self.fleet.scheduler.retire_model(old.lane))
        self._retiring[old.lane] = retiring
        await asyncio.wait({retiring})
        if not retiring.cancelled():
            del self._retiring[old.lane]
            retiring.result().close()
            log.info("model_closed", model=old.name, digest=old.manifest.digest)


def _refuse_another(old: Model, bundle: Bundle) -> None:
    """Callers know models by name and task: another set of them needs another process."""
    new = bundle.manifest
    if (new.name, new.task) != (old.name, old.task):
        raise ReplacementError(
            f"{bundle.path} holds {new.name}, which can {new.task}; while the server runs, only "
            f"another {old.name} that can {old.task} can take its place"
        )
