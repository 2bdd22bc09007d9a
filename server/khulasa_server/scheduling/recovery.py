"""What happens after a batch raised: whose fault was it, and how does its engine come back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from khulasa_server.errors import InternalError, Reason
from khulasa_server.scheduling.board import engine_failed, engine_hangs, late
from khulasa_server.scheduling.items import State
from khulasa_server.scheduling.lane import Health
from khulasa_server.scheduling.types import Drop
from khulasa_server.scheduling.work import Probe, Rebuild

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from khulasa_server.scheduling.board import Board
    from khulasa_server.scheduling.items import Item
    from khulasa_server.scheduling.lane import Lane


class Recovery:
    """Finds the guilty item of a failed batch, or has the engine rebuilt.

    A golden input decides. If it fails too, everyone who waits for the engine is told at once and
    it is rebuilt with backoff. If it runs, the batch is halved, and each half that raises again,
    until the guilty item is alone: only its callers see an error.

    Args:
        board: where items stand.
        on_health: told a model's name and whether it serves, whenever that changes.
    """

    def __init__(self, board: Board, on_health: Callable[[str, bool], None]) -> None:
        self._board = board
        self._on_health = on_health

    def next_rebuild(self) -> float | None:
        """When the next failed engine may be rebuilt."""
        due = [
            lane.rebuild_at
            for lane in self._board.lanes.values()
            if lane.health is Health.DOWN and not (lane.caring or lane.running or lane.leaving)
        ]
        return min(due, default=None)

    def next_care(self, now: float) -> Probe | Rebuild | None:
        """Work that finds out about an engine, or repairs it, and has yet to begin."""
        for lane in self._board.lanes.values():
            if lane.caring or lane.leaving:
                continue
            if lane.health is Health.SUSPECT:
                return Probe(lane.name, lane.threads)
            if lane.health is Health.DOWN and not lane.running and lane.rebuild_at <= now:
                return Rebuild(lane.name, lane.threads)
        return None

    def begin(self, care: Probe | Rebuild, now: float) -> None:
        """Note that it runs."""
        lane = self._board.lanes[care.model]
        lane.caring, lane.caring_since = True, now

    def accuse(self, lane: Lane, items: Iterable[Item], error: Exception, now: float) -> None:
        """Set a failed batch aside until the golden input has run."""
        accused = [item for item in items if self._wait_again(item, now)]
        if lane.health is Health.DOWN:
            self._give_up(lane, accused)
            return
        lane.accused.append((accused, error))
        lane.health = Health.SUSPECT

    def repeat(self, lane: Lane, items: Iterable[Item], now: float) -> None:
        """Run a batch once more as it is, before anything else of its model."""
        waiting = [item for item in items if self._wait_again(item, now)]
        if lane.health is Health.DOWN:
            self._give_up(lane, waiting)
        elif waiting:
            lane.suspects.append(waiting)

    def _wait_again(self, item: Item, now: float) -> bool:
        """Put an item back among those that wait; False: nobody waits for it any more."""
        item.state = State.WAITING
        self._board.promise(item)
        for waiter in list(item.waiters):
            if waiter.request.deadline <= now:
                self._board.drop(waiter, Drop.EXPIRED, late())
        if not item.waiters and item.state is State.WAITING:
            self._board.discard(item)
        return item.state is State.WAITING

    def probed(self, probe: Probe, *, sound: bool, now: float) -> None:
        """Take the verdict of a golden input."""
        lane = self._board.lanes[probe.model]
        lane.caring = False
        if lane.leaving or lane.health is Health.DOWN:
            return
        if not sound:
            self._fall(lane, now)
            return
        lane.health = Health.UP
        accused, lane.accused = lane.accused, []
        for items, error in accused:
            self._halve(lane, [item for item in items if item.state is State.WAITING], error)

    def _halve(self, lane: Lane, items: list[Item], error: Exception) -> None:
        if len(items) == 1:
            self._convict(items[0], error)
            return
        middle = len(items) // 2
        lane.suspects.extend(part for part in (items[:middle], items[middle:]) if part)

    def _convict(self, item: Item, error: Exception) -> None:
        self._board.redeem(item)
        self._board.end(item)
        for waiter in list(item.waiters):
            # What the engine says may quote the input; the log tells the kind and the place.
            failure = InternalError(Reason.INTERNAL, "the engine failed on one input")
            failure.__cause__ = error
            self._board.settle(waiter, failure, "poisoned")

    def hang(self, lane: Lane, items: Iterable[Item], now: float) -> None:
        """Give up on a batch, or a golden input, that does not end, and on its engine.

        Nothing can end it; its slot stays taken. The engine is rebuilt once it has ended.
        """
        for item in items:
            self._board.desert(
                item, Drop.ENGINE_FAILED, lambda: engine_hangs(lane.name, lane.backoff)
            )
        if lane.health is not Health.DOWN:
            self._fall(lane, now)

    def _fall(self, lane: Lane, now: float) -> None:
        lane.fall(now)
        self._give_up(lane, lane.waiting())
        lane.accused.clear()
        lane.suspects.clear()
        self._on_health(lane.name, False)  # noqa: FBT003 - the callback has two parameters

    def _give_up(self, lane: Lane, items: Iterable[Item]) -> None:
        for item in list(items):
            self._board.drop_all(
                item, Drop.ENGINE_FAILED, lambda: engine_failed(lane.name, lane.backoff)
            )

    def rebuilt(self, rebuild: Rebuild, *, succeeded: bool, now: float) -> None:
        """Take note whether an engine works again."""
        lane = self._board.lanes[rebuild.model]
        lane.caring = False
        if lane.leaving:
            return
        self._board.observer.rebuilt(lane.name, succeeded=succeeded)
        if succeeded:
            lane.rise()
            self._on_health(lane.name, True)  # noqa: FBT003 - the callback has two parameters
        else:
            lane.fall(now)

    def abandon(self, model: str) -> bool:
        """Stop serving a model; False: something of it still runs, ask again later."""
        lane = self._board.lanes[model]
        if not lane.leaving:
            lane.leaving, lane.health = True, Health.DOWN
            self._give_up(lane, lane.waiting())
        if lane.running or lane.caring:
            return False
        del self._board.lanes[model]
        return True
