"""The units that the scheduler moves: requests, waiters and items."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from khulasa_server.errors import ServiceError
from khulasa_server.scheduling.types import Completion, Priority, Submission

if TYPE_CHECKING:
    from collections.abc import Callable

    from khulasa_server.engines.base import GenerationOptions
    from khulasa_server.scheduling.heap import Entry
    from khulasa_server.scheduling.ledger import Claim


class Cancelled(Enum):
    """What a withdrawn submission ends with."""

    CANCELLED = "cancelled"


Outcome = Completion | ServiceError | Cancelled


class State(Enum):
    """Where an item is."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(slots=True, eq=False)
class Request:
    """An admitted request.

    Args:
        priority: of all its segments.
        deadline: on the scheduler's clock.
        code_points: text given to each model, for learning how many tokens that makes.
        reserved: engine time promised and not yet drawn, by model.
        waiters: submissions that are not settled.
        tokens: submitted so far, by model.
        expiry: its place among the deadlines.
        expired: the deadline passed.
        ended: it was released.
        whole: everything it submitted was computed, so its token counts can be learned from.
        admitted_at: on the scheduler's clock.
        delay: seconds that the work before and around it was expected to take.
        beyond: seconds that it needs for itself beyond those.
        ended_at: when the last of what has ended did.
    """

    priority: Priority
    deadline: float
    code_points: dict[str, int]
    reserved: dict[str, Claim] = field(default_factory=dict)
    waiters: dict[Waiter, None] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    expiry: Entry[Request] | None = None
    expired: bool = False
    ended: bool = False
    whole: bool = True
    admitted_at: float = 0.0
    delay: float = 0.0
    beyond: float = 0.0
    ended_at: float | None = None


@dataclass(slots=True, eq=False)
class Waiter:
    """One submission's interest in an item.

    Args:
        request: whose segment it is.
        submission: what was asked.
        submitted_at: on the scheduler's clock.
        deliver: told the outcome, exactly once.
        item: what it waits for; None when it was settled without one.
        joined: the item was there already.
        started_at: when its item's batch started first, or when it joined one that was running.
    """

    request: Request
    submission: Submission
    submitted_at: float
    deliver: Callable[[Outcome], None]
    item: Item | None = None
    joined: bool = False
    started_at: float | None = None
    settled: bool = False


@dataclass(slots=True, eq=False)
class Item:
    """One input for an engine, wanted by one waiter or by several.

    Args:
        submission: what the first waiter asked.
        expected_output: tokens, by the learned ratio.
        seconds: of engine time it is expected to add, whatever the number of threads.
        key: of the cache; None: not shared.
        priority: the best among the waiters.
        deadline: the earliest among the waiters.
        waiters: those interested, in the order they came.
        state: where it is.
        entry: its place in a queue, while it has one.
        claim: its place in the ledger, while it waits.
        cautious_output: tokens that few like it exceed; 0: as expected.
    """

    submission: Submission
    expected_output: int
    seconds: float
    key: bytes | None
    priority: Priority
    deadline: float
    waiters: dict[Waiter, None] = field(default_factory=dict)
    state: State = State.WAITING
    entry: Entry[Item] | None = None
    claim: Claim | None = None
    cautious_output: int = 0

    @property
    def length(self) -> int:
        """Input tokens."""
        return len(self.submission.tokens)

    @property
    def options(self) -> GenerationOptions:
        """Options of its engine call."""
        return self.submission.options

    def rank_of_waiters(self) -> tuple[Priority, float]:
        """Best priority and earliest deadline among the waiters, of which there is one at least."""
        return (
            min(waiter.request.priority for waiter in self.waiters),
            min(waiter.request.deadline for waiter in self.waiters),
        )
