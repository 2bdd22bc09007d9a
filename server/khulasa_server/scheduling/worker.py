"""What happens in a worker thread."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from khulasa_server.engines.base import EngineError
from khulasa_server.scheduling.work import Batch, Errand, Probe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from khulasa_server.engines.base import Engine, Generation
    from khulasa_server.scheduling.work import Work


@dataclass(slots=True)
class LoadedModel:
    """An engine and the means to judge and replace it.

    Args:
        engine: the one in use.
        probe: runs a golden input on it; raises if it fails.
        rebuild: loads another one; None: there is no way to.
        lone: with more threads, for a long item that has the machine to itself.
    """

    engine: Engine
    probe: Callable[[Engine], None]
    rebuild: Callable[[], Engine] | None
    lone: Engine | None = None


@dataclass(frozen=True, slots=True)
class Ran:
    """What a worker thread brings back.

    Args:
        seconds: how long it took.
        generations: of a batch that ended well.
        engine: that was loaded.
        result: of an errand.
        error: what was raised instead.
    """

    seconds: float
    generations: Sequence[Generation] = ()
    engine: Engine | None = None
    result: object = None
    error: Exception | None = None


def run(work: Work, model: LoadedModel, clock: Callable[[], float]) -> Ran:
    """Do a piece of work; an engine's exception is part of the answer and never leaves."""
    started = clock()
    try:
        if isinstance(work, Batch):
            engine = model.lone if work.lone and model.lone else model.engine
            generations = engine.generate(work.inputs, work.options)
            return Ran(clock() - started, generations=generations)
        if isinstance(work, Errand):
            result = work.action(model.engine)
            return Ran(clock() - started, result=result)
        sound = _probe(model) if isinstance(work, Probe) else _rebuild(model)
        return Ran(clock() - started, engine=sound)
    except Exception as error:  # noqa: BLE001 - whatever an engine raises, its callers are told
        return Ran(clock() - started, error=error)


def _probe(model: LoadedModel) -> Engine:
    model.probe(model.engine)
    return model.engine


def _rebuild(model: LoadedModel) -> Engine:
    """A new engine that has passed the probe; the old one is closed first, to free its memory."""
    if model.rebuild is None:
        raise EngineError("this engine cannot be rebuilt")
    with suppress(EngineError):
        model.engine.close()
    engine = model.rebuild()
    try:
        model.probe(engine)
    except BaseException:
        engine.close()
        raise
    return engine
