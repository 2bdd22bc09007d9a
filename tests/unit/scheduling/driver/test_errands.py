"""What else than segments runs on engines, and models that are replaced."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from khulasa_server.engines.base import EngineError, GenerationOptions
from khulasa_server.errors import Reason, UnavailableError
from khulasa_server.scheduling import Coefficients, ModelProfile, Priority, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.scheduling.driver.conftest import GateEngine

    from khulasa_server.engines.base import Engine
    from khulasa_server.scheduling import Scheduler, Ticket

    Make = Callable[..., Scheduler]

OPTIONS = GenerationOptions(beam_size=1)
QUICK = ModelProfile("d", "t", prior=Coefficients(1e-4, 1e-6, 0.0, 0.0), batch_tokens=64)


def admit(scheduler: Scheduler, model: str = "m") -> Ticket:
    """A ticket for a little work."""
    return scheduler.admit([Stage(model, 10, 1)], deadline=time.monotonic() + 60)


def names(engine: Engine) -> str:
    """An errand that runs a batch."""
    return engine.generate([("errand",)], OPTIONS)[0].text


async def test_an_errand_runs_in_a_slot_after_interactive_work(
    make_scheduler: Make, engine: GateEngine
) -> None:
    """It waits while a segment of a caller waits, and its result or exception comes back."""
    engine.gate.clear()
    scheduler = make_scheduler(slots=1)
    scheduler.add_model("m", engine, QUICK)
    with admit(scheduler) as ticket:
        first = ticket.submit("m", ("a",), OPTIONS, order=0)
        await engine.called()
        errand = asyncio.create_task(scheduler.run_errand("m", names))
        await asyncio.sleep(0)
        second = ticket.submit("m", ("b",), OPTIONS, order=1)
        assert scheduler.statistics().running == 1
        engine.gate.set()
        await asyncio.gather(first, second)
        assert await errand == "ERRAND"
    assert [batch[0] for batch in engine.calls] == [("a",), ("b",), ("errand",)]
    engine.broken = True
    with pytest.raises(EngineError):
        await scheduler.run_errand("m", names)
    engine.broken = False
    assert await scheduler.run_errand("m", names) == "ERRAND", "it is nobody's batch that failed"
    assert scheduler.statistics().lanes["m"].serving
    await scheduler.close()


async def test_a_drain_refuses_errands_that_wait(make_scheduler: Make, engine: GateEngine) -> None:
    """One that runs ends; the others, and those that come, are told SHUTTING_DOWN at once."""
    engine.gate.clear()
    scheduler = make_scheduler(slots=1)
    scheduler.add_model("m", engine, QUICK)
    running = asyncio.create_task(scheduler.run_errand("m", names))
    await engine.called()
    waiting = asyncio.create_task(scheduler.run_errand("m", names))
    await asyncio.sleep(0)
    scheduler.begin_drain()
    for refused in (waiting, asyncio.create_task(scheduler.run_errand("m", names))):
        with pytest.raises(UnavailableError) as caught:
            await refused
        assert caught.value.reason is Reason.SHUTTING_DOWN
    engine.gate.set()
    assert await running == "ERRAND"
    await scheduler.close()


async def test_an_errand_nobody_waits_for_does_not_run(
    make_scheduler: Make, engine: GateEngine
) -> None:
    """Cancelled before its turn, it never reaches the engine; of a model gone it is refused."""
    engine.gate.clear()
    scheduler = make_scheduler(slots=1)
    scheduler.add_model("m", engine, QUICK)
    running = asyncio.create_task(scheduler.run_errand("m", names))
    await engine.called()
    waiting = asyncio.create_task(scheduler.run_errand("m", names))
    await asyncio.sleep(0)
    waiting.cancel()
    removing = asyncio.create_task(scheduler.remove_model("m"))
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError):
        await scheduler.run_errand("m", names)
    engine.gate.set()
    await running
    assert await removing is engine
    assert len(engine.calls) == 1
    await scheduler.close()


async def test_a_retired_model_goes_after_its_last_request(
    make_scheduler: Make, make_engine: type[GateEngine]
) -> None:
    """What was admitted, and bulk work that waits for room, ends on it; then its engine is free."""
    old, new = make_engine(), make_engine()
    old.gate.clear()
    scheduler = make_scheduler(slots=1, bulk_queue_seconds=1.0)
    slow = ModelProfile("d", "t", prior=Coefficients(0.0, 1.0, 0.0, 0.0), batch_tokens=8)
    scheduler.add_model("m", old, slow)
    stage, deadline = Stage("m", 20, 1), time.monotonic() + 200

    async def bulk(word: str) -> str:
        with await scheduler.admit_bulk([stage], deadline=deadline) as ticket:
            done = await ticket.submit("m", (word,) * 3, OPTIONS, order=0)
            return done.generation.text

    first = asyncio.create_task(bulk("a"))
    await old.called()
    waiting = asyncio.create_task(bulk("b"))
    await asyncio.sleep(0)
    scheduler.add_model("m#2", new, slow)
    retiring = asyncio.create_task(scheduler.retire_model("m"))
    with scheduler.admit([Stage("m#2", 1, 1)], deadline=deadline) as ticket:
        done = ticket.submit("m#2", ("c",), OPTIONS, order=0)
        state = scheduler.statistics().lanes
        assert list(state) == ["m"], "the two of them are one model to whoever looks"
        assert state["m"].requests == 2
        assert state["m"].depth[Priority.INTERACTIVE] == 1
        old.gate.set()
        assert (await first, await waiting) == ("A A A", "B B B")
        assert (await done).generation.text == "C"
        assert await retiring is old
    assert (len(old.calls), len(new.calls)) == (2, 1)
    with pytest.raises(UnavailableError) as caught:
        admit(scheduler, "m")
    assert caught.value.metadata == {"model": "m"}
    await scheduler.close()
