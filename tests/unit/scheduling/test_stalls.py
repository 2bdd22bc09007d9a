"""Engine calls that do not end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from khulasa_server.errors import Reason, UnavailableError
from khulasa_server.scheduling.work import Batch, Probe, Rebuild

if TYPE_CHECKING:
    from tests.unit.scheduling.conftest import Bench, Told

POISON = "☠"
STALL = 60.0


def refused(told: Told) -> bool:
    """Whether a submission ended with the engine's failure."""
    return (
        isinstance(told.outcome, UnavailableError) and told.outcome.reason is Reason.ENGINE_FAILED
    )


def hang(bench: Bench) -> Batch:
    """Start the next batch and let it run until it counts as hung."""
    batch = bench.batch()
    bench.now = bench.core.next_event() or 0.0
    bench.core.expire(bench.now)
    return batch


def test_a_hung_batch_is_given_up_at_its_time(bench: Bench) -> None:
    """Not a moment before; then who is in it and who waits is told, and health turns."""
    inside = bench.alone("a", seconds=1_000)
    batch = bench.batch()
    waiting = bench.alone("b", seconds=1_000)
    due = batch.started_at + STALL + 10 * batch.predicted_seconds
    bench.core.expire(due - 0.001)
    assert inside.outcomes == waiting.outcomes == []
    assert bench.core.next_event() == due
    bench.core.expire(due)
    assert refused(inside)
    assert refused(waiting)
    assert bench.health == [("m", False)]
    books = bench.core.statistics()
    assert books.settled == {"engine_failed": 2}
    assert books.running == 1, "its slot stays taken"


def test_a_late_end_of_a_hung_batch_rebuilds_the_engine(bench: Bench) -> None:
    """Its outputs are nobody's; the engine is rebuilt and proven before it serves again."""
    told = bench.alone("a", seconds=1_000)
    batch = hang(bench)
    bench.end(batch)
    assert len(told.outcomes) == 1
    bench.now += 60
    rebuild = bench.work()
    assert isinstance(rebuild, Rebuild)
    bench.end(rebuild)
    assert bench.health == [("m", False), ("m", True)]
    again = bench.alone("a")
    bench.run()
    assert again.completion.generation.text == "A"


def test_a_hung_batch_that_raises_in_the_end_accuses_nobody(bench: Bench) -> None:
    """Its items were settled when it was given up."""
    told = bench.alone(POISON, seconds=1_000)
    bench.end(hang(bench))
    assert refused(told)
    assert bench.core.statistics().outstanding == 0
    bench.now += 60
    assert isinstance(bench.work(), Rebuild)


def test_nobody_joins_a_hung_batch(make_bench: type[Bench]) -> None:
    """An equal segment that was admitted before is refused, not parked with the hung one."""
    bench = make_bench(slots=2)
    request = bench.admit(10, seconds=1_000)
    bench.alone("a", seconds=1_000)
    hang(bench)
    assert refused(bench.submit(request, "a"))


def test_other_models_go_on_while_a_slot_is_left(make_bench: type[Bench]) -> None:
    """One model hangs in one of two slots: the other model serves in the other."""
    bench = make_bench(models=("m", "n"), slots=2)
    bench.alone("a", seconds=1_000)
    hang(bench)
    other = bench.alone("b", model="n")
    bench.run()
    assert other.completion.generation.text == "B"
    assert bench.health == [("m", False)]


def test_no_model_serves_once_every_slot_hangs(make_bench: type[Bench]) -> None:
    """With the only slot gone the other model would never answer either, and says so."""
    bench = make_bench(models=("m", "n"))
    bench.alone("a", seconds=1_000)
    other = bench.alone("b", model="n", seconds=1_000)
    batch = hang(bench)
    assert refused(other)
    assert bench.health == [("m", False), ("n", False)]
    bench.end(batch)
    bench.now += 60
    bench.run()
    assert bench.health[2:] == [("m", True), ("n", True)]


def test_a_golden_input_that_hangs_takes_the_model_out_of_service(bench: Bench) -> None:
    """The verdict never comes: that is a verdict."""
    told = bench.alone(POISON, seconds=1_000)
    bench.end(bench.batch())
    probe = bench.work()
    assert isinstance(probe, Probe)
    bench.now = bench.core.next_event() or 0.0
    bench.core.expire(bench.now)
    assert refused(told)
    assert bench.health == [("m", False)]
    bench.end(probe)
    bench.now += 60
    assert isinstance(bench.work(), Rebuild)
