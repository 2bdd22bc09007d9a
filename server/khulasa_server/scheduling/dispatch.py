"""The engines' side of the scheduler: the next piece of work, and what became of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from khulasa_server.scheduling.arbiter import Arbiter, Turn
from khulasa_server.scheduling.board import hopeless
from khulasa_server.scheduling.errands import Errands
from khulasa_server.scheduling.formation import Bounds, shape_of, take_batch
from khulasa_server.scheduling.items import State
from khulasa_server.scheduling.lane import Health
from khulasa_server.scheduling.lone import KNOWN_AFTER, LONG_SECONDS
from khulasa_server.scheduling.observer import BatchReport
from khulasa_server.scheduling.recovery import Recovery
from khulasa_server.scheduling.stalls import Stalls
from khulasa_server.scheduling.types import Completion, Drop, Priority
from khulasa_server.scheduling.work import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from khulasa_server.engines.base import Generation
    from khulasa_server.scheduling.board import Board
    from khulasa_server.scheduling.items import Item, Waiter
    from khulasa_server.scheduling.lane import Lane
    from khulasa_server.scheduling.types import SchedulerSettings
    from khulasa_server.scheduling.work import Errand, Probe, Rebuild, Work

TRUSTED_AFTER = 16
"""Batches after which a prediction is good enough to give up on an item because of it."""


class Dispatcher:
    """Grants slots and takes back what ran in them.

    Args:
        board: where items stand.
        settings: of the scheduler.
        on_health: told a model's name and whether it serves, whenever that changes.
    """

    def __init__(
        self, board: Board, settings: SchedulerSettings, on_health: Callable[[str, bool], None]
    ) -> None:
        self._board = board
        self._settings = settings
        self.recovery = Recovery(board, on_health)
        self._stalls = Stalls(board, self.recovery, settings)
        self.errands = Errands(board)
        self._arbiter = Arbiter(settings.slots, settings.bulk_share, settings.bulk_batch_seconds)
        self._batches: dict[Batch, None] = {}
        self._completed = 0
        self._lessons: list[Callable[[], None]] = []
        self._wanting = 0

    @property
    def running(self) -> int:
        """Slots that are taken."""
        return self._arbiter.running

    def hold(self, slots: int) -> bool:
        """Take slots for work that is no item; False: so many are not free."""
        if slots > self._arbiter.free:
            return False
        self._arbiter.take(slots)
        return True

    def want(self, more: int) -> None:
        """Start nothing while somebody waits to hold slots; `more` is 1, and -1 afterwards."""
        self._wanting += more

    def let_go(self, slots: int) -> None:
        """Give held slots back."""
        self._arbiter.give_back(slots)

    def running_seconds(self, now: float) -> float:
        """Seconds that the running batches still need, for each thread of theirs."""
        return sum(
            batch.slots * max(0.0, batch.started_at + batch.predicted_seconds - now)
            for batch in self._batches
        )

    def next_stall(self) -> float | None:
        """When the next running call will count as hung."""
        return self._stalls.next_event(self._batches)

    def notice_stalls(self, now: float) -> None:
        """Give up on engine calls that have run for too long."""
        self._stalls.notice(self._batches, now)

    def next_work(self, now: float) -> Work | None:
        """Take a slot for the most urgent work; None: no slot is free, or nothing waits."""
        if self._wanting or not self._arbiter.free:
            return None
        care = self.recovery.next_care(now)
        if care is None:
            return self._next_turn(now)
        if not self.hold(care.slots):
            return None
        self.recovery.begin(care, now)
        return care

    def _next_turn(self, now: float) -> Batch | Errand | None:
        self._drop_hopeless(now)
        turns = self._turns()
        turn = self._arbiter.choose(turns)
        if turn is None:
            return None
        lane = self._board.lanes[turn.model]
        if lane.threads > self._arbiter.free:
            return None  # its turn has come: nothing else starts before there is room for it
        if turn == self.errands.turn(lane):
            return self._start_errand(lane, turn, turns)
        lone = self._alone(lane)
        items = self._take(lane, turn, len({other.model for other in turns}), now)
        batch = self._start(lane, items, now, lone=lone)
        self._arbiter.charge(turn, batch.predicted_seconds, turns)
        return batch

    def _start_errand(self, lane: Lane, turn: Turn, turns: Sequence[Turn]) -> Errand:
        errand = self.errands.take(lane)
        self._arbiter.take(errand.slots)
        self._arbiter.charge(turn, self._settings.bulk_batch_seconds, turns)
        return errand

    def _turns(self) -> list[Turn]:
        turns: list[Turn] = []
        for lane in self._board.lanes.values():
            if lane.health is not Health.UP:
                continue
            lane.purge_suspects()
            heads = [queue.head() for queue in lane.queues.values()]
            heads.extend(lane.suspects[0][:1] if lane.suspects else ())
            turns.extend(Turn(lane.name, head.priority, head.deadline) for head in heads if head)
            if (turn := self.errands.turn(lane)) is not None:
                turns.append(turn)
        return turns

    def _drop_hopeless(self, now: float) -> None:
        """Drop heads of queues that would end after their deadline even alone."""
        for lane in self._board.lanes.values():
            if lane.health is not Health.UP or lane.estimator.cost.observations < TRUSTED_AFTER:
                continue
            for queue in lane.queues.values():
                while (head := queue.head()) is not None:
                    if now + lane.estimator.cost.predict(shape_of([head])) <= head.deadline:
                        break
                    self._drop_soonest(head)

    def _drop_soonest(self, item: Item) -> None:
        deadline = item.deadline
        for waiter in list(item.waiters):
            if waiter.request.deadline <= deadline:
                self._board.drop(waiter, Drop.HOPELESS, hopeless())

    def _take(self, lane: Lane, turn: Turn, models: int, now: float) -> list[Item]:
        if lane.suspects and lane.suspects[0][0].priority is turn.priority:
            return lane.suspects.popleft()
        queue = lane.queues[turn.priority]
        first = queue.head()
        if first is None:
            return lane.suspects.popleft()
        return take_batch(queue, first, lane.estimator.cost, self._bounds(lane, turn, models, now))

    def _bounds(self, lane: Lane, turn: Turn, models: int, now: float) -> Bounds:
        """A batch takes no more than its share of what waits, so that no slot stays idle."""
        slots = self._arbiter.free // lane.threads - (models - 1)
        tokens = lane.profile.batch_tokens
        if slots > 1:
            tokens = min(tokens, -(-lane.queues[turn.priority].tokens // slots))
        bulk = turn.priority is Priority.BULK
        return Bounds(
            tokens=tokens,
            rows=lane.profile.batch_rows,
            seconds=self._settings.bulk_batch_seconds if bulk else self._settings.batch_seconds,
            now=now,
        )

    def _alone(self, lane: Lane) -> bool:
        """Whether the next item of a lane is long, and the only one that waits or runs at all."""
        if lane.lone is None or self.running or lane.estimator.cost.observations < KNOWN_AFTER:
            return False
        waiting = [item for other in self._board.lanes.values() for item in other.waiting()]
        return len(waiting) == 1 and (
            lane.estimator.cost.predict(shape_of(waiting)) >= LONG_SECONDS
        )

    def _start(self, lane: Lane, items: list[Item], now: float, *, lone: bool) -> Batch:
        for item in items:
            item.state = State.RUNNING
            self._board.redeem(item)
            for waiter in item.waiters:
                self._begin(waiter, now)
        shape = shape_of(items)
        crowded = len(lane.queues[items[0].priority]) > 0
        seconds, slots = lane.estimator.cost.predict(shape), lane.threads
        if lone and lane.lone is not None:
            seconds, slots = seconds / lane.lone.gain, lane.lone.threads
        batch = Batch(lane.name, tuple(items), shape, seconds, now, crowded, slots, lone)
        self._arbiter.take(slots)
        self._batches[batch] = None
        lane.running += 1
        return batch

    def _begin(self, waiter: Waiter, now: float) -> None:
        """Note when a waiter's item started for the first time."""
        if waiter.started_at is None:
            waiter.started_at = now
            wait = now - waiter.submitted_at
            model, priority = waiter.submission.model, waiter.request.priority
            self._board.observer.waited(model, priority, wait)

    def completed(
        self, batch: Batch, generations: Sequence[Generation], seconds: float, now: float
    ) -> None:
        """Take the outputs of a batch, which ran for `seconds` and ended at `now`."""
        if self._stalls.ended(batch):
            self._free(batch)
            return
        if len(generations) != len(batch.items):
            self.failed(batch, RuntimeError("the engine lost outputs"), now)
            return
        lane = self._free(batch)
        self._completed += 1
        self._tell(batch, generations, seconds)
        for item, generation in zip(batch.items, generations, strict=True):
            self._finish(item, generation, seconds, now)
        self._lessons.append(partial(self._learn, lane, batch, generations, seconds, now))
        if batch.lone:
            self.learn()  # whether its engine pays is asked at once

    def learn(self) -> None:
        """Learn from the batches that have ended; their callers were told first."""
        lessons, self._lessons = self._lessons, []
        for lesson in lessons:
            lesson()

    def _tell(self, batch: Batch, generations: Sequence[Generation], seconds: float) -> None:
        """Before any caller has its answer: who has it finds it in the metrics."""
        self._board.observer.batch(
            BatchReport(
                model=batch.model,
                items=len(batch.items),
                input_tokens=sum(item.length for item in batch.items),
                padded_tokens=batch.shape.padded,
                output_tokens=sum(generation.output_tokens for generation in generations),
                seconds=seconds,
                predicted_seconds=batch.predicted_seconds,
            )
        )

    def _learn(
        self,
        lane: Lane,
        batch: Batch,
        generations: Sequence[Generation],
        seconds: float,
        now: float,
    ) -> None:
        if batch.lone:
            self._learn_lone(lane, batch, seconds)
        else:
            lane.estimator.cost.observe(batch.shape, seconds, now)
        if batch.crowded and not batch.items[0].submission.deterministic:
            lane.estimator.observe_price(seconds, (shape_of([item]) for item in batch.items))
        for item, generation in zip(batch.items, generations, strict=True):
            lane.estimator.observe_output(item.length, generation.output_tokens)

    @staticmethod
    def _learn_lone(lane: Lane, batch: Batch, seconds: float) -> None:
        if lane.lone is not None:
            lane.lone.observe(lane.estimator.cost.predict(batch.shape), seconds)
            if not lane.lone.pays:
                lane.lone = None

    def _finish(self, item: Item, generation: Generation, seconds: float, now: float) -> None:
        self._board.end(item)
        if item.key is not None:
            self._board.cache.put(item.key, generation)
        for waiter in list(item.waiters):
            waiter.request.ended_at = now
            started = waiter.submitted_at if waiter.started_at is None else waiter.started_at
            wait = started - waiter.submitted_at
            completion = Completion(
                generation, wait, seconds, cached=waiter.joined, batch=self._completed
            )
            self._board.settle(waiter, completion, "completed")

    def failed(self, batch: Batch, error: Exception, now: float) -> None:
        """Take back a batch whose engine call raised."""
        lane = self._free(batch)
        if self._stalls.ended(batch):
            return
        if batch.lone:
            lane.lone = None  # the usual engine decides whose fault it was
            self.recovery.repeat(lane, batch.items, now)
        else:
            self.recovery.accuse(lane, batch.items, error, now)

    def probed(self, probe: Probe, *, sound: bool, now: float) -> None:
        """Take back the slot of a golden input, with its verdict."""
        self._arbiter.give_back(probe.slots)
        self.recovery.probed(probe, sound=sound, now=now)

    def rebuilt(self, rebuild: Rebuild, *, succeeded: bool, now: float) -> None:
        """Take back the slot of a rebuild, with its success."""
        self._arbiter.give_back(rebuild.slots)
        self.recovery.rebuilt(rebuild, succeeded=succeeded, now=now)

    def ran(self, errand: Errand, outcome: object) -> None:
        """Take back the slots of an errand, with what it returned or raised."""
        self._arbiter.give_back(errand.slots)
        self.errands.ended(errand)
        errand.deliver(outcome)

    def _free(self, batch: Batch) -> Lane:
        del self._batches[batch]
        self._arbiter.give_back(batch.slots)
        lane = self._board.lanes[batch.model]
        lane.running -= 1
        return lane
