"""Equal segments: computed once, remembered, shared by whoever waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from khulasa_server.scheduling import CacheMode, CacheResult, Priority
from khulasa_server.scheduling.items import Cancelled

if TYPE_CHECKING:
    from tests.unit.scheduling.conftest import Bench


INTERACTIVE, BULK = Priority.INTERACTIVE, Priority.BULK


def test_equal_segments_share_one_computation(bench: Bench) -> None:
    """Followers are told the leader's result, marked as not computed for them."""
    leader, follower = bench.alone("a"), bench.alone("a")
    assert bench.depth() == 1
    batch = bench.batch()
    assert bench.texts(batch) == ["a"]
    late = bench.alone("a")
    bench.now += 1.0
    bench.end(batch, seconds=0.5)
    assert [told.completion.cached for told in (leader, follower, late)] == [False, True, True]
    assert late.completion.queue_seconds == 0.0
    assert late.completion.inference_seconds == 0.5
    assert leader.completion.generation == late.completion.generation
    assert bench.observer.cached == [("m", result) for result in ("miss", "joined", "joined")]


def test_what_was_computed_is_remembered(bench: Bench) -> None:
    """The next equal segment is answered at once."""
    bench.alone("a")
    bench.run()
    told = bench.alone("a")
    completion = told.completion
    assert (completion.cached, completion.queue_seconds, completion.inference_seconds) == (
        True,
        0.0,
        0.0,
    )
    assert completion.generation.text == "A"
    assert bench.observer.cached[-1] == ("m", CacheResult.HIT)
    assert bench.work() is None


def test_bypass_neither_reads_nor_joins_nor_stores(bench: Bench) -> None:
    """Three equal segments, three computations."""
    bench.alone("a", cache_mode=CacheMode.BYPASS)
    bench.alone("a", cache_mode=CacheMode.BYPASS)
    assert len(bench.batch().items) == 2
    bench.alone("a")
    assert bench.depth() == 1
    assert bench.observer.cached == [("m", "bypassed"), ("m", "bypassed"), ("m", "miss")]


def test_without_a_cache_nothing_is_shared(make_bench: type[Bench]) -> None:
    """No bytes, no cache, no single flight."""
    bench = make_bench(cache_bytes=0)
    bench.alone("a")
    bench.alone("a")
    assert bench.depth() == 2
    assert [result for _, result in bench.observer.cached] == ["bypassed"] * 2


def test_a_follower_outlives_a_cancelled_leader(bench: Bench) -> None:
    """The computation goes on as long as anybody wants it."""
    leader, follower = bench.alone("a"), bench.alone("a")
    assert leader.waiter is not None
    bench.core.release(leader.waiter.request, bench.now)
    assert leader.outcome is Cancelled.CANCELLED
    assert bench.depth() == 1
    bench.run()
    assert follower.completion.generation.text == "A"


def test_the_last_to_leave_ends_the_computation(bench: Bench) -> None:
    """Then the place is free, and an equal segment starts anew."""
    for told in (bench.alone("a"), bench.alone("a")):
        assert told.waiter is not None
        bench.core.cancel(told.waiter)
        bench.core.cancel(told.waiter)
        assert told.outcome is Cancelled.CANCELLED
    assert bench.depth() == 0
    assert bench.work() is None
    again = bench.alone("a")
    assert bench.depth() == 1
    bench.run()
    assert not again.completion.cached


def test_a_follower_raises_deadline_and_priority(bench: Bench) -> None:
    """An interactive follower pulls a bulk segment into its own class, with its deadline."""
    slow = bench.alone("slow", priority=BULK, seconds=40)
    urgent = bench.alone("urgent", seconds=30)
    assert (bench.depth(INTERACTIVE), bench.depth(BULK)) == (1, 1)
    follower = bench.alone("slow", seconds=20)
    assert (bench.depth(INTERACTIVE), bench.depth(BULK)) == (2, 0)
    assert bench.promised(BULK) < bench.promised(INTERACTIVE)
    assert slow.waiter is not None
    assert slow.waiter.item is not None
    assert (slow.waiter.item.priority, slow.waiter.item.deadline) == (INTERACTIVE, bench.now + 20)
    assert bench.texts(bench.batch()) == ["slow", "urgent"]
    assert urgent.outcomes == follower.outcomes == []


def test_a_follower_that_leaves_takes_its_urgency_along(bench: Bench) -> None:
    """What only bulk wants is bulk again."""
    bench.alone("slow", priority=BULK, seconds=40)
    follower = bench.alone("slow", seconds=20)
    assert follower.waiter is not None
    bench.core.release(follower.waiter.request, bench.now)
    assert (bench.depth(INTERACTIVE), bench.depth(BULK)) == (0, 1)


def test_who_joins_a_running_batch_waited_for_nothing(bench: Bench) -> None:
    """It joins 0.3 s into the batch: no queue time, and never a negative one."""
    bench.alone("a")
    batch = bench.batch()
    bench.now += 0.3
    told = bench.alone("a")
    assert told.waiter is not None
    assert told.waiter.started_at == bench.now
    bench.end(batch)
    assert told.completion.queue_seconds == 0.0


def test_who_joins_a_running_segment_does_not_move_it(bench: Bench) -> None:
    """It is in no queue any more, whoever comes or goes."""
    bench.alone("a", priority=BULK)
    batch = bench.batch()
    told = bench.alone("a", seconds=1)
    assert (bench.depth(INTERACTIVE), bench.depth(BULK)) == (0, 0)
    assert told.waiter is not None
    bench.core.cancel(told.waiter)
    bench.end(batch)
    assert bench.work() is None


def test_two_models_share_no_flight(make_bench: type[Bench]) -> None:
    """Even with one digest: when the engine of one falls, the other goes on."""
    bench = make_bench(models=("a", "b"), slots=2)
    told = [bench.alone("x", model="a"), bench.alone("x", model="b")]
    assert [bench.depth(model=name) for name in ("a", "b")] == [1, 1]
    bench.run()
    assert [each.completion.cached for each in told] == [False, False]
