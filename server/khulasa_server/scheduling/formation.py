"""Which of the waiting items share the next batch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from khulasa_server.scheduling.cost import CostModel, Shape

if TYPE_CHECKING:
    from khulasa_server.scheduling.items import Item
    from khulasa_server.scheduling.queues import SegmentQueue


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of a batch with more than one item; an item alone may exceed them.

    Args:
        tokens: most padded input tokens.
        rows: most beams over all items.
        seconds: longest predicted run time, at the cautious end of what its outputs may be long.
        now: when the batch starts.
    """

    tokens: int
    rows: int
    seconds: float
    now: float


def shape_of(items: list[Item]) -> Shape:
    """Shape of a batch of these items, one at least."""
    first = items[0]
    shape = Shape.single(first.length, first.expected_output, first.options.beam_size)
    for item in items[1:]:
        shape = shape.plus(item.length, item.expected_output)
    return shape


@dataclass(frozen=True, slots=True)
class Draft:
    """A batch that is being formed.

    Args:
        shape: as expected.
        steps: output tokens of the longest output, at the cautious end.
        spread: sum of the squares of the tokens that each output may be longer than expected.
    """

    shape: Shape
    steps: int
    spread: int

    @classmethod
    def of(cls, item: Item) -> Draft:
        """One item alone."""
        return cls(shape_of([item]), item.cautious_output, _surplus(item) ** 2)

    def plus(self, item: Item) -> Draft:
        """With one item more."""
        return Draft(
            self.shape.plus(item.length, item.expected_output),
            max(self.steps, item.cautious_output),
            self.spread + _surplus(item) ** 2,
        )

    @property
    def worst(self) -> Shape:
        """At the cautious end: some output is long, a sum of many strays less than each does."""
        return replace(
            self.shape,
            steps=max(self.steps, self.shape.steps),
            written=self.shape.written + math.ceil(math.sqrt(self.spread)),
        )


def _surplus(item: Item) -> int:
    return max(0, item.cautious_output - item.expected_output)


def take_batch(queue: SegmentQueue, first: Item, cost: CostModel, bounds: Bounds) -> list[Item]:
    """Take the queue's `first` item and what goes well with it out of the queue."""
    queue.remove(first)
    items, draft, soonest = [first], Draft.of(first), first.deadline
    for item in queue.companions(first):
        if cost.saturated(draft.shape):
            break
        grown, soonest_then = draft.plus(item), min(soonest, item.deadline)
        if _pays(draft, grown, item, cost) and _stays(draft, grown, cost, bounds, soonest_then):
            queue.remove(item)
            items.append(item)
            draft, soonest = grown, soonest_then
    return items


def _pays(draft: Draft, grown: Draft, item: Item, cost: CostModel) -> bool:
    """Whether an item costs no more in this batch than in one for itself."""
    alone = cost.predict(shape_of([item]))
    return cost.predict(grown.shape) - cost.predict(draft.shape) <= alone


def _stays(draft: Draft, grown: Draft, cost: CostModel, bounds: Bounds, soonest: float) -> bool:
    """Whether a batch keeps its bounds and its earliest deadline when it grows."""
    before, after = cost.predict(draft.shape), cost.predict(grown.shape)
    late_anyway = bounds.now + before > soonest
    return (
        grown.shape.padded <= bounds.tokens
        and grown.shape.rows <= bounds.rows
        and cost.predict(grown.worst) <= bounds.seconds
        and (bounds.now + after <= soonest or late_anyway)
    )
