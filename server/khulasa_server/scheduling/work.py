"""What a slot is taken for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from khulasa_server.engines.base import Engine, GenerationOptions, Tokens
    from khulasa_server.scheduling.cost import Shape
    from khulasa_server.scheduling.items import Item


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Run the engine on these items.

    Args:
        model: name of the model.
        items: one or more, with equal options.
        shape: of the batch.
        predicted_seconds: of its run time.
        started_at: on the scheduler's clock.
        crowded: others of its priority were left waiting.
        slots: it takes.
        lone: it has the machine to itself, and runs on the engine made for that.
    """

    model: str
    items: tuple[Item, ...]
    shape: Shape
    predicted_seconds: float
    started_at: float
    crowded: bool
    slots: int = 1
    lone: bool = False

    @property
    def inputs(self) -> list[Tokens]:
        """What the engine reads."""
        return [item.submission.tokens for item in self.items]

    @property
    def options(self) -> GenerationOptions:
        """Options of the engine call."""
        return self.items[0].options


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """Run a golden input, to learn whose fault a failure was."""

    model: str
    slots: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Rebuild:
    """Load a failed engine anew and run a golden input on it."""

    model: str
    slots: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Errand:
    """Run something else on the engine, when bulk work has its turn.

    Args:
        model: name of the model.
        action: given the engine, in a worker thread; shorter than a batch, since it is not cut.
        deliver: told what it returned or raised, exactly once, unless it was forgotten before.
        deadline: among bulk work the earlier runs first; nothing happens when it passes.
        slots: it takes.
    """

    model: str
    action: Callable[[Engine], object]
    deliver: Callable[[object], None]
    deadline: float
    slots: int = 1


Work = Batch | Probe | Rebuild | Errand
