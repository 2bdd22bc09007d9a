"""What one call costs the event loop: few steps, few timers, and nothing before its answer."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from khulasa_server.engines.base import GenerationOptions
from khulasa_server.scheduling import (
    Coefficients,
    ModelProfile,
    Scheduler,
    SchedulerSettings,
    Stage,
)
from khulasa_server.scheduling.estimator import Estimator

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from tests.unit.scheduling.driver.conftest import GateEngine

    Make = Callable[..., Scheduler]

OPTIONS = GenerationOptions(beam_size=1)
PROFILE = ModelProfile("d", "t", prior=Coefficients(1e-4, 1e-6, 0.0, 0.0), batch_tokens=64)


async def test_later_deadlines_set_no_timer(
    make_scheduler: Make, engine: GateEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timer of the first call stands while calls with later deadlines come and go."""
    timers: list[float] = []
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def counted(delay: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        timers.append(delay)
        return call_later(delay, callback)

    monkeypatch.setattr(loop, "call_later", counted)
    scheduler = make_scheduler()
    scheduler.add_model("m", engine, PROFILE)
    for number in range(20):
        deadline = time.monotonic() + 5 + number
        with scheduler.admit([Stage("m", 10, 1)], deadline=deadline) as ticket:
            await ticket.submit("m", (str(number),), OPTIONS, order=0)
    assert len(timers) == 1
    assert timers[0] <= 5
    await scheduler.close()


async def test_a_nearer_deadline_replaces_the_timer(
    make_scheduler: Make, engine: GateEngine
) -> None:
    """What waits is told at its own deadline, although a later one was waited for before."""
    scheduler = make_scheduler(slots=1)
    scheduler.add_model("m", engine, PROFILE)
    engine.gate.clear()
    now = time.monotonic()
    with scheduler.admit([Stage("m", 1, 1)], deadline=now + 50) as running:
        first = running.submit("m", ("a",), OPTIONS, order=0)
        await engine.called()
        with scheduler.admit([Stage("m", 1, 1)], deadline=time.monotonic() + 0.2) as waiting:
            late = waiting.submit("m", ("b",), OPTIONS, order=0)
            await asyncio.wait([late], timeout=20)
            assert late.done()
            assert not first.done()
            assert late.exception() is not None
        engine.gate.set()
        await first
    await scheduler.close()


async def test_a_free_slot_takes_what_waits_before_callers_are_woken(
    make_scheduler: Make, engine: GateEngine
) -> None:
    """A slot does not stay idle while those before work on their outputs."""
    scheduler = make_scheduler(slots=1)
    scheduler.add_model("m", engine, PROFILE)
    engine.gate.clear()
    running: list[int] = []
    with scheduler.admit([Stage("m", 2, 2)], deadline=time.monotonic() + 60) as ticket:
        first = ticket.submit("m", ("a",), OPTIONS, order=0)
        first.add_done_callback(lambda _: running.append(scheduler.statistics().running))
        await engine.called()
        second = ticket.submit("m", ("b",), OPTIONS, order=1)
        engine.gate.set()
        await asyncio.gather(first, second)
    assert running == [1]
    await scheduler.close()


async def test_callers_are_woken_before_anything_is_learned_where_nothing_waits(
    make_scheduler: Make, engine: GateEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to a lone call is not held up by the fit of the cost model."""
    order: list[str] = []
    monkeypatch.setattr(Estimator, "observe_output", lambda *_: order.append("learned"))
    scheduler = make_scheduler(slots=1)
    scheduler.add_model("m", engine, PROFILE)
    with scheduler.admit([Stage("m", 1, 1)], deadline=time.monotonic() + 60) as ticket:
        only = ticket.submit("m", ("a",), OPTIONS, order=0)
        only.add_done_callback(lambda _: order.append("told"))
        await only
    await asyncio.sleep(0)
    assert order == ["told", "learned"]
    await scheduler.close()


def test_a_call_that_ends_after_the_loop_harms_nobody(
    engine: GateEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """A server may end without waiting for an engine that hung; its thread ends in silence."""
    executor = ThreadPoolExecutor(1)
    engine.gate = threading.Event()

    async def abandon() -> None:
        rng = random.Random(1)  # noqa: S311 - jitter, not a secret
        scheduler = Scheduler(SchedulerSettings(slots=1), executor=executor, rng=rng)
        scheduler.add_model("m", engine, PROFILE)
        with scheduler.admit([Stage("m", 10, 1)], deadline=time.monotonic() + 60) as ticket:
            ticket.submit("m", ("a",), OPTIONS, order=0)
            await engine.called()

    asyncio.run(abandon())
    engine.gate.set()
    executor.shutdown()
    assert engine.calls == [[("a",)]]
    assert caplog.records == []
