"""Other work on engines, by hand: it waits as bulk work does, and its owner is told once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from khulasa_server.errors import Reason, UnavailableError
from khulasa_server.scheduling import Priority
from khulasa_server.scheduling.work import Batch, Errand

if TYPE_CHECKING:
    from tests.unit.scheduling.conftest import Bench

    from khulasa_server.engines.base import Engine
    from khulasa_server.scheduling import ModelProfile

BULK = Priority.BULK


def nothing(_engine: Engine) -> None:
    """What the errand would do."""


def send(bench: Bench, model: str = "m") -> tuple[Errand, list[object]]:
    """An errand, and what its owner is told."""
    told: list[object] = []
    return bench.core.errand(model, nothing, told.append, bench.now), told


@pytest.mark.parametrize("threads", [1, 2])
def test_an_errand_takes_its_slots_and_gives_them_back(
    make_bench: type[Bench], profile: ModelProfile, threads: int
) -> None:
    """As many as a batch of its model; its owner is told what came of it, once."""
    bench = make_bench(slots=2, profile=replace(profile, threads=threads))
    errand, told = send(bench)
    assert bench.work() is errand
    assert (errand.model, errand.action, errand.slots) == ("m", nothing, threads)
    assert (bench.core.running, bench.core.statistics().lanes["m"].running) == (threads, 1)
    assert told == []
    bench.core.ran(errand, "done")
    assert told == ["done"]
    assert (bench.core.running, bench.core.statistics().lanes["m"].running) == (0, 0)
    assert bench.work() is None


def test_errands_of_a_model_run_in_their_order(bench: Bench) -> None:
    """The one that came first is the first to run."""
    first, second = send(bench)[0], send(bench)[0]
    assert bench.work() is first
    bench.core.ran(first, None)
    assert bench.work() is second


@pytest.mark.parametrize(("seconds", "errand_first"), [(30.0, False), (100.0, True)])
def test_an_errand_stands_among_bulk_work_as_if_due_in_a_minute(
    make_bench: type[Bench], *, seconds: float, errand_first: bool
) -> None:
    """Bulk work of another model that is due before goes first, what is due later does not."""
    bench = make_bench(models=("a", "b"))
    send(bench, "a")
    bench.alone("x", model="b", priority=BULK, seconds=seconds)
    assert isinstance(bench.work(), Errand if errand_first else Batch)


def test_interactive_work_goes_before_errands(make_bench: type[Bench]) -> None:
    """Also what came later and is due later."""
    bench = make_bench(models=("a", "b"))
    send(bench, "a")
    bench.alone("x", model="b", seconds=1_000)
    assert isinstance(bench.work(), Batch)


def test_a_forgotten_errand_does_not_run(bench: Bench) -> None:
    """One that runs already goes on; forgetting again does nothing."""
    errand, told = send(bench)
    bench.core.forget(errand)
    bench.core.forget(errand)
    assert bench.work() is None
    assert told == []
    other, told = send(bench)
    assert bench.work() is other
    bench.core.forget(other)
    bench.core.ran(other, "done")
    assert told == ["done"]


def test_an_errand_for_a_model_that_is_not_there_is_refused(bench: Bench) -> None:
    """By the name that was asked for."""
    with pytest.raises(UnavailableError) as caught:
        send(bench, "nowhere")
    assert caught.value.reason is Reason.NOT_READY
    assert caught.value.metadata == {"model": "nowhere"}


def test_errands_that_wait_when_their_model_goes_are_told(bench: Bench) -> None:
    """With the model's name; one that runs keeps the model until it ends."""
    running, _ = send(bench)
    assert bench.work() is running
    told = send(bench)[1]
    assert not bench.core.remove_model("m")
    (error,) = told
    assert isinstance(error, UnavailableError)
    assert (error.reason, error.metadata) == (Reason.NOT_READY, {"model": "m"})
    bench.core.ran(running, None)
    assert bench.core.remove_model("m")


def test_errands_that_wait_when_the_server_drains_are_told(bench: Bench) -> None:
    """And no more are taken."""
    told = send(bench)[1]
    bench.core.drain()
    (error,) = told
    assert isinstance(error, UnavailableError)
    assert error.reason is Reason.SHUTTING_DOWN
    with pytest.raises(UnavailableError):
        send(bench)
    assert bench.work() is None


def test_a_model_is_not_renewed_while_an_errand_runs_on_it(
    bench: Bench, profile: ModelProfile
) -> None:
    """Its engine is in use."""
    errand, _ = send(bench)
    assert bench.work() is errand
    with pytest.raises(RuntimeError, match="at work"):
        bench.core.renew("m", profile)
    bench.core.ran(errand, None)
    bench.core.renew("m", profile)
