"""Threads are chosen by measuring, once nobody is there to be disturbed."""

from __future__ import annotations

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from khulasa_server.bundles import store
from khulasa_server.bundles.errors import DigestMismatchError
from khulasa_server.engines import proving
from khulasa_server.engines.plan import plan_threads
from khulasa_server.engines.scripted import Script, ScriptedEngine
from khulasa_server.guards.findings import Kind
from khulasa_server.observability.metrics import Metrics
from khulasa_server.scheduling import Scheduler, SchedulerSettings, Stage
from khulasa_server.tasks import tuning
from khulasa_server.tasks.catalog import Catalog
from khulasa_server.tasks.fleet import Fleet, LoadOptions
from khulasa_server.tasks.tuning import Tuner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from khulasa_server.bundles.manifest import Manifest
    from khulasa_server.bundles.store import Bundle
    from khulasa_server.engines.scripted import Call

SUMMARIZER = "demo-mt5-ar-summary"
LONG = 100
"""Input tokens of which an input is long, for the scripted speeds."""


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    """What is logged."""
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture
def bundle() -> Bundle:
    """The embedded summarizer, whose inputs may be long."""
    (found,) = [each for each in store.embedded() if each.manifest.name == SUMMARIZER]
    return found


@pytest.fixture
async def fleet(bundle: Bundle) -> AsyncIterator[Fleet]:
    """One model that serves on two cores, with a scripted engine."""
    with ThreadPoolExecutor(2) as executor:
        scheduler = Scheduler(SchedulerSettings(slots=2), executor=executor, rng=random.Random(1))  # noqa: S311 - spreads retries
        options = LoadOptions("scripted", plan_threads("auto", 2), "tolerant", executor)
        fleet = Fleet(
            Catalog(),
            scheduler,
            Metrics("0", finding_kinds=Kind),
            options,
            lambda: asyncio.sleep(0),
        )
        fleet.register([bundle])
        await fleet.load_all([bundle])
        yield fleet
        await scheduler.close()
        await fleet.close()


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch, fleet: Fleet) -> Callable[..., list[ScriptedEngine]]:
    """Gives the engine that serves, and its copies with two threads, speeds of their own."""
    monkeypatch.setattr(tuning, "ROUNDS", 2)
    monkeypatch.setattr(tuning, "prove", lambda *_: None)
    made: list[ScriptedEngine] = []

    def taking(sentences: float, long: float) -> Script:
        def before(call: Call) -> None:
            assert fleet.scheduler.statistics().running == 2, "not all slots are held"
            time.sleep(long if len(call.batch[0]) > LONG else sentences)

        return Script(before=before)

    def script(usual: tuple[float, float], wide: tuple[float, float]) -> list[ScriptedEngine]:
        model = fleet.catalog.models[SUMMARIZER]
        model.engine = ScriptedEngine(model.manifest, taking(*usual))

        def load(
            _kind: str, _directory: object, manifest: Manifest, *, workers: int, threads: int
        ) -> ScriptedEngine:
            assert (workers, threads) == (1, 2)
            made.append(ScriptedEngine(manifest, taking(*wide)))
            return made[-1]

        monkeypatch.setattr(proving, "load", load)
        return made

    return script


def tuner(fleet: Fleet, path: Path | None = None) -> Tuner:
    """That does not wait for long."""
    return Tuner(fleet, path, settled=0.01)


def told(fleet: Fleet, **labels: str) -> float | None:
    """The gauge of threads."""
    return fleet.metrics.registry.get_sample_value(
        "khulasa_engine_threads", {"model": SUMMARIZER, **labels}
    )


def closed(engine: ScriptedEngine) -> bool:
    """Whether an engine has been closed."""
    try:
        engine.warm_up()
    except Exception:  # noqa: BLE001 - it says so by raising
        return True
    return False


async def test_one_thread_stays_where_more_do_not_pay(
    fleet: Fleet, copies: Callable[..., list[ScriptedEngine]], logged: list[Any]
) -> None:
    """Every measurement held all slots, the copy is freed, and a line and a gauge say why."""
    made = copies(usual=(0.02, 0.02), wide=(0.02, 0.02))
    await tuner(fleet).tune()
    lane = fleet.scheduler.statistics().lanes[SUMMARIZER]
    assert (lane.threads, lane.lone_threads) == (1, 0)
    assert [closed(each) for each in made] == [True]
    assert told(fleet, plan="2x1", lone="", reason="calibrated") == 2
    assert told(fleet, plan="2x1", lone="", reason="default") is None
    (line,) = [each for each in logged if each["event"] == "threads_calibrated"]
    assert line["reason"].startswith("1x2 against 2x1: ")


async def test_a_long_input_alone_gets_both_cores_if_that_pays(
    fleet: Fleet, copies: Callable[..., list[ScriptedEngine]]
) -> None:
    """The second engine stays, proven, and batches of sentences keep one thread."""
    made = copies(usual=(0.02, 0.06), wide=(0.02, 0.02))
    await tuner(fleet).tune()
    lane = fleet.scheduler.statistics().lanes[SUMMARIZER]
    assert (lane.threads, lane.lone_threads) == (1, 2)
    assert [closed(each) for each in made] == [True, False]
    assert told(fleet, plan="2x1", lone="1x2", reason="calibrated") == 2


async def test_batches_get_more_threads_if_that_pays(
    fleet: Fleet, copies: Callable[..., list[ScriptedEngine]]
) -> None:
    """The engines are exchanged while nothing runs, and the one before is freed."""
    made = copies(usual=(0.06, 0.02), wide=(0.01, 0.02))
    before = fleet.catalog.models[SUMMARIZER].engine
    await tuner(fleet).tune()
    assert fleet.scheduler.statistics().lanes[SUMMARIZER].threads == 2
    assert fleet.catalog.models[SUMMARIZER].engine is made[-1]
    assert isinstance(before, ScriptedEngine)
    assert not closed(made[-1])
    assert str(fleet.plans[SUMMARIZER]) == "1x2"
    assert told(fleet, plan="1x2", lone="", reason="calibrated") == 2


async def test_a_kept_choice_is_not_measured_again(
    fleet: Fleet,
    copies: Callable[..., list[ScriptedEngine]],
    tmp_path: Path,
) -> None:
    """The file gives the same choice at the next start, and the gauge says where it is from."""
    copies(usual=(0.02, 0.06), wide=(0.02, 0.02))
    path = tmp_path / "calibration.json"
    await tuner(fleet, path).tune()
    made = copies(usual=(0.02, 0.02), wide=(0.02, 0.02))
    made.clear()
    await tuner(fleet, path).tune()
    assert len(made) == 1
    assert not made[0].calls
    assert fleet.scheduler.statistics().lanes[SUMMARIZER].lone_threads == 2
    assert told(fleet, plan="2x1", lone="1x2", reason="file") == 2


async def test_a_file_that_cannot_be_written_is_no_failure(
    fleet: Fleet,
    copies: Callable[..., list[ScriptedEngine]],
    tmp_path: Path,
    logged: list[Any],
) -> None:
    """As on a read-only root: the choice holds for this process, and a warning says so."""
    copies(usual=(0.02, 0.02), wide=(0.02, 0.02))
    (tmp_path / "file").touch()
    await tuner(fleet, tmp_path / "file" / "calibration.json").tune()
    assert told(fleet, plan="2x1", lone="", reason="calibrated") == 2
    assert "calibration_not_kept" in [line["event"] for line in logged]


async def test_nothing_is_measured_while_somebody_is_there(
    fleet: Fleet, copies: Callable[..., list[ScriptedEngine]]
) -> None:
    """A request that has been admitted keeps measurements away, however little it does."""
    made = copies(usual=(0.0, 0.0), wide=(0.0, 0.0))
    with fleet.scheduler.admit([Stage(SUMMARIZER, 10, 1)], deadline=time.monotonic() + 60):
        tuning_task = asyncio.create_task(tuner(fleet).tune())
        await asyncio.sleep(0.2)
        assert not any(engine.calls for engine in made)
    await asyncio.wait_for(tuning_task, 30)
    assert all(engine.calls for engine in made)


async def test_a_cancelled_measurement_gives_its_slots_back_when_it_has_ended(
    fleet: Fleet, copies: Callable[..., list[ScriptedEngine]]
) -> None:
    """A thread cannot be stopped: until it ends, its cores are not free."""
    copies(usual=(0.3, 0.3), wide=(0.3, 0.3))
    task = asyncio.create_task(tuner(fleet).tune())
    while not fleet.scheduler.statistics().running:  # noqa: ASYNC110 - nothing tells of held slots
        await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.wait([task], timeout=30)
    assert task.cancelled()
    assert fleet.scheduler.statistics().running == 0


async def test_a_copy_that_cannot_be_proven_leaves_all_as_it_is(
    fleet: Fleet,
    copies: Callable[..., list[ScriptedEngine]],
    monkeypatch: pytest.MonkeyPatch,
    logged: list[Any],
) -> None:
    """A bundle that changed on disk since it was loaded is not served by half."""
    copies(usual=(0.02, 0.02), wide=(0.01, 0.01))

    def changed(_bundle: Bundle) -> None:
        raise DigestMismatchError("model.bin differs")

    monkeypatch.setattr(store, "verify_files", changed)
    await tuner(fleet).tune()
    assert told(fleet, plan="2x1", lone="", reason="default") == 2
    (line,) = [each for each in logged if each["event"] == "threads_not_calibrated"]
    assert "model.bin differs" in line["why"]
