"""The values that cross the scheduler's border."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from khulasa_server.engines.base import Generation


class Priority(IntEnum):
    """Lower runs first."""

    INTERACTIVE = 0
    BULK = 1


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a request's work, as known before tokenization.

    Args:
        model: name of the model that does it.
        code_points: of text it reads.
        beam_size: of its generation.
    """

    model: str
    code_points: int
    beam_size: int


@dataclass(frozen=True, slots=True)
class Completion:
    """What a submitted item resolves to.

    Args:
        generation: the engine's output.
        queue_seconds: from submission to the start of its batch.
        inference_seconds: the batch's run time.
        cached: True: no engine ran for it.
    """

    generation: Generation
    queue_seconds: float
    inference_seconds: float
    cached: bool = False
