"""A heap whose entries can be taken back."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")
Rank = tuple[float, ...]

_SLACK = 64
"""Discarded entries that are kept, whatever the number of live ones."""


@dataclass(slots=True, eq=False)
class Entry(Generic[T]):
    """A place in the heap; `value` is None once it was discarded or popped."""

    rank: Rank
    value: T | None


class Heap(Generic[T]):
    """Lowest rank first, first come first among equals.

    A discarded entry drops its value at once and its place when more than half of the places
    are empty, so memory follows the number of live entries.
    """

    def __init__(self) -> None:
        self._places: list[tuple[Rank, int, Entry[T]]] = []
        self._pushed = 0
        self._live = 0

    def __len__(self) -> int:
        return self._live

    def __iter__(self) -> Iterator[T]:
        """Live values, in no order."""
        return iter([place[2].value for place in self._places if place[2].value is not None])

    @property
    def places(self) -> int:
        """Entries held, discarded ones included."""
        return len(self._places)

    def push(self, rank: Rank, value: T) -> Entry[T]:
        """Add a value; the entry is what `discard` takes."""
        entry = Entry(rank, value)
        heapq.heappush(self._places, (rank, self._pushed, entry))
        self._pushed += 1
        self._live += 1
        return entry

    def discard(self, entry: Entry[T]) -> None:
        """Take an entry back; nothing happens if it is gone already."""
        if entry.value is None:
            return
        entry.value = None
        self._live -= 1
        if len(self._places) > 2 * self._live + _SLACK:
            self._places = [place for place in self._places if place[2].value is not None]
            heapq.heapify(self._places)

    def peek(self) -> Entry[T] | None:
        """The entry with the lowest rank."""
        while self._places and self._places[0][2].value is None:
            heapq.heappop(self._places)
        return self._places[0][2] if self._places else None
