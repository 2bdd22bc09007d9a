"""An engine whose work waits for its turn in the scheduler."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from khulasa_server.engines.base import (
        Engine,
        Generation,
        GenerationOptions,
        Timing,
        Tokens,
    )
    from khulasa_server.scheduling import Scheduler

Result = TypeVar("Result")


class Deputy:
    """Stands for an engine beside others that serve: whatever computes runs as an errand.

    So a model that is being proven takes no slot from interactive work, and never more of the
    machine than its slots. Used in any thread but the event loop's, where it would wait for
    itself.

    Args:
        scheduler: has the engine as a model.
        lane: what it calls the model.
        engine: the engine.
        loop: the scheduler's.
    """

    def __init__(
        self, scheduler: Scheduler, lane: str, engine: Engine, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._scheduler = scheduler
        self._lane = lane
        self._engine = engine
        self._loop = loop
        self.name = engine.name
        self.compute_type = engine.compute_type

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """At once: no slot is needed for it."""
        return self._engine.tokenize(texts)

    def generate(self, batch: Sequence[Tokens], options: GenerationOptions) -> list[Generation]:
        """As the engine does, in its turn."""
        return self._in_turn(lambda engine: engine.generate(batch, options))

    def score(self, batch: Sequence[Tokens], targets: Sequence[Tokens]) -> list[list[float]]:
        """As the engine does, in its turn."""
        return self._in_turn(lambda engine: engine.score(batch, targets))

    def warm_up(self, workers: int = 1) -> tuple[Timing, ...]:
        """As the engine does, in its turn."""
        return self._in_turn(lambda engine: engine.warm_up(workers))

    def close(self) -> None:
        """The engine itself."""
        self._engine.close()

    def _in_turn(self, action: Callable[[Engine], Result]) -> Result:
        waiting = self._scheduler.run_errand(self._lane, action)
        return asyncio.run_coroutine_threadsafe(waiting, self._loop).result()
