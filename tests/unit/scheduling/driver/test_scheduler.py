"""The asyncio driver, on real threads; events and gates order what happens, never sleeps."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import pytest

from khulasa_server.engines.base import EngineError, GenerationOptions
from khulasa_server.errors import (
    DeadlineError,
    InternalError,
    Reason,
    UnavailableError,
)
from khulasa_server.scheduling import CacheMode, Coefficients, ModelProfile, Priority, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.scheduling.conftest import Recorder
    from tests.unit.scheduling.driver.conftest import GateEngine

    from khulasa_server.engines.base import Engine
    from khulasa_server.scheduling import Scheduler, Ticket

    Make = Callable[..., Scheduler]

OPTIONS = GenerationOptions(beam_size=1)
QUICK = ModelProfile("d", "t", prior=Coefficients(1e-4, 1e-6, 0.0, 0.0), batch_tokens=64)


def admit(scheduler: Scheduler, seconds: float = 60.0) -> Ticket:
    """A ticket for a little work."""
    return scheduler.admit([Stage("m", 10, 1)], deadline=time.monotonic() + seconds)


async def until(scheduler: Scheduler, condition: Callable[[], bool]) -> None:
    """Wait for a change of the scheduler's after which something holds."""
    async with asyncio.timeout(30):
        while not condition():
            await scheduler.change()


def golden(engine: Engine) -> None:
    """A golden input."""
    engine.generate([("golden",)], OPTIONS)


async def test_results_come_back_in_submission_order(
    make_scheduler: Make, engine: GateEngine
) -> None:
    """Each future resolves to the output of its own input, whatever batches were made."""
    scheduler = make_scheduler()
    scheduler.add_model("m", engine, QUICK)
    with admit(scheduler) as ticket:
        texts = [("w",) * (1 + number % 7) + (str(number),) for number in range(30)]
        futures = [ticket.submit("m", text, OPTIONS, order=i) for i, text in enumerate(texts)]
        completions = await asyncio.gather(*futures)
    assert [completion.generation.tokens for completion in completions] == texts
    assert all(completion.queue_seconds >= 0 for completion in completions)
    await scheduler.close()


async def test_engines_never_run_on_the_event_loop(
    make_scheduler: Make, engine: GateEngine
) -> None:
    """Batches and probes run in worker threads only."""
    scheduler = make_scheduler()
    scheduler.add_model("m", engine, QUICK, probe=golden)
    with admit(scheduler) as ticket:
        await ticket.submit("m", ("a",), OPTIONS, order=0)
        with pytest.raises(InternalError):
            await ticket.submit("m", ("☠",), OPTIONS, order=1)
    assert [("golden",)] in engine.calls
    assert threading.get_ident() not in engine.threads
    await scheduler.close()


async def test_what_is_submitted_together_runs_together(
    make_scheduler: Make, engine: GateEngine
) -> None:
    """Segments submitted in one step share batches, spread over the slots."""
    scheduler = make_scheduler(slots=2)
    scheduler.add_model("m", engine, QUICK)
    with admit(scheduler) as ticket:
        futures = [ticket.submit("m", ("a", str(i)), OPTIONS, order=i) for i in range(8)]
        await asyncio.gather(*futures)
    assert sorted(len(call) for call in engine.calls) == [4, 4]
    await scheduler.close()


async def test_no_more_calls_than_slots(make_scheduler: Make, engine: GateEngine) -> None:
    """With one slot and a closed gate, a second batch waits until the first has ended."""
    engine.gate.clear()
    scheduler = make_scheduler(slots=1)
    scheduler.add_model("m", engine, QUICK)
    with admit(scheduler) as ticket:
        first = ticket.submit("m", ("a",), OPTIONS, order=0)
        await engine.called()
        second = ticket.submit("m", ("b",), OPTIONS, order=1)
        await scheduler.change()
        assert scheduler.statistics().lanes["m"].depth[Priority.INTERACTIVE] == 1
        assert scheduler.statistics().running == len(engine.calls) == 1
        engine.gate.set()
        await asyncio.gather(first, second)
    assert len(engine.calls) == 2
    await scheduler.close()


async def test_leaving_a_ticket_cancels_what_waits(
    make_scheduler: Make, engine: GateEngine
) -> None:
    """Leaving cancels every future of the ticket and frees its place at once."""
    engine.gate.clear()
    scheduler = make_scheduler(slots=1)
    scheduler.add_model("m", engine, QUICK)
    with admit(scheduler) as ticket:
        running = ticket.submit("m", ("a",), OPTIONS, order=0)
        await engine.called()
        waiting = ticket.submit("m", ("b",), OPTIONS, order=1)
    assert running.cancelled()
    assert waiting.cancelled()
    statistics = scheduler.statistics()
    assert statistics.requests == statistics.outstanding == 0
    assert statistics.settled == {"cancelled": 2}
    engine.gate.set()
    await scheduler.close()
    assert engine.calls == [[("a",)]]
    with pytest.raises(RuntimeError, match=r"^the request has ended$"):
        ticket.submit("m", ("c",), OPTIONS, order=2)


async def test_cancelling_the_task_frees_its_place(
    make_scheduler: Make, engine: GateEngine
) -> None:
    """A caller that goes away takes its waiting segments with it."""
    engine.gate.clear()
    scheduler = make_scheduler(slots=1)
    scheduler.add_model("m", engine, QUICK)

    async def call() -> None:
        with admit(scheduler) as ticket:
            futures = [ticket.submit("m", (str(i),) * 40, OPTIONS, order=i) for i in range(3)]
            await asyncio.gather(*futures)

    task = asyncio.create_task(call())
    await engine.called()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert scheduler.statistics().outstanding == 0
    engine.gate.set()
    await scheduler.close()
    assert len(engine.calls) == 1


async def test_cancelling_one_future_withdraws_one_segment(
    make_scheduler: Make, engine: GateEngine
) -> None:
    """Its neighbours still run; it never does."""
    engine.gate.clear()
    scheduler = make_scheduler(slots=1)
    scheduler.add_model("m", engine, QUICK)
    with admit(scheduler) as ticket:
        first = ticket.submit("m", ("a",), OPTIONS, order=0)
        await engine.called()
        second = ticket.submit("m", ("b",), OPTIONS, order=1)
        third = ticket.submit("m", ("c",), OPTIONS, order=2)
        second.cancel()
        await until(scheduler, lambda: scheduler.statistics().outstanding == 2)
        engine.gate.set()
        await asyncio.gather(first, third)
    assert [("b",)] not in engine.calls
    assert engine.calls == [[("a",)], [("c",)]]
    await scheduler.close()


async def test_a_deadline_rings_while_the_engine_is_busy(
    make_scheduler: Make, engine: GateEngine
) -> None:
    """What waits is failed at its deadline, although no engine reported anything."""
    engine.gate.clear()
    scheduler = make_scheduler(slots=1)
    scheduler.add_model("m", engine, QUICK)
    with admit(scheduler) as long, admit(scheduler, seconds=0.1) as short:
        first = long.submit("m", ("a",), OPTIONS, order=0)
        await engine.called()
        with pytest.raises(DeadlineError) as caught:
            await short.submit("m", ("b",), OPTIONS, order=0)
        assert caught.value.reason is Reason.DEADLINE_EXCEEDED
        assert not first.done()
        engine.gate.set()
        await first
    await scheduler.close()


async def test_poison_fails_only_its_own_caller(make_scheduler: Make, engine: GateEngine) -> None:
    """Of a batch that raises, only the guilty item ends with INTERNAL."""
    scheduler = make_scheduler(slots=1)
    scheduler.add_model("m", engine, QUICK, probe=golden)
    with admit(scheduler) as ticket:
        words = [("a",), ("b",), ("☠",), ("c",), ("d",)]
        futures = [ticket.submit("m", word, OPTIONS, order=i) for i, word in enumerate(words)]
        results = await asyncio.gather(*futures, return_exceptions=True)
    assert [isinstance(result, InternalError) for result in results] == [
        word == ("☠",) for word in words
    ]
    assert isinstance(results[2], InternalError)
    assert isinstance(results[2].__cause__, EngineError)
    await scheduler.close()


async def test_a_broken_engine_is_rebuilt(
    make_scheduler: Make, engine: GateEngine, make_engine: type[GateEngine]
) -> None:
    """It turns its model off, everyone waiting is told, and a rebuilt one turns it on again."""
    health: list[bool] = []
    engine.broken = True
    built: list[GateEngine] = []

    def rebuild() -> GateEngine:
        assert engine.closed
        built.append(make_engine())
        return built[-1]

    scheduler = make_scheduler(on_health=lambda _, serving: health.append(serving))
    scheduler.add_model("m", engine, QUICK, probe=golden, rebuild=rebuild)
    with admit(scheduler) as ticket:
        with pytest.raises(UnavailableError) as caught:
            await ticket.submit("m", ("a",), OPTIONS, order=0)
        assert caught.value.reason is Reason.ENGINE_FAILED
        assert health == [False]
        with pytest.raises(UnavailableError):
            admit(scheduler)
        await until(scheduler, lambda: health == [False, True])
        await ticket.submit("m", ("a",), OPTIONS, order=0)
    assert built[0].calls == [[("golden",)], [("a",)]]
    await scheduler.close()


async def test_equal_segments_are_computed_once(make_scheduler: Make, engine: GateEngine) -> None:
    """While one is in flight its equals wait for it; later ones come out of the cache."""
    engine.gate.clear()
    scheduler = make_scheduler()
    scheduler.add_model("m", engine, QUICK)
    with admit(scheduler) as one, admit(scheduler) as other:
        leader = one.submit("m", ("a",), OPTIONS, order=0)
        await engine.called()
        follower = other.submit("m", ("a",), OPTIONS, order=0)
        engine.gate.set()
        assert [(await leader).cached, (await follower).cached] == [False, True]
        assert (await other.submit("m", ("a",), OPTIONS, order=1)).cached
        again = other.submit("m", ("a",), OPTIONS, order=2, cache_mode=CacheMode.BYPASS)
        assert not (await again).cached
    assert len(engine.calls) == 2
    await scheduler.close()


async def test_every_wish_of_a_submission_reaches_the_core(
    make_scheduler: Make, engine: GateEngine
) -> None:
    """Order, determinism, retry and options decide what shares a batch, and which comes first."""
    engine.gate.clear()
    scheduler = make_scheduler(slots=1)
    scheduler.add_model("m", engine, QUICK)
    greedy, beams = GenerationOptions(beam_size=1), GenerationOptions(beam_size=3)
    with admit(scheduler) as ticket:
        first = ticket.submit("m", ("first",), greedy, order=0)
        await engine.called()
        futures = [
            first,
            ticket.submit("m", ("c",), greedy, order=3),
            ticket.submit("m", ("b",), greedy, order=2),
            ticket.submit("m", ("d",), greedy, order=4, deterministic=True),
            ticket.submit("m", ("e",), greedy, order=5, deterministic=True),
            ticket.submit("m", ("f",), greedy, order=6, retry=True),
            ticket.submit("m", ("g",), beams, order=7),
        ]
        engine.gate.set()
        await asyncio.gather(*futures)
    names = [[tokens[0] for tokens in call] for call in engine.calls]
    assert names == [["first"], ["b", "c"], ["d"], ["e"], ["f"], ["g"]]
    assert engine.options == [greedy] * 5 + [beams]
    assert all(name.startswith("engine") for name in engine.thread_names)
    await scheduler.close()


async def test_the_observer_is_told(
    make_scheduler: Make, engine: GateEngine, make_recorder: type[Recorder]
) -> None:
    """Whoever was given to the scheduler hears of batches and waits."""
    recorder = make_recorder()
    scheduler = make_scheduler(observer=recorder)
    scheduler.add_model("m", engine, QUICK)
    with admit(scheduler) as ticket:
        await ticket.submit("m", ("a",), OPTIONS, order=0)
    assert [report.items for report in recorder.batches] == [1]
    assert len(recorder.waits) == 1
    await scheduler.close()
