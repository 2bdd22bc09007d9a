"""Dividing a stretch into parts of about equal size at the best of given borders."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_REACH: Final = 0.4
"""How far a cut may be from the ideal place, as a share of an ideal part."""


@dataclass(frozen=True, slots=True)
class Border:
    """A place where a stretch may be cut.

    Args:
        position: size of everything before it; in the unit of the capacity.
        penalty: how bad a cut here is; comparable with the distance from the ideal place, as
            a share of an ideal part.
    """

    position: float
    penalty: float


def choose(borders: Sequence[Border], total: float, capacity: float, fill: float) -> list[int]:
    """Borders at which to cut a stretch of size `total` into parts of at most `capacity`.

    Greedy from the left and linear. A part is larger than `capacity` only where no border is
    inside it.

    Args:
        borders: ascending, with `0 < position < total`.
        total: size of the stretch.
        capacity: largest part wanted; above 0.
        fill: share of `capacity` that parts are planned for, in (0, 1]: less than 1 leaves
            room to move a cut to a better border.

    Returns:
        Ascending indices into `borders`.
    """
    positions = [border.position for border in borders]
    chosen: list[int] = []
    start = 0.0
    first = 0
    while total - start > capacity and first < len(borders):
        index = _next(
            borders, positions, first, start, rest=total - start, capacity=capacity, fill=fill
        )
        chosen.append(index)
        first, start = index + 1, positions[index]
    return chosen


def _next(
    borders: Sequence[Border],
    positions: Sequence[float],
    first: int,
    start: float,
    *,
    rest: float,
    capacity: float,
    fill: float,
) -> int:
    """The border from `first` on that best ends the part beginning at `start`."""
    parts = max(2, ceil(rest / (capacity * fill)))
    ideal = rest / parts
    # Nearer than `low`, and what remains would need one part more.
    low = max(ideal * (1 - _REACH), min(ideal, rest - (parts - 1) * capacity))
    high = min(ideal * (1 + _REACH), capacity)
    window = range(
        bisect_left(positions, start + low, lo=first),
        bisect_right(positions, start + high, lo=first),
    )
    if not window:
        window = _nearest(positions, first, start + ideal, start + capacity)
    return min(window, key=lambda i: borders[i].penalty + abs(positions[i] - start - ideal) / ideal)


def _nearest(positions: Sequence[float], first: int, ideal: float, most: float) -> range:
    """The borders just before and just after `ideal`; the one after only up to `most`."""
    after = bisect_left(positions, ideal, lo=first)
    begin = max(first, after - 1)
    fits = after < len(positions) and positions[after] <= most
    end = after + 1 if fits or begin == after else after
    return range(begin, min(end, len(positions)))
