"""Failures: golden inputs, halved batches, rebuilt engines, removed models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from khulasa_server.engines.base import EngineError
from khulasa_server.errors import (
    DeadlineError,
    InternalError,
    Reason,
    UnavailableError,
)
from khulasa_server.scheduling import Drop, Priority
from khulasa_server.scheduling.items import Cancelled
from khulasa_server.scheduling.work import Batch, Probe, Rebuild

if TYPE_CHECKING:
    from tests.unit.scheduling.conftest import Bench, Told

INTERACTIVE, BULK = Priority.INTERACTIVE, Priority.BULK
POISON = "☠"


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
    bench.core.release(request, bench.now)
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


def test_lost_outputs_are_named_in_the_verdict(bench: Bench) -> None:
    """The log says what the engine did wrong."""
    told = bench.alone("a")
    bench.core.completed(bench.batch(), [], 0.1, bench.now)
    bench.end(bench.work())
    assert isinstance(told.outcome, InternalError)
    assert str(told.outcome.__cause__) == "the engine lost outputs"


def test_two_models_are_examined_side_by_side(make_bench: type[Bench]) -> None:
    """A golden input that runs for one does not keep the other waiting for its own."""
    bench = make_bench(models=("a", "b"), slots=2)
    bench.alone(POISON, model="a")
    bench.alone(POISON, model="b")
    for batch in (bench.batch(), bench.batch()):
        bench.end(batch)
    probes = [bench.work(), bench.work()]
    assert [probe.model for probe in probes if isinstance(probe, Probe)] == ["a", "b"]


def test_nothing_is_due_while_an_engine_is_being_rebuilt(bench: Bench) -> None:
    """A timer that rings at once, again and again, would keep the loop busy."""
    for told in break_engine(bench):
        assert told.waiter is not None
        bench.core.release(told.waiter.request, bench.now)
    bench.now += 1.0
    rebuild = bench.work()
    assert bench.core.next_event() is None
    bench.end(rebuild, sound=False)
    assert bench.core.next_event() == bench.now + 2.0


def test_the_refusal_names_the_model_that_failed(bench: Bench) -> None:
    """And says when to come back."""
    break_engine(bench)
    with pytest.raises(UnavailableError) as caught:
        bench.admit()
    assert caught.value.metadata == {"model": "m"}
    assert "model m failed" in caught.value.message
    assert caught.value.retry_after == 2.0
    with pytest.raises(UnavailableError) as caught:
        bench.admit(model="nowhere")
    assert caught.value.metadata == {"model": "nowhere"}
    assert "Model nowhere is not loaded" in caught.value.message
    assert caught.value.retry_after == 1.0
