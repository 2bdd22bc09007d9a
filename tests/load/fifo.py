"""Batches in the order of arrival, as most servers form them: what ours are compared with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from khulasa_server.scheduling.formation import shape_of
from khulasa_server.scheduling.heap import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from khulasa_server.engines.base import GenerationOptions
    from khulasa_server.scheduling.cost import CostModel
    from khulasa_server.scheduling.formation import Bounds
    from khulasa_server.scheduling.items import Item


class FifoQueue:
    """Waiting items in the order they came; the surface is that of `SegmentQueue`."""

    def __init__(self) -> None:
        self._items: dict[Item, None] = {}
        self.tokens = 0

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(list(self._items))

    def add(self, item: Item) -> None:
        """Queue an item at the end."""
        self._items[item] = None
        item.entry = Entry((0.0,), item)
        self.tokens += item.length

    def remove(self, item: Item) -> None:
        """Take out an item."""
        del self._items[item]
        item.entry = None
        self.tokens -= item.length

    def head(self) -> Item | None:
        """The first."""
        return next(iter(self._items), None)

    def companions(self, first: Item) -> Iterator[Item]:
        """Those after it that may run in one engine call, whatever their lengths."""
        wanted = _call_of(first)
        return (item for item in self if item is not first and _call_of(item) == wanted)


def _call_of(item: Item) -> tuple[GenerationOptions, bool, bool]:
    """What one engine call has in common, but for the most tokens written.

    Limits follow from lengths, and this queue knows none: a batch gets the greatest of its items.
    """
    submission = item.submission
    options = replace(submission.options, max_output_tokens=1)
    return options, submission.deterministic, submission.retry


def widest(items: Sequence[Item]) -> GenerationOptions:
    """Options of an engine call in which no item is cut before its own limit."""
    return max((item.options for item in items), key=lambda options: options.max_output_tokens)


def take_in_order(queue: FifoQueue, first: Item, cost: CostModel, bounds: Bounds) -> list[Item]:
    """The first item and those after it, until the next would go beyond a bound."""
    items, shape = [first], shape_of([first])
    for item in queue.companions(first):
        grown = shape.plus(item.length, item.expected_output)
        if (
            grown.padded > bounds.tokens
            or grown.rows > bounds.rows
            or cost.predict(grown) > bounds.seconds
        ):
            break
        items.append(item)
        shape = grown
    for item in items:
        queue.remove(item)
    return items
