"""Slots of batches with several threads, and a long item that has the machine to itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from khulasa_server.engines.base import EngineError
from khulasa_server.errors import UnavailableError
from khulasa_server.scheduling import Priority
from khulasa_server.scheduling.lone import GIVEN_UP, KNOWN_AFTER, Lone
from khulasa_server.scheduling.work import Batch, Probe, Rebuild

if TYPE_CHECKING:
    from tests.unit.scheduling.conftest import Bench

    from khulasa_server.scheduling import ModelProfile

LONG = " ".join(f"w{number}" for number in range(15))
"""0.25 s of the test's profile."""
SHORT = "w0 w1"
"""0.12 s."""


@pytest.fixture
def wide(make_bench: type[Bench]) -> Bench:
    """Two slots, and two models, of which `m` is 1.5 times faster on both; its cost is known."""
    bench = make_bench(("m", "other"), slots=2, cache_bytes=0)
    for _ in range(KNOWN_AFTER):
        bench.alone(SHORT)
        bench.run()
    bench.core.widen("m", 2, 1.5)
    return bench


def test_a_lone_long_item_has_every_slot(wide: Bench) -> None:
    """It runs on the engine with more threads, as much faster as that is."""
    told = wide.alone(LONG)
    usual = wide.core.statistics().lanes["m"].coefficients
    batch = wide.batch()
    assert (batch.lone, batch.slots) == (True, 2)
    assert batch.predicted_seconds == pytest.approx((usual.fixed + 15 * usual.input_token) / 1.5)
    assert wide.core.running == 2
    wide.end(batch)
    assert told.completion.generation.tokens == tuple(LONG.split())
    assert wide.core.running == 0


def test_who_comes_meanwhile_waits_for_its_end(wide: Bench) -> None:
    """The sum of running threads never exceeds the slots."""
    wide.alone(LONG)
    batch = wide.batch()
    wide.alone(SHORT, model="other")
    assert wide.work() is None
    wide.end(batch)
    assert (wide.batch().model, wide.core.running) == ("other", 1)


@pytest.mark.parametrize("second", ["m", "other"])
def test_two_that_wait_are_run_side_by_side(wide: Bench, second: str) -> None:
    """Whichever model the second one is for."""
    wide.alone(LONG)
    wide.alone(LONG + " end", model=second)
    batches = [wide.batch(), wide.batch()]
    assert [(batch.lone, batch.slots) for batch in batches] == [(False, 1)] * 2
    assert wide.work() is None


def test_one_beside_another_that_runs_takes_one_slot(wide: Bench) -> None:
    """The machine is not its own."""
    wide.alone(SHORT, model="other")
    wide.batch()
    wide.alone(LONG)
    assert not wide.batch().lone


def test_a_short_item_leaves_a_slot_for_others(wide: Bench) -> None:
    """More threads would not make it faster by much, and somebody may come."""
    wide.alone(SHORT)
    assert not wide.batch().lone


def test_what_the_usual_threads_take_is_known_first(make_bench: type[Bench]) -> None:
    """A gain is a ratio of two measured things."""
    bench = make_bench(slots=2, cache_bytes=0)
    bench.core.widen("m", 2, 1.5)
    lone = []
    for _ in range(KNOWN_AFTER + 1):
        bench.alone(LONG)
        batch = bench.batch()
        lone.append(batch.lone)
        bench.end(batch)
    assert lone == [False] * KNOWN_AFTER + [True]


def test_more_threads_that_do_not_pay_are_given_up(wide: Bench) -> None:
    """On a machine whose other core is busy, they would be slower than one alone."""
    runs = 0
    while wide.core.lone_threads("m"):
        wide.alone(LONG)
        batch = wide.batch()
        assert batch.lone
        wide.end(batch, seconds=0.3)
        runs += 1
        assert runs < 10
    assert runs == 3
    wide.alone(LONG)
    assert not wide.batch().lone


def test_what_a_lone_item_takes_says_nothing_of_the_others(wide: Bench) -> None:
    """The cost model is that of the usual threads."""
    before = wide.core.statistics().lanes["m"].coefficients
    wide.alone(LONG)
    wide.end(wide.batch(), seconds=3.0)
    assert wide.core.statistics().lanes["m"].coefficients == before


def test_an_engine_that_fails_alone_is_not_asked_again(wide: Bench) -> None:
    """The item runs once more on the usual one, and nobody hears of it."""
    told = wide.alone(LONG)
    wide.core.failed(wide.batch(), EngineError("out of memory"), wide.now)
    assert wide.core.lone_threads("m") == 0
    batch = wide.batch()
    assert (batch.lone, wide.texts(batch)) == (False, [LONG])
    wide.end(batch)
    assert told.completion.generation.tokens == tuple(LONG.split())
    assert wide.health == []


def test_poison_is_found_after_it_failed_alone(wide: Bench) -> None:
    """The usual engine and its golden input decide whose fault it was."""
    told = wide.alone(LONG + " ☠")
    works = wide.run()
    assert [type(work) for work in works] == [Batch, Batch, Probe]
    assert type(told.outcome).__name__ == "InternalError"


def test_what_failed_alone_may_be_late(wide: Bench) -> None:
    """It is dropped if its deadline passed meanwhile."""
    told = wide.alone(LONG, seconds=1.0)
    batch = wide.batch()
    wide.now += 1.0
    wide.core.failed(batch, EngineError("out of memory"), wide.now)
    assert type(told.outcome).__name__ == "DeadlineError"
    assert wide.work() is None


def test_no_more_threads_can_be_asked_for(wide: Bench) -> None:
    """0 threads turn it off."""
    wide.core.widen("m", 0, 1.0)
    wide.alone(LONG)
    assert not wide.batch().lone


def test_a_gain_is_forgotten_slowly() -> None:
    """One slow run is an accident; the fifth without gain is not."""
    lone = Lone(2, 1.5)
    for _ in range(4):
        lone.observe(1.0, 1.0)
        assert lone.pays
    lone.observe(1.0, 1.0)
    assert not lone.pays
    assert lone.gain == pytest.approx(1 + 0.5 * 0.7**5)
    assert Lone(2, GIVEN_UP).pays


def test_batches_of_two_threads_take_two_slots(
    make_bench: type[Bench], profile: ModelProfile
) -> None:
    """Of four slots, two such batches fill all, and a third one waits."""
    bench = make_bench((), slots=4, cache_bytes=0)
    bench.core.add_model("m", replace(profile, threads=2, batch_tokens=15))
    for number in range(3):
        bench.alone(f"{LONG} {number}")
    first, _ = bench.batch(), bench.batch()
    assert (bench.core.running, bench.work()) == (4, None)
    bench.end(first)
    assert bench.batch().slots == 2


def test_the_turn_of_a_wide_batch_is_not_taken_by_narrow_ones(
    make_bench: type[Bench], profile: ModelProfile
) -> None:
    """Its deadline is the earliest: nothing starts in the one free slot before it."""
    bench = make_bench(("n",), slots=2, cache_bytes=0)
    bench.core.add_model("m", replace(profile, threads=2))
    bench.alone(LONG, model="n")
    running = bench.batch()
    bench.alone(LONG, model="m", seconds=20.0)
    bench.alone(LONG, model="n", seconds=40.0)
    assert bench.work() is None
    bench.end(running)
    assert bench.batch().model == "m"


def test_work_of_two_threads_costs_twice_the_time_of_one(
    make_bench: type[Bench], profile: ModelProfile
) -> None:
    """What is promised counts in thread-seconds, of which the slots give so many a second."""
    promised = []
    for threads in (1, 2):
        bench = make_bench((), slots=2, cache_bytes=0)
        bench.core.add_model("m", replace(profile, threads=threads))
        request = bench.admit(100)
        promised.append(bench.promised())
        bench.submit(request, LONG)
        bench.core.release(request, bench.now)
        assert bench.promised() == 0.0
        assert bench.depth(Priority.INTERACTIVE) == 0
    assert promised[1] == pytest.approx(2 * promised[0])


def test_a_model_must_fit(make_bench: type[Bench], profile: ModelProfile) -> None:
    """A batch that no number of free slots is enough for would wait for ever."""
    bench = make_bench((), slots=2)
    with pytest.raises(ValueError, match="3 threads do not fit 2 slots"):
        bench.core.add_model("m", replace(profile, threads=3))


def test_care_takes_as_many_threads_as_a_batch(
    make_bench: type[Bench], profile: ModelProfile
) -> None:
    """A golden input and a rebuild wait for room, and nothing else starts before them."""
    bench = make_bench(("n",), slots=2, cache_bytes=0)
    bench.core.add_model("m", replace(profile, threads=2))
    bench.alone("☠", model="m")
    bench.end(bench.batch())
    assert bench.core.hold(1)
    bench.alone(SHORT, model="n")
    assert bench.work() is None
    bench.core.let_go(1)
    probe = bench.work()
    assert isinstance(probe, Probe)
    assert (probe.slots, bench.core.running) == (2, 2)
    bench.end(probe, sound=False)
    bench.run()
    bench.now += 2.0
    rebuild = bench.work()
    assert isinstance(rebuild, Rebuild)
    assert (rebuild.slots, bench.core.running) == (2, 2)
    bench.end(rebuild)
    assert (bench.core.running, bench.health[-1]) == (0, ("m", True))


def test_slots_can_be_held_for_other_work(bench: Bench) -> None:
    """No batch starts in them, and they are not there for a second holder."""
    assert bench.core.hold(1)
    assert not bench.core.hold(1)
    bench.alone(SHORT)
    assert bench.work() is None
    bench.core.let_go(1)
    assert bench.batch()


def test_who_waits_for_slots_has_them_next(bench: Bench) -> None:
    """Otherwise a busy server would never load a second model."""
    bench.alone(SHORT)
    running = bench.batch()
    bench.alone(SHORT + " more")
    bench.core.want(1)
    bench.end(running)
    assert bench.work() is None
    assert bench.core.hold(1)
    bench.core.want(-1)
    bench.core.let_go(1)
    assert bench.batch()


def test_a_model_at_work_cannot_begin_anew(bench: Bench, profile: ModelProfile) -> None:
    """Whether it waits or runs; afterwards it can, and has the profile given."""
    bench.alone(SHORT)
    with pytest.raises(RuntimeError, match="m is at work"):
        bench.core.renew("m", profile)
    batch = bench.batch()
    with pytest.raises(RuntimeError, match="m is at work"):
        bench.core.renew("m", profile)
    bench.end(batch)
    bench.core.renew("m", replace(profile, prior=replace(profile.prior, fixed=9.0)))
    assert bench.core.statistics().lanes["m"].coefficients.fixed == 9.0


def test_idle_is_when_nobody_is_there(bench: Bench) -> None:
    """Neither an admitted request nor anything that runs."""
    seen = [bench.core.idle]
    request = bench.admit()
    seen.append(bench.core.idle)
    bench.core.release(request, bench.now)
    seen.append(bench.core.idle)
    bench.core.hold(1)
    seen.append(bench.core.idle)
    assert seen == [True, False, True, False]


def test_what_fails_alone_on_a_fallen_model_is_told_so(make_bench: type[Bench]) -> None:
    """The usual engine fell meanwhile: there is none to run it on once more."""
    bench = make_bench(slots=3, cache_bytes=0)
    for _ in range(KNOWN_AFTER):
        bench.alone(SHORT)
        bench.run()
    bench.core.widen("m", 2, 1.5)
    told = bench.alone(LONG)
    lone = bench.batch()
    bench.alone("☠")
    bench.end(bench.batch())
    bench.end(bench.work(), sound=False)
    bench.core.failed(lone, EngineError("fell, too"), bench.now)
    assert isinstance(told.outcome, UnavailableError)
    assert (bench.work(), bench.core.running) == (None, 0)
