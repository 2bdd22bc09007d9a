"""Slots for work that is no segment, and engines that are exchanged between batches."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from khulasa_server.engines.base import EngineError, GenerationOptions
from khulasa_server.errors import UnavailableError
from khulasa_server.scheduling import ModelProfile, Stage
from khulasa_server.scheduling.lone import KNOWN_AFTER

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.scheduling.driver.conftest import GateEngine

    from khulasa_server.engines.base import Engine
    from khulasa_server.scheduling import Completion, Scheduler

PROFILE = ModelProfile("d", "t")
GREEDY = GenerationOptions(beam_size=1)


async def ask(scheduler: Scheduler, text: str) -> Completion:
    """One segment in a request of its own."""
    stage = Stage("m", len(text), 1)
    with scheduler.admit([stage], deadline=time.monotonic() + 30) as ticket:
        async with asyncio.timeout(10):
            return await ticket.submit("m", tuple(text.split()), GREEDY, order=0)


async def test_slots_come_free_for_who_waits(
    make_scheduler: Callable[..., Scheduler], engine: GateEngine
) -> None:
    """He has them before segments that waited longer, and they go on when he gives them back."""
    scheduler = make_scheduler(slots=1)
    scheduler.add_model("m", engine, PROFILE)
    engine.gate.clear()
    first = asyncio.create_task(ask(scheduler, "one"))
    await engine.called()
    second = asyncio.create_task(ask(scheduler, "two"))
    taking = asyncio.create_task(scheduler.slots.take(1))
    await asyncio.sleep(0)
    assert not scheduler.slots.hold(1)
    engine.gate.set()
    await first
    await taking
    assert len(engine.calls) == 1
    assert not second.done()
    scheduler.slots.let_go(1)
    assert (await second).generation.text == "TWO"
    await scheduler.close()


async def test_who_gives_up_waiting_keeps_nobody_from_running(
    make_scheduler: Callable[..., Scheduler], engine: GateEngine
) -> None:
    """A cancelled wait for slots leaves nothing behind."""
    scheduler = make_scheduler(slots=1)
    scheduler.add_model("m", engine, PROFILE)
    assert scheduler.slots.hold(1)
    taking = asyncio.create_task(scheduler.slots.take(1))
    asking = asyncio.create_task(ask(scheduler, "one"))
    await asyncio.sleep(0.01)
    taking.cancel()
    await asyncio.wait([taking])
    scheduler.slots.let_go(1)
    assert (await asking).generation.text == "ONE"
    await scheduler.close()


async def test_idle_slots_are_taken_once_nobody_was_there_for_a_while(
    make_scheduler: Callable[..., Scheduler], engine: GateEngine
) -> None:
    """A request in flight, though nothing of it runs, keeps them free."""
    scheduler = make_scheduler(slots=2)
    scheduler.add_model("m", engine, PROFILE)
    with scheduler.admit([Stage("m", 3, 1)], deadline=time.monotonic() + 30):
        taking = asyncio.create_task(scheduler.slots.take_when_idle(2, 0.02))
        await asyncio.sleep(0.1)
        assert not taking.done()
        await ask(scheduler, "one")
        assert not taking.done()
    await asyncio.wait_for(taking, 10)
    assert scheduler.statistics().running == 2
    scheduler.slots.let_go(2)
    await scheduler.close()


async def test_whoever_comes_and_goes_begins_the_wait_anew(
    make_scheduler: Callable[..., Scheduler], engine: GateEngine
) -> None:
    """Idle means that nobody was there for all of the time asked for."""
    scheduler = make_scheduler(slots=2)
    scheduler.add_model("m", engine, PROFILE)
    began = time.monotonic()
    await scheduler.slots.take_when_idle(2, 0.1)
    assert time.monotonic() - began >= 0.1
    scheduler.slots.let_go(2)
    taking = asyncio.create_task(scheduler.slots.take_when_idle(2, 0.2))
    await asyncio.sleep(0.1)
    came = time.monotonic()
    await ask(scheduler, "one")
    await asyncio.wait_for(taking, 10)
    assert time.monotonic() - came >= 0.2
    scheduler.slots.let_go(2)
    await scheduler.close()


async def test_a_rebuild_that_waits_for_a_slot_lets_the_loop_rest(
    make_scheduler: Callable[..., Scheduler],
    engine: GateEngine,
    make_engine: type[GateEngine],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its time has come and every slot is taken: a free slot wakes it, not a timer without end."""
    scheduler = make_scheduler(slots=1)
    engine.broken = True
    scheduler.add_model("m", engine, PROFILE, probe=fail, rebuild=make_engine)
    with pytest.raises(UnavailableError):
        await ask(scheduler, "one")
    assert scheduler.slots.hold(1)
    await asyncio.sleep(1.2)
    turns = 0

    dispatch = scheduler._dispatch  # noqa: SLF001 - its calls are what is counted

    def turn() -> None:
        nonlocal turns
        turns += 1
        dispatch()

    monkeypatch.setattr(scheduler, "_dispatch", turn)
    await asyncio.sleep(0.2)
    assert turns <= 2
    scheduler.slots.let_go(1)
    async with asyncio.timeout(10):
        while not scheduler.statistics().lanes["m"].serving:
            await scheduler.change()
    await scheduler.close()


def fail(engine: Engine) -> None:
    """A golden input on an engine that may be broken."""
    if engine.generate([("golden",)], GREEDY)[0].text != "GOLDEN":
        raise EngineError("broken")


async def test_an_exchanged_engine_takes_the_next_batch(
    make_scheduler: Callable[..., Scheduler], engine: GateEngine, make_engine: type[GateEngine]
) -> None:
    """The one before is handed back, and batches have the new one's threads."""
    scheduler = make_scheduler(slots=2)
    scheduler.add_model("m", engine, PROFILE)
    await ask(scheduler, "one")
    other = make_engine()
    assert scheduler.exchange("m", other, replace(PROFILE, threads=2)) is engine
    assert (await ask(scheduler, "two")).generation.text == "TWO"
    assert (len(engine.calls), len(other.calls)) == (1, 1)
    assert scheduler.statistics().lanes["m"].threads == 2
    assert await scheduler.remove_model("m") is other
    await scheduler.close()


@pytest.fixture
async def lone(
    make_scheduler: Callable[..., Scheduler], engine: GateEngine, make_engine: type[GateEngine]
) -> tuple[Scheduler, Any]:
    """A scheduler whose model has a lone engine, for inputs that are predicted to take long."""
    scheduler = make_scheduler(slots=2, cache_bytes=0)
    prior = replace(PROFILE.prior, fixed=1.0)
    scheduler.add_model("m", engine, replace(PROFILE, prior=prior))
    engine.delay = 0.25
    for number in range(KNOWN_AFTER):
        await ask(scheduler, f"text {number}")
    other = make_engine()
    scheduler.set_lone("m", other, 2, 1.5)
    return scheduler, other


async def test_a_lone_item_runs_on_its_own_engine(lone: tuple[Scheduler, Any]) -> None:
    """And only there."""
    scheduler, other = lone
    assert (await ask(scheduler, "alone")).generation.text == "ALONE"
    assert other.calls == [[("alone",)]]
    await scheduler.remove_model("m")
    assert other.closed
    await scheduler.close()


async def test_a_lone_engine_that_fails_is_closed(lone: tuple[Scheduler, Any]) -> None:
    """Its item is answered by the usual one, and its memory is free."""
    scheduler, other = lone
    other.broken = True
    assert (await ask(scheduler, "alone")).generation.text == "ALONE"
    assert len(other.calls) == 1
    await scheduler.close()
    assert other.closed
    assert scheduler.statistics().lanes["m"].lone_threads == 0
