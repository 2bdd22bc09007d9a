"""Requests whose outputs need a second attempt, on a virtual clock: what still holds of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from tests.unit.scheduling.machine import MACHINE, Machine

from khulasa_server.engines.base import GenerationOptions
from khulasa_server.errors import DeadlineError, OverloadedError, Reason
from khulasa_server.scheduling import (
    Completion,
    ModelProfile,
    Priority,
    SchedulerSettings,
    Stage,
)
from khulasa_server.scheduling.items import Cancelled
from khulasa_server.scheduling.types import Submission

if TYPE_CHECKING:
    from collections.abc import Sequence

    from khulasa_server.scheduling.items import Outcome, Request
    from khulasa_server.scheduling.work import Batch

FIRST = GenerationOptions(beam_size=4)
SECOND = replace(FIRST, beam_size=6, no_repeat_ngram_size=3)
SEGMENT = 20
"""Tokens of each segment; as many code points, before anything was learned."""
DEADLINE = 2.0


@dataclass(eq=False)
class Told:
    """A submission and everything it was told."""

    submission: Submission
    outcomes: list[Outcome] = field(default_factory=list)


@dataclass(eq=False)
class Caller:
    """One request: its segments, each with a second attempt where the first was bad."""

    request: Request
    waits_for: int
    told: list[Told] = field(default_factory=list)
    left: bool = False

    @property
    def refusals(self) -> list[Outcome]:
        """What it was told that is neither an answer nor its own leaving nor its deadline."""
        outcomes = [outcome for told in self.told for outcome in told.outcomes]
        return [
            outcome
            for outcome in outcomes
            if not isinstance(outcome, Completion | Cancelled)
            and not (
                isinstance(outcome, DeadlineError) and outcome.reason is Reason.DEADLINE_EXCEEDED
            )
        ]


class World(Machine):
    """Callers, and the machine that they call.

    Args:
        share: of the first attempts that need a second.
        settings: more of the scheduler's.
    """

    def __init__(self, share: float, **settings: float) -> None:
        super().__init__(
            SchedulerSettings(slots=2, cache_bytes=0, batch_seconds=0.5, **settings),
            ModelProfile(
                "d", "t", prior=MACHINE, segment_tokens=SEGMENT, tokens_per_code_point=1.0
            ),
        )
        self.share = share
        self.callers: list[Caller] = []
        self.batches: list[Batch] = []
        self.refused = 0

    def outputs(self, batch: Batch) -> Sequence[int]:
        """Of a batch of one kind, that nobody is too late for."""
        assert len({(item.submission.retry, item.options) for item in batch.items}) == 1
        for item in batch.items:
            assert all(waiter.request.deadline > self.now for waiter in item.waiters)
        self.batches.append(batch)
        return [SEGMENT] * len(batch.items)

    def arrive(self) -> None:
        """One request of one to four segments."""
        count = self.rng.randint(1, 4)
        stage = Stage("m", count * SEGMENT, FIRST.beam_size)
        try:
            request = self.core.admit([stage], Priority.INTERACTIVE, self.now + DEADLINE, self.now)
        except OverloadedError:
            self.refused += 1
            return
        caller = Caller(request, count)
        self.callers.append(caller)
        for order in range(count):
            tokens = (str(next(self.numbers)), *["w"] * (SEGMENT - 1))
            self.submit(caller, Submission("m", tokens, FIRST, order))

    def submit(self, caller: Caller, submission: Submission) -> None:
        """Submit a segment; a bad output is looked at, and asked for again, a moment later."""
        told = Told(submission)
        caller.told.append(told)

        def deliver(outcome: Outcome) -> None:
            told.outcomes.append(outcome)
            self.at(self.now, lambda: self.judge(caller, submission, outcome))

        self.core.submit(caller.request, submission, deliver, self.now)

    def judge(self, caller: Caller, submission: Submission, outcome: Outcome) -> None:
        """A good answer counts, a bad one is tried once more, anything else ends the call."""
        if caller.left:
            return
        bad = not submission.retry and self.rng.random() < self.share
        if isinstance(outcome, Completion) and bad and self.now < caller.request.deadline:
            self.submit(caller, replace(submission, options=SECOND, retry=True))
            return
        caller.waits_for -= 1
        if not caller.waits_for or not isinstance(outcome, Completion):
            caller.left = True
            self.core.release(caller.request, self.now)

    def offer(self, rate: float, seconds: float) -> None:
        """So many requests a second, whoever is served; then let all of it end."""
        end = self.now + seconds

        def next_one() -> None:
            self.arrive()
            if self.now < end:
                self.at(self.now + self.rng.expovariate(rate), next_one)

        self.at(self.now, next_one)
        self.run(seconds + 2 * DEADLINE)

    def promised(self, code_points: int) -> float:
        """Engine seconds that a request of so many code points is promised."""
        stage = Stage("m", code_points, FIRST.beam_size)
        request = self.core.admit([stage], Priority.INTERACTIVE, self.now + 60, self.now)
        lane = self.core.statistics().lanes["m"]
        self.core.release(request, self.now)
        return 2 * lane.estimated_seconds[Priority.INTERACTIVE]


@pytest.mark.parametrize(("rate", "crowded"), [(40.0, False), (400.0, True)])
def test_second_attempts_break_no_promise(rate: float, crowded: bool) -> None:  # noqa: FBT001 - parametrized
    """Below and far above the capacity, with a third of the outputs bad.

    Whoever was admitted is told nothing but answers, or that the deadline passed; each submission
    is told once, and the books add up.
    """
    world = World(share=1 / 3)
    world.offer(rate, 10.0)
    assert bool(world.refused) is crowded
    assert not [refusal for caller in world.callers for refusal in caller.refusals]
    told = [told for caller in world.callers for told in caller.told]
    assert all(len(each.outcomes) == 1 for each in told)
    assert all(caller.left for caller in world.callers)
    assert sum(each.submission.retry for each in told) > len(told) / 5
    assert {batch.items[0].submission.retry for batch in world.batches} == {False, True}
    settled = Counter(type(each.outcomes[0]) for each in told)
    statistics = world.core.statistics()
    assert statistics.submitted == len(told) == sum(statistics.settled.values())
    assert statistics.settled["completed"] == settled[Completion]
    assert (statistics.outstanding, statistics.requests, statistics.running) == (0, 0, 0)
    assert set(statistics.lanes["m"].estimated_seconds.values()) == {0.0}


def test_second_attempts_are_not_crowded_out() -> None:
    """Far above the capacity most of the admitted still end in time, second attempts included."""
    world = World(share=1 / 3)
    world.offer(400.0, 10.0)
    retried = [c for c in world.callers if any(told.submission.retry for told in c.told)]
    whole = [
        caller
        for caller in retried
        if all(isinstance(told.outcomes[0], Completion) for told in caller.told)
    ]
    assert len(whole) >= 0.9 * len(retried)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_later_requests_are_promised_what_second_attempts_take(share: float) -> None:
    """On a busy machine a text is promised what such texts took, second attempts and all."""
    world = World(share)
    world.offer(250.0, 10.0)
    read = sum(sum(not told.submission.retry for told in c.told) for c in world.callers) * SEGMENT
    assert world.promised(1_000) == pytest.approx(1_000 * world.engine_seconds / read, rel=0.3)


def test_a_second_attempt_is_paid_by_its_request() -> None:
    """What was promised and is left pays first; only what it costs beyond is promised anew."""
    world = World(share=0.0)
    stage = Stage("m", 10 * SEGMENT, FIRST.beam_size)
    request = world.core.admit([stage], Priority.INTERACTIVE, world.now + 60, world.now)
    before = world.core.statistics().lanes["m"].estimated_seconds[Priority.INTERACTIVE]
    caller = Caller(request, 1)
    tokens = ("1", *["w"] * (SEGMENT - 1))
    world.submit(caller, Submission("m", tokens, FIRST))
    world.submit(caller, Submission("m", tokens, SECOND, retry=True))
    during = world.core.statistics().lanes["m"].estimated_seconds[Priority.INTERACTIVE]
    assert during == pytest.approx(before)
    assert request.tokens == {"m": 2 * SEGMENT}
    world.core.release(request, world.now)
    assert set(world.core.statistics().lanes["m"].estimated_seconds.values()) == {0.0}
