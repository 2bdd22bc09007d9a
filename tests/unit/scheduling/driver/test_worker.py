"""What a worker thread brings back."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from khulasa_server.engines.base import EngineError, GenerationOptions
from khulasa_server.scheduling.work import Probe, Rebuild
from khulasa_server.scheduling.worker import LoadedModel, run

if TYPE_CHECKING:
    from tests.unit.scheduling.conftest import Bench
    from tests.unit.scheduling.driver.conftest import GateEngine

    from khulasa_server.engines.base import Engine


def golden(engine: Engine) -> None:
    """A golden input."""
    engine.generate([("golden",)], GenerationOptions())


def ticking() -> float:
    """Each look at the clock is half a second after the one before."""
    return next(TICKS) / 2


TICKS = itertools.count()


def test_a_batch_brings_its_outputs_and_its_time(bench: Bench, engine: GateEngine) -> None:
    """The engine reads the batch's inputs with its options."""
    bench.alone("a b")
    ran = run(bench.batch(), LoadedModel(engine, golden, None), ticking)
    assert [each.text for each in ran.generations] == ["A B"]
    assert engine.options == [GenerationOptions(beam_size=1)]
    assert (ran.seconds, ran.error, ran.engine) == (0.5, None, None)


@pytest.mark.parametrize("lone", [False, True])
def test_only_a_lone_batch_runs_on_the_lone_engine(
    bench: Bench, engine: GateEngine, make_engine: type[GateEngine], *, lone: bool
) -> None:
    """Others stay on the usual one, also while there is another."""
    bench.alone("a b")
    wide = make_engine()
    model = LoadedModel(engine, golden, None, wide)
    ran = run(replace(bench.batch(), lone=lone), model, ticking)
    assert [each.text for each in ran.generations] == ["A B"]
    assert (len(engine.calls), len(wide.calls)) == (not lone, lone)


def test_an_engines_exception_is_brought_back(bench: Bench, engine: GateEngine) -> None:
    """It does not leave the thread."""
    bench.alone("☠")
    ran = run(bench.batch(), LoadedModel(engine, golden, None), ticking)
    assert isinstance(ran.error, EngineError)
    assert (list(ran.generations), ran.seconds) == ([], 0.5)


@pytest.mark.parametrize("broken", [False, True])
def test_a_probe_says_whether_the_engine_is_sound(engine: GateEngine, *, broken: bool) -> None:
    """It runs the golden input on the engine in use."""
    engine.broken = broken
    ran = run(Probe("m"), LoadedModel(engine, golden, None), ticking)
    assert (ran.error is not None) is broken
    assert ran.seconds == 0.5
    assert engine.calls == [[("golden",)]]


def test_a_rebuilt_engine_has_passed_the_probe(
    engine: GateEngine, make_engine: type[GateEngine]
) -> None:
    """The old one is closed first, whatever that raises."""
    new = make_engine()
    closed_before: list[bool] = []

    def rebuild() -> GateEngine:
        closed_before.append(engine.closed)
        return new

    ran = run(Rebuild("m"), LoadedModel(engine, golden, rebuild), ticking)
    assert ran.engine is new
    assert ran.error is None
    assert closed_before == [True]
    assert new.calls == [[("golden",)]]
    assert not new.closed


def test_a_rebuilt_engine_that_fails_the_probe_is_closed(
    engine: GateEngine, make_engine: type[GateEngine]
) -> None:
    """It would only hold memory."""
    new = make_engine(broken=True)
    ran = run(Rebuild("m"), LoadedModel(engine, golden, lambda: new), ticking)
    assert isinstance(ran.error, EngineError)
    assert ran.engine is None
    assert new.closed


def test_without_a_way_to_rebuild_a_model_stays_down(engine: GateEngine) -> None:
    """And its engine is left alone."""
    ran = run(Rebuild("m"), LoadedModel(engine, golden, None), ticking)
    assert isinstance(ran.error, EngineError)
    assert str(ran.error) == "this engine cannot be rebuilt"
    assert not engine.closed


def test_an_engine_that_cannot_be_closed_is_still_rebuilt(
    engine: GateEngine, make_engine: type[GateEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken engine may well raise when it is closed."""

    def refuse() -> None:
        raise EngineError("closed already")

    monkeypatch.setattr(engine, "close", refuse)
    new = make_engine()
    assert run(Rebuild("m"), LoadedModel(engine, golden, lambda: new), ticking).engine is new
