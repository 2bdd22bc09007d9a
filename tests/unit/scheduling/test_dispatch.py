"""The engines' side: slots, turns, batches, failures and rebuilding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from khulasa_server.engines.base import EngineError
from khulasa_server.errors import (
    DeadlineError,
    InternalError,
    OverloadedError,
    Reason,
    UnavailableError,
)
from khulasa_server.scheduling import CacheMode, Coefficients, Completion, Drop, Priority
from khulasa_server.scheduling.items import Cancelled
from khulasa_server.scheduling.work import Batch, Probe, Rebuild

if TYPE_CHECKING:
    from tests.unit.scheduling.conftest import Bench, Told

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


def test_only_the_guilty_item_fails(bench: Bench) -> None:
    """Probe, halves, quarters: seven good items come back, one ends with INTERNAL."""
    told = {word: bench.alone(word) for word in ("a", "b", "c", POISON, "e", "f", "g", "h")}
    done = bench.run()
    for word, each in told.items():
        if word == POISON:
            assert isinstance(each.outcome, InternalError)
            assert isinstance(each.outcome.__cause__, EngineError)
            assert each.outcome.reason is Reason.INTERNAL
        else:
            assert each.completion.generation.text == word.upper()
    sizes = [len(work.items) if isinstance(work, Batch) else 0 for work in done]
    assert sorted(sizes) == [0, 0, 0, 0, 1, 1, 2, 2, 4, 4, 8]
    assert bench.core.statistics().settled == {"completed": 7, "poisoned": 1}
    assert bench.promised() == bench.depth() == 0
    assert bench.health == []


def test_a_wait_ends_with_the_first_start(bench: Bench) -> None:
    """What runs again after a failure is not counted as having waited twice."""
    first, _ = bench.alone("a"), bench.alone(POISON)
    bench.now += 1.0
    bench.run()
    assert first.completion.queue_seconds == 1.0
    assert [seconds for *_, seconds in bench.observer.waits] == [1.0, 1.0]


def test_suspects_run_before_anything_else(bench: Bench) -> None:
    """They have waited for a whole batch already."""
    bench.alone("a")
    bench.alone(POISON)
    bench.end(bench.batch())
    bench.alone("new", seconds=5)
    probe = bench.work()
    assert isinstance(probe, Probe)
    assert bench.work() is None
    bench.end(probe)
    assert bench.depth() == 3
    ran = [bench.texts(work) for work in bench.run() if isinstance(work, Batch)]
    assert ran == [["a"], [POISON], ["new"]]


def test_nothing_of_a_suspect_engine_starts_before_the_verdict(make_bench: type[Bench]) -> None:
    """Its other work waits for the probe; other models do not."""
    bench = make_bench(models=("m", "n"), slots=3)
    bench.alone(POISON)
    bench.end(bench.batch())
    bench.alone("waits")
    bench.alone("goes", model="n")
    probe, other = bench.work(), bench.work()
    assert isinstance(probe, Probe)
    assert isinstance(other, Batch)
    assert other.model == "n"
    assert bench.work() is None
    bench.end(probe)
    assert bench.work() is not None


def test_what_expired_during_the_failure_is_dropped(bench: Bench) -> None:
    """Halving does not start anything past its deadline."""
    short, long = bench.alone("a b", seconds=1), bench.alone(f"{POISON} x", seconds=50)
    batch = bench.batch()
    bench.end(batch, seconds=1.0)
    assert isinstance(short.outcome, DeadlineError)
    bench.run()
    assert isinstance(long.outcome, InternalError)


def test_what_was_cancelled_during_the_failure_is_dropped(bench: Bench) -> None:
    """Nobody waits for it, so nobody computes it."""
    gone, poison = bench.alone("a"), bench.alone(POISON)
    batch = bench.batch()
    assert gone.waiter is not None
    bench.core.cancel(gone.waiter)
    bench.end(batch)
    assert bench.depth() == 1
    ran = [bench.texts(work) for work in bench.run() if isinstance(work, Batch)]
    assert ran == []
    assert gone.outcome is Cancelled.CANCELLED
    assert isinstance(poison.outcome, InternalError)


def test_suspects_may_be_cancelled_too(bench: Bench) -> None:
    """The half that nobody waits for any more does not run."""
    told = [bench.alone("a"), bench.alone(POISON)]
    bench.end(bench.batch())
    bench.end(bench.work())
    assert bench.depth() == 2
    for each in told:
        assert each.waiter is not None
        bench.core.cancel(each.waiter)
    assert bench.depth() == 0
    assert bench.work() is None
    assert bench.promised() == 0


def test_followers_share_the_verdict(bench: Bench) -> None:
    """Who joined a guilty segment gets INTERNAL as well, and the next one tries again."""
    told = [bench.alone(POISON), bench.alone(POISON)]
    batch = bench.batch()
    told.append(bench.alone(POISON))
    bench.end(batch)
    bench.run()
    outcomes = [each.outcome for each in told]
    assert all(isinstance(outcome, InternalError) for outcome in outcomes)
    assert len(set(map(id, outcomes))) == 3
    bench.alone(POISON)
    assert bench.depth() == 1


def test_lost_outputs_are_a_failure(bench: Bench) -> None:
    """A batch with one output too few is not matched to the wrong inputs."""
    told = [bench.alone("a"), bench.alone("b")]
    batch = bench.batch()
    bench.core.completed(batch, [], 0.1, bench.now)
    assert all(each.outcomes == [] for each in told)
    bench.run()
    assert [each.completion.generation.text for each in told] == ["A", "B"]


def break_engine(bench: Bench) -> list[Told]:
    """A batch fails, two items wait, and the golden input fails too."""
    told = [bench.alone(f"{POISON} x")]
    batch = bench.batch()
    told += [bench.alone("b"), bench.alone("c", priority=BULK)]
    bench.end(batch)
    bench.end(bench.work(), sound=False)
    return told


def test_a_broken_engine_fails_everyone_who_waits_for_it(bench: Bench) -> None:
    """UNAVAILABLE, the model serves no more, and new requests are told when to come back."""
    for each in break_engine(bench):
        assert isinstance(each.outcome, UnavailableError)
        assert each.outcome.reason is Reason.ENGINE_FAILED
        assert each.outcome.metadata == {"model": "m"}
        assert each.outcome.retry_after == 2.0
    assert bench.health == [("m", False)]
    assert not bench.core.statistics().lanes["m"].serving
    assert bench.depth() == bench.depth(BULK) == 0
    with pytest.raises(UnavailableError) as caught:
        bench.admit()
    assert caught.value.reason is Reason.ENGINE_FAILED
    assert bench.observer.rejections == [("m", INTERACTIVE, Reason.ENGINE_FAILED)]
    assert [reason for *_, reason in bench.observer.drops] == [Drop.ENGINE_FAILED] * 3


def test_admitted_requests_of_a_broken_engine_are_told_too(bench: Bench) -> None:
    """What they submit later fails at once instead of waiting."""
    request = bench.admit()
    break_engine(bench)
    told = bench.submit(request, "d")
    assert isinstance(told.outcome, UnavailableError)


def test_a_broken_engine_is_rebuilt_with_backoff(bench: Bench) -> None:
    """After 1 s, and 2 s after that failed; then it serves again."""
    break_engine(bench)
    assert bench.work() is None
    assert bench.core.next_event() == bench.now + 1.0
    bench.now += 1.0
    rebuild = bench.work()
    assert isinstance(rebuild, Rebuild)
    assert bench.core.running == 1
    assert bench.work() is None
    bench.end(rebuild, sound=False)
    assert (bench.health, bench.observer.rebuilds) == ([("m", False)], [("m", False)])
    bench.now += 2.0 - 1e-6
    assert bench.work() is None
    bench.now += 1e-6
    bench.end(bench.work())
    assert bench.health == [("m", False), ("m", True)]
    assert bench.observer.rebuilds == [("m", False), ("m", True)]
    assert bench.core.running == 0
    told = bench.alone("a")
    bench.run()
    assert told.completion.generation.text == "A"


def test_batches_running_on_a_broken_engine_may_still_end(make_bench: type[Bench]) -> None:
    """Well or not; the engine is rebuilt when the last of them is back."""
    bench = make_bench(slots=3)
    bench.alone(POISON)
    first = bench.batch()
    good, bad = bench.alone("b"), bench.alone(f"{POISON} c d e f", seconds=60)
    second = bench.batch()
    third = bench.batch()
    assert (bench.texts(second), bench.texts(third)) == (["b"], [f"{POISON} c d e f"])
    bench.end(first)
    bench.end(bench.work(), sound=False)
    bench.now += 10.0
    assert bench.work() is None
    bench.end(second)
    assert good.completion.generation.text == "B"
    assert bench.work() is None
    bench.end(third)
    assert isinstance(bad.outcome, UnavailableError)
    assert isinstance(bench.work(), Rebuild)


def test_two_failures_share_one_verdict(make_bench: type[Bench]) -> None:
    """A second batch that fails while the golden input runs is judged with the first."""
    bench = make_bench(slots=2)
    told = [bench.alone(f"{POISON} a"), bench.alone(f"{POISON} b c d e f g")]
    first, second = bench.batch(), bench.batch()
    bench.end(first)
    probe = bench.work()
    bench.end(second)
    assert bench.work() is None
    bench.end(probe)
    assert all(isinstance(each.outcome, InternalError) for each in told)


def test_a_removed_model_fails_what_waits(bench: Bench) -> None:
    """What runs ends first, then the model is gone; the name may be used again."""
    running, request = bench.alone("a"), bench.admit()
    batch = bench.batch()
    waiting = bench.submit(request, "b")
    assert not bench.core.remove_model("m")
    assert isinstance(waiting.outcome, UnavailableError)
    assert not bench.core.remove_model("m")
    assert bench.core.next_event() is not None
    bench.end(batch)
    assert running.completion.generation.text == "A"
    assert bench.core.remove_model("m")
    late = bench.submit(request, "c")
    assert isinstance(late.outcome, UnavailableError)
    assert late.outcome.reason is Reason.NOT_READY
    bench.core.release(request)
    assert bench.core.statistics().lanes == {}


def test_a_model_removed_while_it_fails_is_not_rebuilt(bench: Bench) -> None:
    """Neither its probe nor its failure brings it back."""
    told = bench.alone(POISON)
    bench.end(bench.batch())
    probe = bench.work()
    assert not bench.core.remove_model("m")
    assert isinstance(told.outcome, UnavailableError)
    bench.end(probe, sound=False)
    assert bench.health == []
    bench.now += 1_000
    assert bench.work() is None
    assert bench.core.next_event() is None
    assert bench.core.remove_model("m")


def test_a_model_removed_while_it_is_rebuilt_stays_removed(bench: Bench) -> None:
    """The rebuilt engine is nobody's."""
    break_engine(bench)
    bench.now += 1.0
    rebuild = bench.work()
    assert not bench.core.remove_model("m")
    bench.end(rebuild)
    assert bench.health == [("m", False)]
    assert bench.observer.rebuilds == []
    assert bench.core.remove_model("m")


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
        bench.core.release(bench.admit(1, seconds=within))
    except OverloadedError:
        return False
    return True
