"""Where every item stands; the one place in which submissions are settled."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from khulasa_server.errors import DeadlineError, Reason, ServiceError, UnavailableError
from khulasa_server.scheduling.items import Cancelled, State
from khulasa_server.scheduling.ledger import Claim, Ledger
from khulasa_server.scheduling.naming import model_of
from khulasa_server.scheduling.types import Completion, Drop

if TYPE_CHECKING:
    from collections.abc import Callable

    from khulasa_server.scheduling.cache import OutputCache
    from khulasa_server.scheduling.items import Item, Outcome, Waiter
    from khulasa_server.scheduling.lane import Lane
    from khulasa_server.scheduling.observer import Observer


class Board:
    """Lanes, promises and items in flight.

    Args:
        cache: of outputs.
        observer: told what happens.
    """

    def __init__(self, cache: OutputCache, observer: Observer) -> None:
        self.cache = cache
        self.observer = observer
        self.lanes: dict[str, Lane] = {}
        self.ledger = Ledger()
        self._flights: dict[tuple[str, bytes], Item] = {}
        self.submitted = 0
        self.settled: Counter[str] = Counter()

    @property
    def outstanding(self) -> int:
        """Submissions that are not settled."""
        return self.submitted - self.settled.total()

    def lane(self, item: Item) -> Lane:
        """The lane of an item."""
        return self.lanes[item.submission.model]

    def flying(self, model: str, key: bytes) -> Item | None:
        """The item in flight whose output is wanted under a key.

        Two models may have one digest; they still fail and fall apart from each other.
        """
        return self._flights.get((model, key))

    def enqueue(self, item: Item) -> None:
        """Let a new item wait for its turn."""
        if item.key is not None:
            self._flights[item.submission.model, item.key] = item
        self.lane(item).queues[item.priority].add(item)
        self.promise(item)

    def promise(self, item: Item) -> None:
        """Count the engine time of an item that waits."""
        seconds = item.seconds * self.lane(item).threads
        item.claim = self.ledger.place(
            Claim(item.submission.model, item.priority, item.deadline, seconds)
        )

    def redeem(self, item: Item) -> None:
        """Count its engine time no more; it runs, or never will."""
        if item.claim is not None:
            self.ledger.release(item.claim)
            item.claim = None

    def rerank(self, item: Item) -> None:
        """Bring priority and deadline of an item in line with its waiters."""
        rank = item.rank_of_waiters()
        if item.state is not State.WAITING or rank == (item.priority, item.deadline):
            return
        queued = item.entry is not None
        if queued:
            self.lane(item).queues[item.priority].remove(item)
        self.redeem(item)
        item.priority, item.deadline = rank
        if queued:
            self.lane(item).queues[item.priority].add(item)
        self.promise(item)

    def settle(self, waiter: Waiter, outcome: Outcome, kind: str) -> None:
        """Tell a waiter its outcome; the only way it is ever told."""
        if waiter.settled:
            raise RuntimeError("a submission is settled once")
        waiter.settled = True
        waiter.item = None
        waiter.request.waiters.pop(waiter, None)
        if not isinstance(outcome, Completion):
            waiter.request.whole = False
        self.settled[kind] += 1
        waiter.deliver(outcome)

    def drop(self, waiter: Waiter, reason: Drop, outcome: Outcome) -> None:
        """Settle a waiter whose item has not started, and forget the item with its last one."""
        item = waiter.item
        self.observer.dropped(waiter.submission.model, waiter.request.priority, reason)
        self.settle(waiter, outcome, reason.value)
        if item is None:
            return
        del item.waiters[waiter]
        if item.waiters:
            self.rerank(item)
        else:
            self.discard(item)

    def leave(self, waiter: Waiter) -> None:
        """Settle a waiter that does not want its answer any more."""
        item = waiter.item
        if item is None or item.state is State.WAITING:
            self.drop(waiter, Drop.CANCELLED, Cancelled.CANCELLED)
            return
        del item.waiters[waiter]
        self.settle(waiter, Cancelled.CANCELLED, Drop.CANCELLED.value)

    def drop_all(self, item: Item, reason: Drop, error: Callable[[], ServiceError]) -> None:
        """Drop every waiter of an item that has not started."""
        for waiter in list(item.waiters):
            self.drop(waiter, reason, error())

    def desert(self, item: Item, reason: Drop, error: Callable[[], ServiceError]) -> None:
        """Settle every waiter of a running item whose engine does not answer; nobody joins it."""
        self.end(item)
        for waiter in list(item.waiters):
            waiter.item = None
            self.drop(waiter, reason, error())
        item.waiters.clear()

    def discard(self, item: Item) -> None:
        """Take an item without waiters out of everything."""
        if item.entry is not None:
            self.lane(item).queues[item.priority].remove(item)
        self.redeem(item)
        self.end(item)

    def end(self, item: Item) -> None:
        """Note that no engine will work on an item any more."""
        item.state = State.ENDED
        if item.key is not None:
            del self._flights[item.submission.model, item.key]


def late() -> DeadlineError:
    """What a submission gets whose deadline passed before it started."""
    return DeadlineError(
        Reason.DEADLINE_EXCEEDED, "The deadline passed before the work could start."
    )


def hopeless() -> DeadlineError:
    """What a submission gets that would end after its deadline even if it started now."""
    return DeadlineError(
        Reason.DEADLINE_EXCEEDED, "The work would have ended after the deadline; it was not begun."
    )


def shutting_down() -> UnavailableError:
    """What everyone gets once the server ends."""
    return UnavailableError(Reason.SHUTTING_DOWN, "The server is shutting down.", retry_after=1.0)


def engine_failed(model: str, retry_after: float) -> UnavailableError:
    """What everyone gets while an engine is being rebuilt."""
    return UnavailableError(
        Reason.ENGINE_FAILED,
        f"The engine of model {model_of(model)} failed and is being rebuilt.",
        metadata={"model": model_of(model)},
        retry_after=retry_after,
    )


def engine_hangs(model: str, retry_after: float) -> UnavailableError:
    """What everyone gets whose engine does not answer."""
    return UnavailableError(
        Reason.ENGINE_FAILED,
        f"The engine of model {model_of(model)} does not answer.",
        metadata={"model": model_of(model)},
        retry_after=retry_after,
    )


def not_ready(model: str) -> UnavailableError:
    """What a request for a model gets that is not loaded."""
    return UnavailableError(
        Reason.NOT_READY,
        f"Model {model_of(model)} is not loaded.",
        metadata={"model": model_of(model)},
        retry_after=1.0,
    )
