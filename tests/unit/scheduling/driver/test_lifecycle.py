"""Back-pressure, drain, close and removal, on real threads; events order what happens."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from khulasa_server.engines.base import GenerationOptions
from khulasa_server.errors import (
    DeadlineError,
    OverloadedError,
    Reason,
    UnavailableError,
)
from khulasa_server.scheduling import Coefficients, ModelProfile, Priority, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

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


async def test_bulk_waits_for_room_instead_of_being_refused(
    make_scheduler: Make, engine: GateEngine
) -> None:
    """Bulk callers wait in line, first come first served, and go on when room is made."""
    engine.gate.clear()
    slow = ModelProfile("d", "t", prior=Coefficients(0.0, 1.0, 0.0, 0.0), batch_tokens=8)
    scheduler = make_scheduler(slots=1, bulk_queue_seconds=4.0)
    scheduler.add_model("m", engine, slow)
    stages, deadline = [Stage("m", 20, 1)], time.monotonic() + 200
    order: list[int] = []

    async def call(number: int) -> None:
        with await scheduler.admit_bulk(stages, deadline=deadline) as ticket:
            order.append(number)
            await ticket.submit("m", (str(number),) * 6, OPTIONS, order=0)

    tasks = [asyncio.create_task(call(number)) for number in range(4)]
    await engine.called()
    assert len(order) < 4
    with pytest.raises(OverloadedError):
        scheduler.admit(stages, deadline=deadline, priority=Priority.BULK)
    engine.gate.set()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3]
    await scheduler.close()


async def test_bulk_gives_up_at_its_deadline(make_scheduler: Make, engine: GateEngine) -> None:
    """An item that waited for room until its deadline is told so."""
    engine.gate.clear()
    scheduler = make_scheduler(slots=1, bulk_queue_seconds=1e-9)
    scheduler.add_model("m", engine, QUICK)
    now = time.monotonic()
    with await scheduler.admit_bulk([Stage("m", 10, 1)], deadline=now + 60):
        with pytest.raises(DeadlineError) as caught:
            await scheduler.admit_bulk([Stage("m", 10, 1)], deadline=now + 0.1)
        assert caught.value.reason is Reason.DEADLINE_EXCEEDED
    await scheduler.close()


async def test_drain_lets_admitted_work_end(make_scheduler: Make, engine: GateEngine) -> None:
    """Nothing new is admitted, waiting bulk callers are told, and what was admitted goes on."""
    scheduler = make_scheduler(bulk_queue_seconds=1e-9)
    scheduler.add_model("m", engine, QUICK)
    deadline = time.monotonic() + 60
    bulk = await scheduler.admit_bulk([Stage("m", 10, 1)], deadline=deadline)
    queued = asyncio.create_task(scheduler.admit_bulk([Stage("m", 10, 1)], deadline=deadline))
    with bulk:
        draining = asyncio.create_task(scheduler.drain(60))
        with pytest.raises(UnavailableError) as caught:
            await queued
        assert caught.value.reason is Reason.SHUTTING_DOWN
        assert (await bulk.submit("m", ("a",), OPTIONS, order=0)).generation.text == "A"
        assert not draining.done()
    assert await draining
    with pytest.raises(UnavailableError):
        admit(scheduler)
    await scheduler.close()


async def test_close_fails_what_has_not_started(make_scheduler: Make, engine: GateEngine) -> None:
    """A drain that takes too long ends with SHUTTING_DOWN for all that waits; what runs ends."""
    engine.gate.clear()
    scheduler = make_scheduler(slots=1)
    scheduler.add_model("m", engine, QUICK)
    with admit(scheduler) as ticket:
        running = ticket.submit("m", ("a",), OPTIONS, order=0)
        await engine.called()
        waiting = ticket.submit("m", ("b",), OPTIONS, order=1)
        assert not await scheduler.drain(0.0)
        closing = asyncio.create_task(scheduler.close())
        with pytest.raises(UnavailableError) as caught:
            await waiting
        assert caught.value.reason is Reason.SHUTTING_DOWN
        assert not closing.done()
        engine.gate.set()
        assert (await running).generation.text == "A"
        await closing
        with pytest.raises(UnavailableError):
            await ticket.submit("m", ("c",), OPTIONS, order=2)


async def test_a_model_is_removed_when_its_batch_has_ended(
    make_scheduler: Make, engine: GateEngine
) -> None:
    """What waits for it fails, what runs ends, and its engine comes back unclosed."""
    engine.gate.clear()
    scheduler = make_scheduler(slots=1)
    scheduler.add_model("m", engine, QUICK)
    with admit(scheduler) as ticket:
        running = ticket.submit("m", ("a",), OPTIONS, order=0)
        await engine.called()
        waiting = ticket.submit("m", ("b",), OPTIONS, order=1)
        removing = asyncio.create_task(scheduler.remove_model("m"))
        with pytest.raises(UnavailableError):
            await waiting
        with pytest.raises(UnavailableError) as caught:
            admit(scheduler)
        assert caught.value.reason is Reason.NOT_READY
        engine.gate.set()
        assert (await running).generation.text == "A"
        assert await removing is engine
        assert not engine.closed
    assert scheduler.statistics().lanes == {}
    await scheduler.close()


async def test_failures_nobody_awaits_make_no_noise(
    make_scheduler: Make, engine: GateEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """Once a ticket was left, its unread failures are not logged as forgotten."""
    engine.broken = True
    scheduler = make_scheduler()
    scheduler.add_model("m", engine, QUICK, probe=golden)
    with admit(scheduler) as ticket:
        future = ticket.submit("m", ("a",), OPTIONS, order=0)
        await until(scheduler, future.done)
    del future, ticket
    assert not caplog.records
    await scheduler.close()
