"""Names of lanes: while a model is being replaced there are two of it."""

from __future__ import annotations

from typing import Final

NUMBER_MARK: Final = "#"
"""No name of a model holds it."""


def model_of(lane: str) -> str:
    """The model's own name, for people and metrics."""
    return lane.partition(NUMBER_MARK)[0]


def successor_of(lane: str) -> str:
    """The name of the lane that takes over: `demo`, `demo#2`, `demo#3`."""
    model, _, number = lane.partition(NUMBER_MARK)
    return f"{model}{NUMBER_MARK}{int(number or 1) + 1}"
