"""The pure core under arrivals, cancellations, deadlines, failures and shutdown in every order."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from khulasa_server.engines.base import Finish, Generation, GenerationOptions
from khulasa_server.errors import (
    DeadlineError,
    InternalError,
    Reason,
    ServiceError,
    UnavailableError,
)
from khulasa_server.scheduling import (
    CacheMode,
    Coefficients,
    Completion,
    ModelProfile,
    Priority,
    SchedulerSettings,
    Stage,
)
from khulasa_server.scheduling.core import SchedulerCore
from khulasa_server.scheduling.items import Cancelled, Outcome, Request, State, Waiter
from khulasa_server.scheduling.types import Submission
from khulasa_server.scheduling.work import Batch, Errand, Probe, Work

if TYPE_CHECKING:
    from khulasa_server.engines.base import Tokens

BATCH_TOKENS = 64
BATCH_SECONDS = 1.0
MODELS = ("translate", "summarize")
OPTIONS = (GenerationOptions(beam_size=1), GenerationOptions(beam_size=4))
PROFILE = ModelProfile(
    digest="d",
    tokenizer_digest="t",
    prior=Coefficients(fixed=0.05, input_token=0.001, step=0.005, beam_token=0.002),
    batch_tokens=BATCH_TOKENS,
)
POISON = "poison"
BAD = frozenset(f"w{number}" for number in range(10))
STRICTER = {options: replace(options, no_repeat_ngram_size=3) for options in OPTIONS}
LONG_ENOUGH = 30
"""Submissions before the server may end, or most runs would be short."""


def answer(tokens: Tokens) -> Generation:
    """The scripted output of an input."""
    return Generation(" ".join(tokens).upper(), tokens, -1.0, Finish.LENGTH)


def submission_of(  # noqa: PLR0917 - strategies are given by position
    model: str,
    options: GenerationOptions,
    length: int,
    last: str,
    mode: CacheMode,
    rare: str,
) -> Submission:
    """A submission; few lengths and words, so that equal ones meet."""
    tokens = (*["word"] * (length - 1), last)
    return Submission(
        model, tokens, options, length % 3, mode, rare == "deterministic", rare == "retry"
    )


SUBMISSIONS = st.builds(
    submission_of,
    st.sampled_from(MODELS),
    st.sampled_from(OPTIONS),
    st.sampled_from([1, 5, 6, 7, 8, 9, 20, 100]),
    st.sampled_from([*[f"w{number}" for number in range(15)], POISON]),
    st.sampled_from([CacheMode.USE, CacheMode.USE, CacheMode.BYPASS]),
    st.sampled_from(["", "", "", "deterministic", "retry"]),
)


class Submitted:
    """One submission and everything it was ever told."""

    def __init__(self, request: Request, submission: Submission) -> None:
        self.request = request
        self.submission = submission
        self.outcomes: list[Outcome] = []
        self.waiter: Waiter | None = None
        self.retried = False

    @property
    def degenerated(self) -> bool:
        """Whether its output needs a second attempt, and has had none."""
        first = not self.retried and not self.submission.retry
        bad = self.submission.tokens[-1] in BAD
        return first and bad and any(isinstance(each, Completion) for each in self.outcomes)


class SchedulerMachine(RuleBasedStateMachine):
    """Drives the core by hand; engines end when a rule says so."""

    @initialize(
        slots=st.integers(1, 3),
        cache_bytes=st.sampled_from([0, 3_000, 1_000_000]),
        threads=st.integers(1, 3),
        lone=st.booleans(),
    )
    def build(self, slots: int, cache_bytes: int, threads: int, *, lone: bool) -> None:
        """Begin with two models, the second of which may take several slots, and nothing to do."""
        self.now = 1_000.0
        self.slots = slots
        self.health: dict[str, bool] = dict.fromkeys(MODELS, True)
        self.core = SchedulerCore(
            SchedulerSettings(slots=slots, cache_bytes=cache_bytes, batch_seconds=BATCH_SECONDS),
            random.Random(0),  # noqa: S311 - jitter, not a secret
            on_health=self.health.__setitem__,
        )
        self.threads = {"translate": 1, "summarize": min(slots, threads)}
        for model in MODELS:
            self.core.add_model(model, replace(PROFILE, threads=self.threads[model]))
        if lone and slots > 1:
            self.core.widen("summarize", slots, 1.5)
        self.held = 0
        self.requests: list[Request] = []
        self.submitted: list[Submitted] = []
        self.running: list[Work] = []
        self.errands: list[tuple[str, list[object]]] = []
        self.failed_once: set[int] = set()
        self.closed = self.draining = False

    @rule(
        priority=st.sampled_from(Priority),
        models=st.lists(st.sampled_from(MODELS), min_size=1, max_size=2),
        code_points=st.integers(1, 2_000),
        seconds=st.floats(0.1, 60),
        submissions=st.lists(SUBMISSIONS, max_size=6),
    )
    def admit(
        self,
        priority: Priority,
        models: list[str],
        code_points: int,
        seconds: float,
        submissions: list[Submission],
    ) -> None:
        """Ask for a place, and begin; a refusal leaves nothing behind."""
        stages = [Stage(model, code_points, 4) for model in models]
        before = self.burden()
        try:
            request = self.core.admit(stages, priority, self.now + seconds, self.now)
        except ServiceError as refusal:
            error = refusal
        else:
            assert not self.draining
            assert all(self.health[model] for model in models)
            self.requests.append(request)
            self.send(request, submissions)
            return
        assert self.burden() == before
        assert self.draining or error.reason is not Reason.SHUTTING_DOWN

    def burden(self) -> object:
        """Everything that waits or is promised."""
        statistics = self.core.statistics()
        lanes = statistics.lanes.values()
        waiting = [(lane.depth, lane.estimated_seconds, lane.requests) for lane in lanes]
        return waiting, statistics.requests, statistics.submitted, statistics.settled

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), submissions=st.lists(SUBMISSIONS, min_size=1, max_size=6))
    def submit(self, data: st.DataObject, submissions: list[Submission]) -> None:
        """Submit some segments at once, so that batches of several come about."""
        self.send(data.draw(st.sampled_from(self.requests)), submissions)

    def send(self, request: Request, submissions: list[Submission]) -> None:
        """Submit segments of an admitted request."""
        for submission in submissions:
            entry = Submitted(request, submission)
            self.submitted.append(entry)
            entry.waiter = self.core.submit(request, submission, entry.outcomes.append, self.now)

    def bad(self) -> list[Submitted]:
        """Whose callers are here and want a second attempt."""
        return [e for e in self.submitted if e.degenerated and e.request in self.requests]

    @rule()
    def serve(self) -> None:
        """Engines do what there is to do, all goes well, and bad outputs are looked at at once."""
        self.fill_slots()
        while self.running:
            self.now += 0.01
            self.report(self.running.pop(0), sound=True, seconds=0.01)
            self.retry()

    def retry(self) -> None:
        """Guards ask again for what is bad: never refused, and paid by the request it is of."""
        for entry in self.bad():
            entry.retried = True
            request, first = entry.request, entry.submission
            second = replace(first, options=STRICTER[first.options], retry=True)
            reserved = request.reserved.get(first.model)
            had, tokens = reserved.seconds if reserved else 0.0, request.tokens[first.model]
            again = Submitted(request, second)
            self.submitted.append(again)
            again.waiter = self.core.submit(request, second, again.outcomes.append, self.now)
            if again.outcomes and not isinstance(again.outcomes[0], Completion):
                late = request.deadline <= self.now
                assert late or self.closed or not self.health[first.model]
                continue
            assert request.tokens[first.model] == tokens + len(first.tokens)
            left = request.reserved.get(first.model)
            assert (left.seconds if left else 0.0) < had or not had

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0, 2.0, 60.0]))
    def let_time_pass(self, seconds: float) -> None:
        """Time passes, and the driver's timer rings."""
        self.now += seconds
        self.core.expire(self.now)
        for entry in self.submitted:
            item = None if entry.waiter is None else entry.waiter.item
            if entry.request.deadline <= self.now and item is not None:
                assert item.state is State.RUNNING, "it waits past its deadline"

    @rule()
    def dispatch(self) -> None:
        """Fill the free slots, as the driver does after everything."""
        self.fill_slots()
        idle = self.slots - self.core.running >= max(self.threads.values())
        for model, lane in self.core.statistics().lanes.items():
            probing = any(isinstance(w, Probe) and w.model == model for w in self.running)
            waits = any(lane.depth.values())
            assert not (idle and lane.serving and waits and not probing)

    def fill_slots(self) -> None:
        """Take work until the core has none, and look at all of it."""
        while (work := self.core.next_work(self.now)) is not None:
            self.running.append(work)
            assert work.slots == self.threads[work.model] or (
                isinstance(work, Batch) and work.lone and len(self.running) == 1
            )
            assert self.taken() <= self.slots
            if isinstance(work, Batch):
                self.check_batch(work)

    def taken(self) -> int:
        """Slots of everything that runs."""
        return self.held + sum(work.slots for work in self.running)

    @rule(slots=st.integers(1, 3))
    def hold(self, slots: int) -> None:
        """Somebody takes slots for work of his own, if they are free."""
        free = self.slots - self.taken()
        assert self.core.hold(slots) is (slots <= free)
        self.held += slots if slots <= free else 0

    @precondition(lambda self: self.held)
    @rule()
    def let_go(self) -> None:
        """He gives them back."""
        self.core.let_go(self.held)
        self.held = 0

    def check_batch(self, batch: Batch) -> None:
        """What holds for every batch that starts."""
        first = batch.items[0].submission
        for item in batch.items:
            assert item.waiters
            assert all(waiter.request.deadline > self.now for waiter in item.waiters)
            assert item.submission.model == batch.model
            assert item.submission.options == first.options
            assert item.submission.retry == first.retry
        assert self.health[batch.model]
        if len(batch.items) > 1:
            assert not any(item.submission.deterministic for item in batch.items)
            assert len(batch.items) * max(item.length for item in batch.items) <= BATCH_TOKENS
            if not self.failed_once.intersection(map(id, batch.items)):
                assert batch.predicted_seconds <= BATCH_SECONDS

    @precondition(lambda self: self.running)
    @rule(data=st.data(), sound=st.booleans(), seconds=st.floats(0.001, 3))
    def end_work(self, data: st.DataObject, sound: bool, seconds: float) -> None:  # noqa: FBT001 - hypothesis passes it
        """Some running work ends: poison raises, a probe may say either."""
        work = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.now += seconds
        self.report(work, sound=sound, seconds=seconds)
        self.retry()

    @precondition(lambda self: any(isinstance(work, Batch) for work in self.running))
    @rule()
    def engine_raises(self) -> None:
        """A batch fails although nothing in it is poisoned."""
        batch = next(work for work in self.running if isinstance(work, Batch))
        self.running.remove(batch)
        self.failed_once.update(map(id, batch.items))
        self.core.failed(batch, RuntimeError("scripted"), self.now)

    def report(self, work: Work, *, sound: bool, seconds: float) -> None:
        """Tell the core what became of a piece of work."""
        if isinstance(work, Probe):
            self.core.probed(work, sound=sound, now=self.now)
        elif isinstance(work, Errand):
            self.core.ran(work, seconds)
        elif not isinstance(work, Batch):
            self.core.rebuilt(work, succeeded=sound, now=self.now)
        elif any(POISON in tokens for tokens in work.inputs):
            self.failed_once.update(map(id, work.items))
            self.core.failed(work, RuntimeError("poison"), self.now)
        else:
            self.core.completed(work, [answer(t) for t in work.inputs], seconds, self.now)

    @rule(model=st.sampled_from(MODELS))
    def send_on_errand(self, model: str) -> None:
        """Something else is to run on an engine."""
        told: list[object] = []
        try:
            self.core.errand(model, lambda _engine: None, told.append, self.now)
        except ServiceError:
            assert self.draining
        else:
            self.errands.append((model, told))

    @precondition(lambda self: self.submitted)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """A caller withdraws one segment, settled or not."""
        entry = data.draw(st.sampled_from(self.submitted))
        had = list(entry.outcomes)
        assert entry.waiter is not None
        self.core.cancel(entry.waiter)
        assert entry.outcomes == (had or [Cancelled.CANCELLED])

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """A caller leaves: everything of it has ended at once."""
        request = data.draw(st.sampled_from(self.requests))
        self.requests.remove(request)
        self.core.release(request, self.now)
        assert all(entry.outcomes for entry in self.submitted if entry.request is request)

    @precondition(lambda self: len(self.submitted) > LONG_ENOUGH)
    @rule()
    def drain(self) -> None:
        """The server stops admitting."""
        self.draining = True
        self.core.drain()

    @precondition(lambda self: len(self.submitted) > LONG_ENOUGH)
    @rule()
    def close(self) -> None:
        """The server ends: nothing waits any more."""
        self.draining = self.closed = True
        self.core.close()
        assert all(not sum(lane.depth.values()) for lane in self.core.statistics().lanes.values())

    @invariant()
    def settles_once(self) -> None:
        """No submission is told two outcomes, and each outcome is the right one."""
        assert all(len(told) <= 1 for _, told in self.errands)
        for entry in self.submitted:
            assert len(entry.outcomes) <= 1
            for outcome in entry.outcomes:
                if isinstance(outcome, Completion):
                    assert outcome.generation == answer(entry.submission.tokens)
                    assert outcome.queue_seconds >= 0
                elif isinstance(outcome, InternalError):
                    assert entry.request is not None
                elif isinstance(outcome, DeadlineError):
                    assert outcome.reason is Reason.DEADLINE_EXCEEDED, "admitted, then refused"
                else:
                    assert isinstance(outcome, Cancelled | DeadlineError | UnavailableError)

    @invariant()
    def counters_add_up(self) -> None:
        """What was submitted is settled or outstanding, by the core's count and by ours."""
        statistics = self.core.statistics()
        told = sum(len(entry.outcomes) for entry in self.submitted)
        assert statistics.submitted == len(self.submitted)
        assert sum(statistics.settled.values()) == told
        assert statistics.outstanding == len(self.submitted) - told
        assert statistics.running == self.taken() <= self.slots
        completed = sum(isinstance(e.outcomes[0], Completion) for e in self.submitted if e.outcomes)
        assert Counter(statistics.settled)["completed"] == completed

    @invariant()
    def promises_end_with_their_owners(self) -> None:
        """Once every caller left, nothing is queued or promised."""
        for lane in self.core.statistics().lanes.values():
            assert all(seconds >= 0 for seconds in lane.estimated_seconds.values())
            if not self.requests:
                assert set(lane.depth.values()) == {0}
                assert set(lane.estimated_seconds.values()) == {0.0}

    def teardown(self) -> None:
        """Without new arrivals everything ends, and nobody was left waiting."""
        if self.held:
            self.let_go()
        for _ in range(20 * len(self.submitted) + len(self.errands) + 20):
            self.fill_slots()
            if not self.running:
                break
            self.report(self.running.pop(0), sound=True, seconds=0.1)
        assert all(entry.outcomes for entry in self.submitted)
        assert all(told or not self.health[model] for model, told in self.errands)
        for entry in self.submitted:
            if isinstance(entry.outcomes[0], InternalError):
                blamed = POISON in entry.submission.tokens or self.failed_once
                assert blamed


TestScheduler = SchedulerMachine.TestCase
TestScheduler.settings = settings(
    max_examples=150,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
