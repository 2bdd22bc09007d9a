"""The caller's side: admission, submission, cancellation and deadlines."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from khulasa_server.engines.base import GenerationOptions
from khulasa_server.errors import DeadlineError, OverloadedError, Reason, UnavailableError
from khulasa_server.scheduling import CacheMode, Drop, Priority, Stage
from khulasa_server.scheduling.items import Cancelled
from khulasa_server.scheduling.work import Batch

if TYPE_CHECKING:
    from tests.unit.scheduling.conftest import Bench

    from khulasa_server.scheduling import ModelProfile

INTERACTIVE, BULK = Priority.INTERACTIVE, Priority.BULK


def test_admission_reserves_and_leaving_gives_back(bench: Bench) -> None:
    """A request's promised time counts from admission until it is released, once."""
    request = bench.admit(1_000)
    assert bench.promised() > 0
    assert bench.core.statistics().requests == 1
    assert bench.core.statistics().lanes["m"].requests == 1
    bench.core.release(request, bench.now)
    bench.core.release(request, bench.now)
    assert bench.promised() == 0
    assert bench.core.statistics().requests == 0


def test_submissions_are_drawn_from_the_reservation(bench: Bench) -> None:
    """What is submitted is not counted twice, and more than was promised is taken too."""
    request = bench.admit(40)
    reserved = bench.promised()
    bench.submit(request, "a b c")
    assert bench.promised() == pytest.approx(reserved)
    for number in range(30):
        bench.submit(request, f"a b {number}")
    assert bench.promised() > reserved
    assert bench.depth() == 31


def test_a_deterministic_request_is_promised_what_it_draws(
    make_bench: type[Bench], profile: ModelProfile
) -> None:
    """Four items of five tokens, each in a batch of its own: 0.15 s each, before and after."""
    bench = make_bench(profile=replace(profile, segment_tokens=5, tokens_per_code_point=1.0))
    stage = Stage("m", 20, 1, deterministic=True)
    request = bench.core.admit([stage], INTERACTIVE, bench.now + 50, bench.now)
    assert bench.promised() == pytest.approx(4 * 0.15)
    for number in range(4):
        bench.submit(request, f"a b c d {number}", deterministic=True)
        assert bench.promised() == pytest.approx(4 * 0.15)
    assert [len(work.items) for work in bench.run() if isinstance(work, Batch)] == [1] * 4


def test_a_deterministic_request_needs_a_later_deadline(
    make_bench: type[Bench], profile: ModelProfile
) -> None:
    """Four batches of one item do not end by when one batch of four would have."""
    bench = make_bench(profile=replace(profile, segment_tokens=5, tokens_per_code_point=1.0))
    bench.core.admit([Stage("m", 20, 1)], INTERACTIVE, bench.now + 0.5, bench.now)
    stage = Stage("m", 20, 1, deterministic=True)
    with pytest.raises(DeadlineError) as caught:
        bench.core.admit([stage], INTERACTIVE, bench.now + 0.5, bench.now)
    assert caught.value.reason is Reason.DEADLINE_UNREACHABLE
    assert float(caught.value.metadata["needed_seconds"]) == pytest.approx(0.6)


def test_stages_of_one_model_add_up(make_bench: type[Bench]) -> None:
    """All stages count, by model, at admission."""
    bench = make_bench(models=("a", "b"))
    bench.core.admit([Stage("a", 100, 1)], INTERACTIVE, bench.now + 50, bench.now)
    once = bench.promised(model="a")
    stages = [Stage("a", 100, 1), Stage("b", 100, 1), Stage("a", 100, 1)]
    bench.core.admit(stages, INTERACTIVE, bench.now + 50, bench.now)
    assert bench.promised(model="a") == pytest.approx(3 * once)
    assert bench.promised(model="b") == pytest.approx(once)


def test_stages_run_one_after_the_other(bench: Bench) -> None:
    """A deadline that allows each stage does not allow both."""
    stage = Stage("m", 300, 1)
    with pytest.raises(DeadlineError) as caught:
        bench.core.admit([stage] * 2, INTERACTIVE, bench.now + 0.5, bench.now)
    needed = float(caught.value.metadata["needed_seconds"])
    bench.core.admit([stage], INTERACTIVE, bench.now + needed / 2 + 0.001, bench.now)
    bench.core.admit([stage] * 2, INTERACTIVE, bench.now + needed + 20, bench.now)


def test_refusals_are_counted_by_model_priority_and_reason(make_bench: type[Bench]) -> None:
    """A model that is not there is the culprit, else the first."""
    bench = make_bench(models=("a", "b"), queue_seconds=0.001)
    for stages, priority in (
        ([Stage("a", 10, 1), Stage("nowhere", 10, 1)], INTERACTIVE),
        ([Stage("b", 10_000, 1), Stage("a", 10, 1)], BULK),
    ):
        with pytest.raises((UnavailableError, DeadlineError)):
            bench.core.admit(stages, priority, bench.now + 1, bench.now)
    assert bench.observer.rejections == [
        ("nowhere", INTERACTIVE, Reason.NOT_READY),
        ("b", BULK, Reason.DEADLINE_UNREACHABLE),
    ]


def test_whoever_tries_again_is_not_counted(make_bench: type[Bench]) -> None:
    """Waiting for room is not a refusal."""
    bench = make_bench(queue_seconds=0.001)
    bench.admit(1_000)
    with pytest.raises(OverloadedError):
        bench.core.try_admit([Stage("m", 10, 1)], INTERACTIVE, bench.now + 50, bench.now)
    assert bench.observer.rejections == []


def test_a_model_is_added_once(bench: Bench, profile: ModelProfile) -> None:
    """Two models of one name would share one queue."""
    with pytest.raises(ValueError, match="m is there already"):
        bench.core.add_model("m", profile)


def test_each_waiter_has_its_own_deadline(bench: Bench) -> None:
    """The first to expire is told, the other one is still served."""
    short, long = bench.alone("a", seconds=5), bench.alone("a", seconds=50)
    bench.now += 5
    bench.core.expire(bench.now)
    assert isinstance(short.outcome, DeadlineError)
    assert short.outcome.reason is Reason.DEADLINE_EXCEEDED
    assert bench.observer.drops == [("m", INTERACTIVE, Drop.EXPIRED)]
    bench.run()
    assert long.completion.generation.text == "A"


def test_nothing_starts_at_its_deadline(bench: Bench) -> None:
    """Not even at the very moment of it; a moment before, it does."""
    on_time, late = bench.alone("a", seconds=5), bench.alone("b", seconds=6)
    bench.now += 5 - 1e-6
    assert bench.texts(bench.batch()) == ["a", "b"]
    bench.now += 1
    assert on_time.outcomes == late.outcomes == []
    expired = bench.alone("c", seconds=5)
    bench.now += 5
    assert bench.work() is None
    assert isinstance(expired.outcome, DeadlineError)


def test_a_segment_submitted_past_the_deadline_is_refused(bench: Bench) -> None:
    """The later stage of a request that is out of time does not even queue."""
    request = bench.admit(seconds=5)
    bench.now += 5
    told = bench.submit(request, "a")
    assert isinstance(told.outcome, DeadlineError)
    assert bench.depth() == 0


def test_an_expired_request_holds_no_time(bench: Bench) -> None:
    """What was promised to it counts no more, although nobody released it."""
    bench.admit(100, seconds=5)
    assert bench.core.next_event() == bench.now + 5
    bench.now += 5
    bench.core.expire(bench.now)
    assert bench.promised() == 0
    assert bench.core.next_event() is None


def test_the_next_event_is_the_earliest_deadline(bench: Bench) -> None:
    """Of the requests that are there."""
    late, early = bench.admit(seconds=9), bench.admit(seconds=5)
    assert bench.core.next_event() == bench.now + 5
    bench.core.release(early, bench.now)
    assert bench.core.next_event() == bench.now + 9
    bench.core.release(late, bench.now)
    assert bench.core.next_event() is None


def test_leaving_ends_every_segment_at_once(bench: Bench) -> None:
    """Waiting ones never run; what runs is not waited for, and its output is kept."""
    request = bench.admit(100)
    running = bench.submit(request, "a")
    batch = bench.batch()
    waiting = [bench.submit(request, f"{number} x") for number in range(3)]
    bench.core.release(request, bench.now)
    assert all(told.outcome is Cancelled.CANCELLED for told in [running, *waiting])
    assert (bench.depth(), bench.promised()) == (0, 0)
    assert bench.observer.drops == [("m", INTERACTIVE, Drop.CANCELLED)] * 3
    bench.end(batch)
    assert bench.work() is None
    assert bench.alone("a").completion.cached
    assert bench.core.statistics().settled == {"cancelled": 4, "completed": 1}


def test_an_ended_request_takes_no_more(bench: Bench) -> None:
    """That would be a defect of the caller."""
    request = bench.admit()
    bench.core.release(request, bench.now)
    with pytest.raises(RuntimeError, match=r"^the request has ended$"):
        bench.submit(request, "a")


def test_requests_teach_how_many_tokens_a_text_makes(bench: Bench) -> None:
    """Complete ones do; cancelled, failed and expired ones would teach something wrong."""
    before = bench.promised_for(1_000)

    def run(texts: int, *, cancel: bool) -> None:
        request = bench.admit(20_000, seconds=1_000)
        told = [bench.submit(request, f"{'w ' * 19}{bench.now} {n}") for n in range(texts)]
        if cancel:
            assert told[0].waiter is not None
            bench.core.cancel(told[0].waiter)
        bench.run()
        bench.core.release(request, bench.now)

    run(5, cancel=True)
    assert bench.promised_for(1_000) == pytest.approx(before, rel=0.35)
    untouched = bench.promised_for(1_000)
    run(5, cancel=False)
    assert bench.promised_for(1_000) < 0.5 * untouched


def test_draining_admits_nothing_and_goes_on(bench: Bench) -> None:
    """What was admitted may still submit, retry and end."""
    request = bench.admit()
    bench.core.drain()
    with pytest.raises(UnavailableError) as caught:
        bench.admit()
    assert caught.value.reason is Reason.SHUTTING_DOWN
    assert caught.value.retry_after == 1.0
    told = bench.submit(request, "a")
    bench.run()
    assert told.completion.generation.text == "A"


def test_closing_fails_what_waits_and_what_comes(bench: Bench) -> None:
    """What runs still ends well."""
    running = bench.alone("a")
    batch = bench.batch()
    request = bench.admit()
    waiting = bench.submit(request, "b")
    bench.core.close()
    late = bench.submit(request, "c")
    for told in (waiting, late):
        assert isinstance(told.outcome, UnavailableError)
        assert told.outcome.reason is Reason.SHUTTING_DOWN
    assert bench.observer.drops == [("m", INTERACTIVE, Drop.SHUTTING_DOWN)] * 2
    bench.end(batch)
    assert running.completion.generation.text == "A"
    with pytest.raises(UnavailableError):
        bench.admit()


def test_closing_fails_what_would_run_again(bench: Bench) -> None:
    """A batch that fails after closing is not halved."""
    told = bench.alone("☠")
    batch = bench.batch()
    bench.core.close()
    bench.end(batch)
    assert isinstance(told.outcome, UnavailableError)


def test_retries_and_other_options_wait_for_batches_of_their_own(bench: Bench) -> None:
    """Retries are charged to their request and share batches with retries only."""
    request = bench.admit()
    bench.submit(request, "a")
    bench.submit(request, "b", retry=True)
    bench.submit(request, "c", options=GenerationOptions(beam_size=2))
    bench.submit(request, "d", deterministic=True)
    batches = [work for work in bench.run() if isinstance(work, Batch)]
    assert sorted(bench.texts(batch) for batch in batches) == [["a"], ["b"], ["c"], ["d"]]


def test_deterministic_items_cost_a_batch(make_bench: type[Bench]) -> None:
    """They are promised the time of a batch alone, so admission is not fooled."""
    bench = make_bench(slots=1)
    request = bench.admit(1)
    bench.submit(request, "a b")
    shared = bench.promised()
    bench.submit(request, "a c", deterministic=True)
    assert bench.promised() - shared == pytest.approx(0.12)
    assert shared < 0.1


def test_expired_requests_teach_nothing(bench: Bench) -> None:
    """Although everything they submitted was computed, more might have come."""
    before = bench.promised_for(1_000)
    request = bench.admit(50_000, seconds=10_000)
    bench.submit(request, "a")
    bench.run()
    bench.now += 10_000
    bench.core.expire(bench.now)
    bench.core.release(request, bench.now)
    assert bench.promised_for(1_000) == pytest.approx(before, rel=0.05)


def test_unfinished_requests_teach_nothing(bench: Bench) -> None:
    """Who leaves before the answer has not submitted everything."""
    before = bench.promised_for(1_000)
    request = bench.admit(50_000, seconds=10_000)
    bench.submit(request, "a")
    bench.core.release(request, bench.now)
    assert bench.promised_for(1_000) == pytest.approx(before, rel=0.05)


def test_all_stages_and_submissions_are_learned_from(bench: Bench) -> None:
    """Two stages of a thousand code points and forty submissions of twenty: 0.4 tokens each."""
    text = "w " * 18
    for number in range(60):
        stages = [Stage("m", 1_000, 1), Stage("m", 1_000, 1)]
        request = bench.core.admit(stages, INTERACTIVE, bench.now + 10_000, bench.now)
        for part in range(40):
            bench.submit(request, f"{text} {number} {part}", cache_mode=CacheMode.BYPASS)
        bench.run()
        bench.core.release(request, bench.now)
    each = bench.promised_for(50)
    assert bench.promised_for(5_000) == pytest.approx(100 * each, rel=0.02)
    assert each == pytest.approx(0.3, rel=0.05)


def test_a_request_without_stages_has_no_culprit(bench: Bench) -> None:
    """Its refusal is counted for nobody."""
    bench.core.drain()
    with pytest.raises(UnavailableError):
        bench.core.admit([], INTERACTIVE, bench.now + 5, bench.now)
    assert bench.observer.rejections == [("_none", INTERACTIVE, Reason.SHUTTING_DOWN)]


GIVEN = 2.0
"""Seconds until the deadline of a request that is expected to be delayed by 0.6 s."""


def begin_elders(bench: Bench) -> Batch:
    """One running and one waiting batch of 0.3 s, of requests that are not in a hurry."""
    for word in ("v ", "w "):
        bench.alone(word * 20, seconds=100.0, cache_mode=CacheMode.BYPASS)
    return bench.batch()


def least_admitted(bench: Bench) -> float:
    """The tightest deadline that is admitted beside the elders."""
    begin_elders(bench)
    for hundredths in range(1, 1_000):
        try:
            bench.core.release(bench.admit(10, seconds=hundredths / 100), bench.now)
        except (OverloadedError, DeadlineError):
            continue
        return hundredths / 100
    raise AssertionError


def ask_hastily(bench: Bench, number: int, attempts: int) -> None:
    """A request that submits again whenever an output came, beside the elders."""
    running = begin_elders(bench)
    request = bench.admit(10, seconds=GIVEN)
    bench.submit(request, f"{number} 0 " * 4)
    bench.end(running)
    bench.run()
    for attempt in range(1, attempts):
        bench.submit(request, f"{number} {attempt} " * 4, retry=True)
        bench.run()
    bench.core.release(request, bench.now)


def test_admission_learns_how_long_requests_are_delayed(make_bench: type[Bench]) -> None:
    """More fits where they end early; second attempts, which wait again, need more room."""
    fresh, quick, slow = make_bench(), make_bench(), make_bench()
    for number in range(300):
        ask_hastily(quick, number, attempts=1)
        ask_hastily(slow, number, attempts=6)
    unlearned = least_admitted(fresh)
    assert least_admitted(quick) < unlearned - 0.1
    assert least_admitted(slow) > unlearned + 0.2


@pytest.mark.parametrize(("left_at", "learned"), [(2.0, True), (1.96, True), (0.4, False)])
def test_a_late_request_teaches_and_one_that_was_left_does_not(
    make_bench: type[Bench], *, left_at: float, learned: bool
) -> None:
    """Whose deadline passes, started or not, took longer than it had; who hangs up tells nothing.

    Those that had not started taught nothing, so only the lucky were learned from.
    """
    taught, plain = make_bench(), make_bench()
    for number in range(300):
        running = begin_elders(taught)
        request = taught.admit(10, seconds=GIVEN)
        taught.submit(request, f"{number} " * 8)
        taught.now += left_at
        taught.core.release(request, taught.now)
        taught.now -= left_at
        taught.end(running)
        taught.run()
    assert (least_admitted(taught) > least_admitted(plain) + 0.2) is learned


def test_what_runs_past_its_deadline_is_still_answered(bench: Bench) -> None:
    """Only what has not started is dropped; whether a late answer is of use, its caller knows."""
    running = bench.alone("a", seconds=1.0)
    batch = bench.batch()
    waiting = bench.alone("b", seconds=1.0)
    bench.now += 2.0
    bench.core.expire(bench.now)
    assert isinstance(waiting.outcome, DeadlineError)
    assert running.outcomes == []
    bench.end(batch)
    assert running.completion.generation.text == "A"


def test_time_is_promised_for_every_thread(make_bench: type[Bench], profile: ModelProfile) -> None:
    """An item whose batch takes both slots is promised twice the time of one that takes one."""

    def promised(threads: int) -> float:
        bench = make_bench(slots=2, profile=replace(profile, threads=threads))
        bench.alone("a " * 20)
        return bench.promised()

    assert promised(2) == pytest.approx(2 * promised(1))
    assert promised(1) > 0


def test_the_next_event_is_a_deadline_that_is_still_ahead(bench: Bench) -> None:
    """One that was due already waits for a slot: a timer for it would spin the loop."""
    assert bench.core.next_event() is None
    bench.admit(seconds=5.0)
    due = bench.now + 5.0
    assert bench.core.next_event() == due
    assert bench.core.next_event(due - 0.1) == due
    assert bench.core.next_event(due) is None


def test_nothing_happens_by_itself_without_models(make_bench: type[Bench]) -> None:
    """There is no deadline, no engine to rebuild and no call to hang."""
    assert make_bench(models=()).core.next_event() is None


def test_a_request_outlives_its_model(bench: Bench) -> None:
    """It is released when its caller leaves, and there is nothing left that could learn from it."""
    request = bench.admit()
    told = bench.submit(request, "a")
    bench.run()
    assert bench.core.remove_model("m")
    bench.core.release(request, bench.now)
    assert told.completion.generation.text == "A"
    assert bench.core.requests == 0
