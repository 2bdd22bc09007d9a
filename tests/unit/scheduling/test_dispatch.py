"""The engines' side: slots, turns and batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from khulasa_server.errors import (
    DeadlineError,
    OverloadedError,
    Reason,
)
from khulasa_server.scheduling import CacheMode, Coefficients, Completion, Drop, Priority
from khulasa_server.scheduling.cost import CostModel

if TYPE_CHECKING:
    from tests.unit.scheduling.conftest import Bench

INTERACTIVE, BULK = Priority.INTERACTIVE, Priority.BULK
POISON = "☠"


def test_an_idle_engine_starts_at_once(bench: Bench) -> None:
    """One segment alone does not wait for company."""
    bench.alone("a b")
    batch = bench.batch()
    assert (batch.model, batch.inputs, batch.started_at) == ("m", [("a", "b")], bench.now)
    assert batch.predicted_seconds == pytest.approx(0.12)
    assert batch.options == batch.items[0].options
    assert bench.core.running == 1
    assert bench.work() is None


def test_callers_are_told_before_anything_is_learned(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fitting the cost model takes longer than an answer may wait; it is done before new work."""
    learned: list[int] = []
    told = bench.alone("a b")
    monkeypatch.setattr(CostModel, "observe", lambda *_: learned.append(len(told.outcomes)))
    bench.end(bench.batch())
    assert told.completion.generation.text == "A B"
    assert len(bench.observer.batches) == 1
    assert learned == []
    assert bench.work() is None
    assert learned == [1]


def test_what_waits_spreads_over_free_slots(make_bench: type[Bench]) -> None:
    """Eight items of two tokens: eight tokens for each of two slots, a third finds none free."""
    bench = make_bench(slots=2)
    for number in range(8):
        bench.alone(f"a {number}")
    assert [len(bench.batch().items), len(bench.batch().items)] == [4, 4]
    bench.alone("b")
    assert bench.work() is None
    assert bench.core.statistics().lanes["m"].running == bench.core.running == 2


def test_models_share_the_slots(make_bench: type[Bench]) -> None:
    """Where two models wait for two slots, each gets one whole batch."""
    bench = make_bench(models=("a", "b"), slots=2)
    for model in ("a", "b"):
        for number in range(4):
            bench.alone(f"x {number}", model=model)
    batches = [bench.batch(), bench.batch()]
    assert [(batch.model, len(batch.items)) for batch in batches] == [("a", 4), ("b", 4)]
    assert bench.work() is None


def test_the_most_urgent_model_goes_first(make_bench: type[Bench]) -> None:
    """One slot, two models: the earlier deadline, whichever model was added first."""
    bench = make_bench(models=("a", "b"))
    bench.alone("x", model="a", seconds=40)
    bench.alone("x", model="b", seconds=30)
    assert [work.model for work in bench.run()] == ["b", "a"]


def test_bulk_yields_and_is_not_starved(make_bench: type[Bench]) -> None:
    """Under endless interactive work, a tenth of the time is bulk's."""
    bench = make_bench(cache_bytes=0, queue_seconds=1_000.0)
    spent = dict.fromkeys(Priority, 0.0)
    bulk = [bench.alone("b " * 20, priority=BULK, seconds=10_000) for _ in range(80)]
    for number in range(200):
        bench.alone(f"{number} {'i ' * 18}", seconds=1_000)
        bench.alone(f"{number} {'j ' * 18}", seconds=1_000)
        batch = bench.batch()
        spent[batch.items[0].priority] += batch.predicted_seconds
        bench.end(batch)
    assert spent[BULK] / sum(spent.values()) == pytest.approx(0.1, abs=0.03)
    assert any(told.outcomes for told in bulk)
    assert not all(told.outcomes for told in bulk)


def test_bulk_batches_are_shorter(make_bench: type[Bench]) -> None:
    """An interactive call may have to wait for one: half a second, not one."""
    bench = make_bench(batch_seconds=1.0, bulk_batch_seconds=0.15)
    for number in range(8):
        bench.alone(f"{number} x", priority=BULK)
    assert bench.batch().predicted_seconds == pytest.approx(0.14)


def test_no_batch_is_longer_than_allowed(make_bench: type[Bench]) -> None:
    """Of interactive work: five items of two tokens in 0.2 s."""
    bench = make_bench(batch_seconds=0.2 + 1e-9)
    for number in range(8):
        bench.alone(f"{number} x")
    assert len(bench.batch().items) == 5


def test_completions_carry_waits_and_times(bench: Bench) -> None:
    """Queue time from submission to start, inference time of the whole batch."""
    first = bench.alone("a")
    batch = bench.batch()
    second = bench.alone("b")
    bench.end(batch, seconds=0.75)
    bench.end(bench.batch(), seconds=0.25)
    assert (first.completion.queue_seconds, first.completion.inference_seconds) == (0.0, 0.75)
    assert (second.completion.queue_seconds, second.completion.inference_seconds) == (0.75, 0.25)
    assert bench.observer.waits == [("m", INTERACTIVE, 0.0), ("m", INTERACTIVE, 0.75)]


def test_batches_are_reported(bench: Bench) -> None:
    """Items, tokens, padding, outputs, prediction and error."""
    bench.alone("a b c")
    bench.alone("a b c d")
    bench.end(bench.batch(), seconds=0.36)
    (report,) = bench.observer.batches
    assert (report.model, report.items, report.input_tokens, report.padded_tokens) == ("m", 2, 7, 8)
    assert (report.output_tokens, report.seconds) == (7, 0.36)
    assert report.predicted_seconds == pytest.approx(0.18)
    assert report.padding_ratio == pytest.approx(8 / 7)
    assert report.cost_error_ratio == pytest.approx(0.5)
    statistics = bench.core.statistics().lanes["m"]
    assert statistics.cost_error_ratio == pytest.approx(0.5)
    assert statistics.coefficients != Coefficients(0.1, 0.01, 0.0, 0.0)


def settle_in(bench: Bench) -> None:
    """Let predictions be trusted: sixteen batches that took what was expected."""
    for number in range(16):
        bench.alone(f"{number} x", cache_mode=CacheMode.BYPASS)
        bench.end(bench.batch())


def test_hopeless_work_is_not_begun(bench: Bench) -> None:
    """What would end late even alone is dropped, once predictions are trusted."""
    settle_in(bench)
    hopeless, fine = bench.alone("a b", seconds=1.0), bench.alone("c d", seconds=1.0 + 0.121)
    bench.now += 1.0 - 0.119
    assert bench.texts(bench.batch()) == ["c d"]
    assert isinstance(hopeless.outcome, DeadlineError)
    assert hopeless.outcome.reason is Reason.DEADLINE_EXCEEDED
    assert bench.observer.drops == [("m", INTERACTIVE, Drop.HOPELESS)]
    assert fine.outcomes == []


def test_hopeless_for_one_is_not_hopeless_for_all(bench: Bench) -> None:
    """A shared segment goes on for the waiter whose deadline it can keep."""
    settle_in(bench)
    short, long = bench.alone("a b", seconds=1.0), bench.alone("a b", seconds=30)
    bench.now += 0.99
    bench.run()
    assert isinstance(short.outcome, DeadlineError)
    assert long.completion.cached


def test_predictions_that_are_not_trusted_drop_nothing(bench: Bench) -> None:
    """Before sixteen batches were seen, everything gets its chance."""
    told = bench.alone("a b", seconds=1.0)
    bench.now += 0.99
    bench.run()
    assert isinstance(told.outcome, Completion)


def test_running_seconds_shrink_as_time_passes(make_bench: type[Bench]) -> None:
    """A request with 0.3 s left is refused behind a fresh batch and fits behind an old one."""
    bench = make_bench()
    bench.alone("a " * 20)
    bench.batch()
    assert not fits(bench, within=0.3)
    bench.now += 0.25
    assert fits(bench, within=0.3)
    bench.now += 100.0
    assert fits(bench, within=0.3)


def fits(bench: Bench, *, within: float) -> bool:
    """Whether a small request is admitted."""
    try:
        bench.core.release(bench.admit(1, seconds=within), bench.now)
    except OverloadedError:
        return False
    return True


def test_batches_are_numbered_from_one(bench: Bench) -> None:
    """Items that ran together share a number; the cache has none."""
    first, second = bench.alone("a"), bench.alone("b")
    bench.run()
    third = bench.alone("c")
    bench.run()
    cached = bench.alone("c")
    numbers = [told.completion.batch for told in (first, second, third, cached)]
    assert numbers == [1, 1, 2, 0]


def test_a_batch_knows_whether_others_were_left(make_bench: type[Bench]) -> None:
    """Of its own priority; only such batches say what a crowd costs."""
    bench = make_bench(batch_seconds=0.125)
    bench.alone("a")
    bench.alone("b", priority=BULK)
    assert not bench.batch().crowded
    bench = make_bench(batch_seconds=0.125)
    for word in "abcd":
        bench.alone(word)
    crowded = []
    for _ in range(2):
        batch = bench.batch()
        crowded.append(batch.crowded)
        bench.end(batch)
    assert crowded == [True, False]
    for word in "xyz":
        bench.alone(word)
    assert bench.batch().crowded


def test_hopeless_work_is_looked_for_in_every_queue(make_bench: type[Bench]) -> None:
    """Behind a model that is not trusted yet, and behind a queue that is in time."""
    bench = make_bench(models=("new", "m"))
    settle_in(bench)
    bench.alone("fine", seconds=90)
    told = bench.alone("x y", seconds=1.0, priority=BULK)
    bench.now += 0.99
    batch = bench.batch()
    assert isinstance(told.outcome, DeadlineError)
    assert bench.texts(batch) == ["fine"]


def test_statistics_tell_the_state(make_bench: type[Bench]) -> None:
    """Slots, queues, promises over all slots, cache, and whether a model serves."""
    bench = make_bench(slots=2)
    told = bench.alone("a b")
    promised = bench.promised()
    statistics = bench.core.statistics()
    assert (statistics.slots, statistics.running, statistics.requests) == (2, 0, 1)
    assert (statistics.submitted, statistics.outstanding, statistics.settled) == (1, 1, {})
    lane = statistics.lanes["m"]
    assert (lane.depth, lane.serving) == ({INTERACTIVE: 1, BULK: 0}, True)
    assert lane.coefficients == Coefficients(0.1, 0.01, 0.0, 0.0)
    assert promised == pytest.approx((0.1 + 0.2) / 10 / 2)
    assert statistics.cache_bytes == 0
    bench.run()
    statistics = bench.core.statistics()
    assert statistics.cache_bytes == 512 + 4 * 5 + 64 * 2
    assert (statistics.submitted, statistics.settled) == (1, {"completed": 1})
    assert told.completion.batch == 1
