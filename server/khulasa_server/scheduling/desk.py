"""The caller's side of the scheduler: admission, submission, cancellation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from khulasa_server.errors import ServiceError, UnavailableError
from khulasa_server.scheduling.admission import Admission, Need
from khulasa_server.scheduling.board import engine_failed, late, not_ready, shutting_down
from khulasa_server.scheduling.cache import cache_key
from khulasa_server.scheduling.heap import Heap
from khulasa_server.scheduling.items import Item, Request, State, Waiter
from khulasa_server.scheduling.lane import Health
from khulasa_server.scheduling.ledger import Claim
from khulasa_server.scheduling.types import CacheMode, CacheResult, Completion, Drop

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from khulasa_server.scheduling.board import Board
    from khulasa_server.scheduling.items import Outcome
    from khulasa_server.scheduling.lane import Lane
    from khulasa_server.scheduling.types import (
        Priority,
        SchedulerSettings,
        Stage,
        Submission,
    )

NEARLY = 0.05
"""Seconds from an engine's last output to its caller: one whose deadline passes may hang up so long
before we see it pass."""


class Desk:
    """Admits requests and takes their segments.

    Args:
        board: where items stand.
        settings: of the scheduler.
        rng: spreads the times at which the refused come back.
    """

    def __init__(self, board: Board, settings: SchedulerSettings, rng: random.Random) -> None:
        self._board = board
        self._admission = Admission(board.ledger, settings, rng)
        self._deadlines: Heap[Request] = Heap()
        self.requests: dict[Request, None] = {}
        self.draining = False
        self.closed = False

    def admit(
        self,
        stages: Sequence[Stage],
        priority: Priority,
        deadline: float,
        now: float,
        running: float,
    ) -> Request:
        """Admit a request whole, or raise why not."""
        if self.draining:
            raise shutting_down()
        for stage in stages:
            self._require(stage.model).estimator.cost.fade(now)
        need = self._need(stages)
        outlook = self._admission.check(need, priority, deadline, now, running)
        request = self._open(stages, need, priority, deadline)
        request.admitted_at = now
        request.delay, request.beyond = outlook.delay, outlook.beyond
        return request

    def _require(self, model: str) -> Lane:
        lane = self._board.lanes.get(model)
        if lane is None or lane.leaving:
            raise not_ready(model)
        if lane.health is Health.DOWN:
            raise engine_failed(model, lane.backoff)
        return lane

    def _need(self, stages: Sequence[Stage]) -> Need:
        seconds: dict[str, float] = {}
        alone = 0.0
        for stage in stages:
            lane = self._board.lanes[stage.model]
            cost = lane.estimator.stage(stage)
            seconds[stage.model] = seconds.get(stage.model, 0.0) + cost.seconds * lane.threads
            alone += cost.alone
        return Need(seconds, alone)

    def _open(
        self, stages: Sequence[Stage], need: Need, priority: Priority, deadline: float
    ) -> Request:
        request = Request(priority, deadline, code_points={})
        for stage in stages:
            known = request.code_points.get(stage.model, 0)
            request.code_points[stage.model] = known + stage.code_points
        for model, seconds in need.seconds.items():
            self._reserve(request, model, seconds)
        request.expiry = self._deadlines.push((deadline,), request)
        self.requests[request] = None
        return request

    def _reserve(self, request: Request, model: str, seconds: float) -> None:
        if seconds > 0:
            claim = Claim(model, request.priority, request.deadline, seconds)
            request.reserved[model] = self._board.ledger.place(claim)

    def _draw(self, request: Request, model: str, seconds: float) -> None:
        """Take the time of a submission out of what its request was promised."""
        claim = request.reserved.pop(model, None)
        if claim is not None:
            self._board.ledger.release(claim)
            self._reserve(request, model, claim.seconds - seconds)

    def submit(
        self,
        request: Request,
        submission: Submission,
        deliver: Callable[[Outcome], None],
        now: float,
    ) -> Waiter:
        """Take a segment of an admitted request; `deliver` may be called before this returns."""
        waiter = Waiter(request, submission, now, deliver)
        self._board.submitted += 1
        request.waiters[waiter] = None
        refusal = self._refusal(request, submission, now)
        if refusal is None:
            self._place(waiter, self._board.lanes[submission.model], now)
        else:
            self._board.drop(waiter, *refusal)
        return waiter

    def _refusal(
        self, request: Request, submission: Submission, now: float
    ) -> tuple[Drop, ServiceError] | None:
        if request.ended:
            raise RuntimeError("the request has ended")
        if self.closed:
            return Drop.SHUTTING_DOWN, shutting_down()
        if now >= request.deadline:
            return Drop.EXPIRED, late()
        try:
            self._require(submission.model)
        except UnavailableError as error:
            return Drop.ENGINE_FAILED, error
        return None

    def _place(self, waiter: Waiter, lane: Lane, now: float) -> None:
        submission, request = waiter.submission, waiter.request
        tokens, options = len(submission.tokens), submission.options
        output = lane.estimator.expected_output(tokens, options.max_output_tokens)
        price = (
            lane.estimator.alone_seconds
            if submission.deterministic
            else lane.estimator.item_seconds
        )
        seconds = price(tokens, output, options.beam_size)
        request.tokens[lane.name] = request.tokens.get(lane.name, 0) + tokens
        lane.estimator.observe_items(1, tokens)
        self._draw(request, lane.name, seconds * lane.threads)
        key = self._key(lane, submission)
        if not self._found(waiter, key, now):
            item = Item(
                submission,
                output,
                seconds,
                key,
                request.priority,
                request.deadline,
                {waiter: None},
                cautious_output=lane.estimator.cautious_output(tokens, options.max_output_tokens),
            )
            waiter.item = item
            self._board.enqueue(item)

    def _key(self, lane: Lane, submission: Submission) -> bytes | None:
        if submission.cache_mode is CacheMode.BYPASS or not self._board.cache.enabled:
            self._board.observer.cache(lane.name, CacheResult.BYPASSED)
            return None
        return cache_key(lane.profile, submission)

    def _found(self, waiter: Waiter, key: bytes | None, now: float) -> bool:
        """Whether an equal segment was, or is being, computed."""
        if key is None:
            return False
        model = waiter.submission.model
        generation = self._board.cache.get(key)
        if generation is not None:
            self._board.observer.cache(model, CacheResult.HIT)
            self._board.settle(waiter, Completion(generation, 0.0, 0.0, cached=True), "completed")
            return True
        item = self._board.flying(model, key)
        self._board.observer.cache(model, CacheResult.JOINED if item else CacheResult.MISS)
        if item is not None:
            self._join(waiter, item, now)
        return item is not None

    def _join(self, waiter: Waiter, item: Item, now: float) -> None:
        waiter.item, waiter.joined = item, True
        item.waiters[waiter] = None
        if item.state is State.RUNNING:
            waiter.started_at = now
        else:
            self._board.rerank(item)

    def release(self, request: Request, now: float) -> None:
        """End a request: what has not started never will, and its place is free."""
        if request.ended:
            return
        request.ended = True
        self._learn(request)
        self._learn_delay(request, now)
        for waiter in list(request.waiters):
            self._board.leave(waiter)
        self._forget(request)

    def _learn(self, request: Request) -> None:
        if request.waiters or request.expired or not request.whole:
            return
        for model, tokens in request.tokens.items():
            if model in self._board.lanes and request.code_points.get(model):
                estimator = self._board.lanes[model].estimator
                estimator.observe_request(request.code_points[model], tokens)

    def _learn_delay(self, request: Request, now: float) -> None:
        """Learn how long a request took; one that was not done by its deadline took longer still.

        One that was left earlier than that says nothing.
        """
        late = request.expired or now >= request.deadline - NEARLY
        end = max(now, request.deadline) if late else request.ended_at
        if end is not None and (late or not request.waiters):
            taken = end + NEARLY - request.admitted_at
            given = request.deadline - request.admitted_at
            self._admission.observe_delay(request.delay, taken - request.beyond, given)

    def _forget(self, request: Request) -> None:
        for claim in request.reserved.values():
            self._board.ledger.release(claim)
        request.reserved.clear()
        if request.expiry is not None:
            self._deadlines.discard(request.expiry)
        self.requests.pop(request, None)

    def next_deadline(self) -> float | None:
        """When the next request expires."""
        entry = self._deadlines.peek()
        return None if entry is None else entry.rank[0]

    def expire(self, now: float) -> None:
        """Drop what waits for requests whose deadline is here."""
        while (entry := self._deadlines.peek()) is not None and entry.rank[0] <= now:
            request = entry.value
            self._deadlines.discard(entry)
            if request is not None:
                self._expire(request)

    def _expire(self, request: Request) -> None:
        request.expired = True
        for claim in request.reserved.values():
            self._board.ledger.release(claim)
        request.reserved.clear()
        for waiter in list(request.waiters):
            if waiter.item is not None and waiter.item.state is State.WAITING:
                self._board.drop(waiter, Drop.EXPIRED, late())
