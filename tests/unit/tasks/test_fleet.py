"""Models are brought up one by one, each by itself."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from khulasa_server.bundles import store
from khulasa_server.bundles.errors import DigestMismatchError
from khulasa_server.engines import proving
from khulasa_server.engines.base import EngineError, Timing
from khulasa_server.engines.plan import ThreadPlan, plan_threads
from khulasa_server.engines.scripted import ScriptedEngine
from khulasa_server.guards.findings import Kind
from khulasa_server.observability.metrics import Metrics
from khulasa_server.scheduling import Scheduler, SchedulerSettings
from khulasa_server.scheduling.cost import Shape, seconds_of
from khulasa_server.scheduling.types import TYPICAL
from khulasa_server.tasks.catalog import Catalog, ModelState
from khulasa_server.tasks.fleet import Fleet, LoadOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from khulasa_server.bundles.manifest import Manifest

TRANSLATOR, SUMMARIZER = "demo-marian-ar-en", "demo-mt5-ar-summary"


@dataclass
class Yard:
    """A fleet, and the states that were published."""

    fleet: Fleet
    published: list[dict[str, ModelState]] = field(default_factory=list)

    async def publish(self) -> None:
        """Keep the states of the moment."""
        self.published.append({model.name: model.state for model in self.fleet.catalog})


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    """One thread, as for one slot."""
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
async def yard(executor: ThreadPoolExecutor) -> Yard:
    """The embedded bundles, registered, with scripted engines."""
    scheduler = Scheduler(SchedulerSettings(), executor=executor, rng=random.Random(1))  # noqa: S311 - spreads retries
    options = LoadOptions("scripted", ThreadPlan(1, 1, 1, "test"), "tolerant", executor)
    yard: Yard
    metrics = Metrics("0", finding_kinds=Kind)
    yard = Yard(Fleet(Catalog(), scheduler, metrics, options, lambda: yard.publish()))  # noqa: PLW0108 - made later
    yard.fleet.register(store.embedded())
    return yard


async def test_models_become_ready_one_by_one(yard: Yard) -> None:
    """Each change is published; a model is ready while the next one is still loading."""
    await yard.fleet.load_all(store.embedded())
    ready, loading = ModelState.READY, ModelState.LOADING
    assert yard.published == [
        {TRANSLATOR: ready, SUMMARIZER: loading},
        {TRANSLATOR: ready, SUMMARIZER: ready},
    ]
    await yard.fleet.close()
    assert all(model.engine is None for model in yard.fleet.catalog)


@pytest.mark.parametrize(
    "error",
    [
        DigestMismatchError("model.bin differs from what the bundle was built with"),
        EngineError("the weights cannot be read"),
        PermissionError(13, "Permission denied", "model.bin"),
        RuntimeError("a library of another version"),
        MemoryError("too large"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_fails_one_model_leaves_the_others(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A model that cannot be loaded, for whatever reason, is FAILED and says why; others serve."""

    def load(_kind: str, _directory: object, manifest: Manifest, **_: int) -> ScriptedEngine:
        if manifest.name == TRANSLATOR:
            raise error
        return ScriptedEngine(manifest)

    monkeypatch.setattr(proving, "load", load)
    await yard.fleet.load_all(store.embedded())
    models = yard.fleet.catalog.models
    assert models[TRANSLATOR].state is ModelState.FAILED
    assert str(error) in models[TRANSLATOR].detail
    assert models[SUMMARIZER].state is ModelState.READY
    await yard.fleet.close()


class Slow(ScriptedEngine):
    """On a machine that is ten times slower than believed."""

    together = 0

    def warm_up(self, workers: int = 1) -> tuple[Timing, ...]:
        """Two batches, as long as the first guess is wrong."""
        type(self).together = workers
        shapes = (Shape.single(500, 8, 4), Shape.single(32, 8, 4).times(4))
        return tuple(
            Timing(
                items=shape.items,
                longest=shape.longest,
                steps=shape.steps,
                written=shape.written,
                beam_size=shape.beam_size,
                seconds=10 * seconds_of(TYPICAL, shape),
            )
            for shape in shapes
        )


async def test_the_first_request_is_judged_by_what_start_up_timed(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Costs are those of this machine before the first batch, also for shapes not timed."""
    monkeypatch.setattr(proving, "load", lambda _kind, _path, manifest, **_: Slow(manifest))
    await yard.fleet.load_all(store.embedded())
    for lane in yard.fleet.scheduler.statistics().lanes.values():
        for shape in (Shape.single(500, 8, 4), Shape.single(40, 40, 4).times(16)):
            guess = 10 * seconds_of(TYPICAL, shape)
            assert seconds_of(lane.coefficients, shape) == pytest.approx(guess, rel=0.1)
    await yard.fleet.close()


async def test_a_model_loads_beside_others_on_the_threads_of_one_batch(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Warming up takes all slots only while nothing runs; threads never exceed the cores."""
    monkeypatch.setattr(proving, "load", lambda _kind, _path, manifest, **_: Slow(manifest))
    options = replace(yard.fleet.options, plan=plan_threads("2x1", 2))
    scheduler = Scheduler(
        SchedulerSettings(slots=2),
        executor=options.executor,
        rng=random.Random(1),  # noqa: S311 - spreads retries
    )
    fleet = replace(yard.fleet, options=options, scheduler=scheduler)
    first, second = store.embedded()
    await fleet.load_all([first])
    assert Slow.together == 2
    assert fleet.scheduler.slots.hold(1)
    await fleet.load_all([second])
    assert Slow.together == 1
    assert fleet.scheduler.statistics().running == 1
    fleet.scheduler.slots.let_go(1)
    await fleet.close()


async def test_a_fallen_engine_is_failed_until_it_is_back(yard: Yard) -> None:
    """Health follows the scheduler's verdicts, and a draining model stays draining."""
    await yard.fleet.load_all(store.embedded())
    model = yard.fleet.catalog.models[TRANSLATOR]
    await yard.fleet.set_health(TRANSLATOR, serving=False)
    assert (model.state, bool(model.detail)) == (ModelState.FAILED, True)
    await yard.fleet.set_health(TRANSLATOR, serving=True)
    assert (model.state, model.detail) == (ModelState.READY, "")
    model.state = ModelState.DRAINING
    await yard.fleet.set_health(TRANSLATOR, serving=False)
    assert model.state is ModelState.DRAINING
    await yard.fleet.close()
