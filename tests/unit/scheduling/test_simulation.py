"""The scheduler's own code under load on a virtual clock: what it promises as a whole."""

from __future__ import annotations

import functools
import random
from dataclasses import astuple, dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest
from tests.unit.scheduling.machine import MACHINE, Machine

from khulasa_server.engines.base import GenerationOptions
from khulasa_server.errors import OverloadedError
from khulasa_server.scheduling import (
    Coefficients,
    Completion,
    ModelProfile,
    Priority,
    SchedulerSettings,
    Stage,
)
from khulasa_server.scheduling.types import Submission

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from khulasa_server.engines.base import Tokens
    from khulasa_server.scheduling.items import Outcome
    from khulasa_server.scheduling.work import Batch

OPTIONS = GenerationOptions(beam_size=4)
PIECES = 0.3
"""Tokens for a code point."""


class World(Machine):
    """A machine, and who asks for sentences.

    Args:
        slots: batches at once.
        prior: what the scheduler believes of the machine.
        settings: more of the scheduler's.
    """

    def __init__(
        self,
        slots: int = 2,
        prior: Coefficients = MACHINE,
        settings: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        super().__init__(
            SchedulerSettings(slots=slots, cache_bytes=0, **settings),
            ModelProfile("d", "t", prior=prior, segment_tokens=30),
        )
        self.slots = slots

    def outputs(self, batch: Batch) -> Sequence[int]:
        """As the machine writes them."""
        return [self.output(tokens) for tokens in batch.inputs]

    def output(self, tokens: Tokens) -> int:
        """Tokens written for an input; the same each time."""
        rng = random.Random(tokens[0])  # noqa: S311 - a repeatable world
        return max(1, round(len(tokens) * rng.lognormvariate(0, 0.25)))

    def ask(
        self,
        length: int,
        seconds: float,
        done: Callable[[Outcome], None],
        priority: Priority = Priority.INTERACTIVE,
    ) -> None:
        """Ask for one sentence; raises as `admit` does."""
        stage = Stage("m", round(length / PIECES * self.rng.lognormvariate(0, 0.2)), 4)
        request = self.core.admit([stage], priority, self.now + seconds, self.now)

        def deliver(outcome: Outcome) -> None:
            self.core.release(request, self.now)
            done(outcome)

        tokens = (str(next(self.numbers)), *["w"] * (length - 1))
        self.core.submit(request, Submission("m", tokens, OPTIONS), deliver, self.now)

    def length(self) -> int:
        """Of a sentence: 3 to 120 tokens, short ones more often."""
        lengths = range(3, 121)
        return self.rng.choices(lengths, [1 / (n + 3) ** 0.8 for n in lengths])[0]


def closed_loop(world: World, callers: int, seconds: float) -> float:
    """Sentences a second that so many callers get who each wait for their answer."""
    served = 0

    def call() -> None:
        world.ask(world.length(), 300.0, again)

    def again(outcome: Outcome) -> None:
        nonlocal served
        assert isinstance(outcome, Completion)
        served += 1
        world.at(world.now, call)

    for _ in range(callers):
        world.at(world.now, call)
    world.run(seconds)
    return served / seconds


@dataclass
class Offered:
    """What became of an open-loop load."""

    in_time: int = 0
    late: int = 0
    refused: int = 0
    dropped: int = 0
    waits: list[float] = field(default_factory=list)


def open_loop(
    world: World, rate: float, seconds: float, *, deadline: float = 2.0, skip: float = 0.0
) -> Offered:
    """Offer `rate` sentences a second, whoever is served or not; look away for `skip` first."""
    early, counted, begin = Offered(), Offered(), world.now + skip

    def arrive() -> None:
        world.at(world.now + world.rng.expovariate(rate), arrive)
        began = world.now

        def done(outcome: Outcome) -> None:
            offered = counted if world.now >= begin else early
            if not isinstance(outcome, Completion):
                offered.dropped += 1
            elif world.now - began <= deadline:
                offered.in_time += 1
            else:
                offered.late += 1

        try:
            world.ask(world.length(), deadline, done)
        except OverloadedError as refusal:
            counted.refused += 1
            counted.waits.append(refusal.retry_after or 0.0)

    world.at(world.now, arrive)
    world.run(skip + seconds)
    return counted


@functools.cache
def capacity() -> float:
    """The closed-loop rate at the batch length that the overload tests use."""
    return closed_loop(World(settings={"batch_seconds": 0.5, "queue_seconds": 100.0}), 256, 15)


def test_a_busy_machine_runs_full_batches() -> None:
    """With 256 in flight: within 14 % of batches of 64 sorted over all 256.

    Ten of them are what larger batches would gain, for which nobody is made to wait.
    """
    world = World(settings={"queue_seconds": 100.0})
    rate = closed_loop(world, 256, 15)
    bare = World()
    lengths = sorted(bare.length() for _ in range(2_560))
    best = sum(
        MACHINE.fixed
        + MACHINE.input_token * window[-1] * len(window)
        + MACHINE.step * window[-1]
        + MACHINE.beam_token * 4 * sum(window)
        for window in (lengths[start : start + 640 : 10] for start in _window_starts())
    )
    assert rate >= 0.86 * 2_560 / (best / 2)
    assert world.longest_batch < 1.0 * 1.5


def _window_starts() -> list[int]:
    """Forty windows of 64 neighbours, every tenth of a sorted 2,560: as sorted by 256."""
    return [640 * part + offset for part in range(4) for offset in range(10)]


@pytest.mark.parametrize("times", [2, 5])
def test_overload_costs_little_and_nothing_is_late(times: int) -> None:
    """At 2 and 5 times the capacity 90 % of what could be served is, 2 % at most late."""
    possible = capacity()
    offered = open_loop(World(settings={"batch_seconds": 0.5}), times * possible, 15)
    assert offered.in_time / 15 >= 0.9 * possible
    assert offered.late <= 0.02 * (offered.in_time + offered.late)
    assert offered.dropped <= 0.02 * offered.in_time
    assert min(offered.waits) > 0.0
    assert max(offered.waits) < 4.0


def test_below_capacity_nobody_is_refused() -> None:
    """At 0.8 times the capacity everyone is served in time."""
    offered = open_loop(World(settings={"batch_seconds": 0.5}), 0.8 * capacity(), 15)
    assert offered.refused == offered.dropped == offered.late == 0


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_a_wrong_prior_is_survived(factor: float) -> None:
    """Ten times too fast or too slow: fifteen seconds later overload is handled as well."""
    prior = Coefficients(
        factor * MACHINE.fixed,
        factor * MACHINE.input_token,
        factor * MACHINE.step,
        factor * MACHINE.beam_token,
    )
    world = World(prior=prior, settings={"batch_seconds": 0.5})
    possible = capacity()
    offered = open_loop(world, 2 * possible, 10, skip=15)
    assert offered.in_time / 10 >= 0.85 * possible
    assert offered.late <= 0.02 * offered.in_time


def test_interactive_calls_hardly_notice_bulk() -> None:
    """With bulk always waiting, a light interactive load still ends within its deadlines."""
    world = World(settings={"queue_seconds": 100.0, "bulk_queue_seconds": 1_000.0})
    bulk_served = 0

    def bulk() -> None:
        world.ask(world.length(), 290.0, again, Priority.BULK)

    def again(_: Outcome) -> None:
        nonlocal bulk_served
        bulk_served += 1
        world.at(world.now, bulk)

    for _ in range(200):
        world.at(world.now, bulk)
    offered = open_loop(world, 40.0, 12, deadline=3.0)
    assert offered.refused == offered.late == offered.dropped == 0
    assert bulk_served / 12 > 100


@pytest.mark.parametrize("slots", [1, 4])
def test_more_slots_serve_more(slots: int) -> None:
    """The same code drives any number of slots, all of them busy."""
    world = World(slots=slots, settings={"queue_seconds": 100.0})
    rate = closed_loop(world, 128 * slots, 8)
    assert world.engine_seconds / 8 == pytest.approx(slots, rel=0.1)
    assert rate > 90 * slots


@pytest.mark.parametrize("factor", [0.1, 1.0, 10.0])
def test_a_second_burst_is_promised_what_the_first_took(factor: float) -> None:
    """However wrong the prior was when the first burst was priced, the second is estimated well.

    Items are priced when they come, and the price moves before they run. Once, what it learned
    from them was counted on top of itself with each batch, until nothing found room any more.
    """
    prior = Coefficients(*(factor * value for value in astuple(MACHINE)))
    world = World(prior=prior, settings={"queue_seconds": 300.0, "batch_seconds": 0.5})
    served = 0

    def done(outcome: Outcome) -> None:
        nonlocal served
        assert isinstance(outcome, Completion)
        served += 1

    for _ in range(256):
        world.ask(world.length(), 290.0, done)
    world.at(world.now, lambda: None)
    world.run(100.0)
    took = world.engine_seconds
    for _ in range(256):
        world.ask(world.length(), 290.0, done)
    lane = world.core.statistics().lanes["m"]
    promised = world.slots * lane.estimated_seconds[Priority.INTERACTIVE]
    assert promised == pytest.approx(took, rel=0.5)
    world.at(world.now, lambda: None)
    world.run(100.0)
    assert served == 512
