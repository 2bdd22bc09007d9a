"""A hand-driven core for the tests of this room."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from khulasa_server.engines.base import EngineError, Finish, Generation, GenerationOptions
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
from khulasa_server.scheduling.types import Submission
from khulasa_server.scheduling.work import Batch, Errand, Probe, Rebuild, Work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from khulasa_server.engines.base import Tokens
    from khulasa_server.errors import Reason
    from khulasa_server.scheduling.items import Outcome, Request, Waiter
    from khulasa_server.scheduling.observer import BatchReport
    from khulasa_server.scheduling.types import CacheResult, Drop

POISON = "☠"
OPTIONS = GenerationOptions(beam_size=1)
PRIOR = Coefficients(fixed=0.1, input_token=0.01, step=0.0, beam_token=0.0)
PROFILE = ModelProfile(digest="d", tokenizer_digest="t", prior=PRIOR, batch_tokens=20)


def generation(tokens: Tokens) -> Generation:
    """The scripted answer to an input: its tokens, upper case."""
    return Generation(" ".join(tokens).upper(), tokens, -0.5, Finish.LENGTH)


@dataclass
class Recorder:
    """An observer that keeps what it is told."""

    waits: list[tuple[str, Priority, float]] = field(default_factory=list)
    batches: list[BatchReport] = field(default_factory=list)
    drops: list[tuple[str, Priority, Drop]] = field(default_factory=list)
    rejections: list[tuple[str, Priority, Reason]] = field(default_factory=list)
    cached: list[tuple[str, CacheResult]] = field(default_factory=list)
    rebuilds: list[tuple[str, bool]] = field(default_factory=list)

    def waited(self, model: str, priority: Priority, seconds: float) -> None:
        """Keep a wait."""
        self.waits.append((model, priority, seconds))

    def batch(self, report: BatchReport) -> None:
        """Keep a batch."""
        self.batches.append(report)

    def dropped(self, model: str, priority: Priority, reason: Drop) -> None:
        """Keep a drop."""
        self.drops.append((model, priority, reason))

    def rejected(self, model: str, priority: Priority, reason: Reason) -> None:
        """Keep a rejection."""
        self.rejections.append((model, priority, reason))

    def cache(self, model: str, result: CacheResult) -> None:
        """Keep a question to the cache."""
        self.cached.append((model, result))

    def rebuilt(self, model: str, *, succeeded: bool) -> None:
        """Keep a rebuild."""
        self.rebuilds.append((model, succeeded))


@dataclass
class Told:
    """One submission and everything it was told."""

    outcomes: list[Outcome] = field(default_factory=list)
    waiter: Waiter | None = None

    @property
    def outcome(self) -> Outcome:
        """The one outcome."""
        (outcome,) = self.outcomes
        return outcome

    @property
    def completion(self) -> Completion:
        """The one outcome, which must be a result."""
        assert isinstance(self.outcome, Completion)
        return self.outcome


class Bench:
    """The pure core with a clock that only the test moves."""

    def __init__(
        self,
        models: Sequence[str] = ("m",),
        profile: ModelProfile = PROFILE,
        **settings: Any,  # noqa: ANN401 - fields of SchedulerSettings
    ) -> None:
        self.now = 100.0
        self.observer = Recorder()
        self.health: list[tuple[str, bool]] = []
        self.settings = SchedulerSettings(**settings)
        self.core = SchedulerCore(
            self.settings,
            random.Random(7),  # noqa: S311 - jitter, not a secret
            self.observer,
            lambda model, serving: self.health.append((model, serving)),
        )
        for model in models:
            self.core.add_model(model, profile)

    def admit(
        self,
        code_points: int = 10,
        *,
        model: str = "m",
        seconds: float = 50.0,
        priority: Priority = Priority.INTERACTIVE,
    ) -> Request:
        """Admit a request of one stage."""
        return self.core.admit(
            [Stage(model, code_points, 1)], priority, self.now + seconds, self.now
        )

    def submit(
        self,
        request: Request,
        text: str,
        *,
        model: str = "m",
        options: GenerationOptions = OPTIONS,
        order: int = 0,
        cache_mode: CacheMode = CacheMode.USE,
        deterministic: bool = False,
        retry: bool = False,
    ) -> Told:
        """Submit a text whose words are its tokens."""
        told = Told()
        submission = Submission(
            model, tuple(text.split()), options, order, cache_mode, deterministic, retry
        )
        told.waiter = self.core.submit(request, submission, told.outcomes.append, self.now)
        return told

    def alone(self, text: str, *, seconds: float = 50.0, **kwargs: Any) -> Told:  # noqa: ANN401 - passed on
        """Submit a text in a request of its own."""
        priority = kwargs.pop("priority", Priority.INTERACTIVE)
        model = kwargs.get("model", "m")
        return self.submit(
            self.admit(1, seconds=seconds, priority=priority, model=model), text, **kwargs
        )

    def work(self) -> Work | None:
        """The next piece of work."""
        return self.core.next_work(self.now)

    def batch(self) -> Batch:
        """The next piece of work, which must be a batch."""
        work = self.work()
        assert isinstance(work, Batch)
        return work

    def texts(self, batch: Batch) -> list[str]:
        """What a batch reads."""
        return [" ".join(tokens) for tokens in batch.inputs]

    def end(self, work: Work | None, *, seconds: float | None = None, sound: bool = True) -> None:
        """End work after its predicted or a given time; poison raises."""
        assert work is not None
        if isinstance(work, Probe):
            self.core.probed(work, sound=sound, now=self.now)
        elif isinstance(work, Rebuild):
            self.core.rebuilt(work, succeeded=sound, now=self.now)
        elif isinstance(work, Errand):
            self.core.ran(work, "ran")
        else:
            spent = work.predicted_seconds if seconds is None else seconds
            self.now += spent
            if any(POISON in tokens for tokens in work.inputs):
                self.core.failed(work, EngineError("poison"), self.now)
            else:
                outputs = [generation(tokens) for tokens in work.inputs]
                self.core.completed(work, outputs, spent, self.now)

    def run(self) -> list[Work]:
        """Do all work that there is, one piece after the other; returns it."""
        done: list[Work] = []
        while (work := self.work()) is not None:
            self.end(work)
            done.append(work)
        return done

    def depth(self, priority: Priority = Priority.INTERACTIVE, model: str = "m") -> int:
        """Items that wait."""
        return self.core.statistics().lanes[model].depth[priority]

    def promised(self, priority: Priority = Priority.INTERACTIVE, model: str = "m") -> float:
        """Estimated seconds of what waits or is promised."""
        return self.core.statistics().lanes[model].estimated_seconds[priority]

    def promised_for(self, code_points: int) -> float:
        """Estimated seconds that a request of so many code points would be promised."""
        before = self.promised()
        request = self.admit(code_points, seconds=1_000)
        promised = self.promised() - before
        self.core.release(request, self.now)
        return promised


@pytest.fixture
def bench() -> Bench:
    """A core with one slot and one model, `m`."""
    return Bench()


@pytest.fixture
def make_bench() -> type[Bench]:
    """Makes a core with given models, profile and settings."""
    return Bench


@pytest.fixture
def profile() -> ModelProfile:
    """Of a model whose batches cost 0.1 s and 10 ms a padded token, at most 20 of them."""
    return PROFILE


@pytest.fixture
def make_recorder() -> type[Recorder]:
    """Makes an observer that keeps what it is told."""
    return Recorder
