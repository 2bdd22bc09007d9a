"""Which of the waiting items share the next batch."""

from __future__ import annotations

from dataclasses import dataclass
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
        seconds: longest predicted run time.
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


def take_batch(queue: SegmentQueue, first: Item, cost: CostModel, bounds: Bounds) -> list[Item]:
    """Take the queue's `first` item and what goes well with it out of the queue."""
    queue.remove(first)
    items, shape, soonest = [first], shape_of([first]), first.deadline
    for item in queue.companions(first):
        grown = shape.plus(item.length, item.expected_output)
        soonest_then = min(soonest, item.deadline)
        if _pays(shape, grown, item, cost) and _stays(shape, grown, cost, bounds, soonest_then):
            queue.remove(item)
            items.append(item)
            shape, soonest = grown, soonest_then
    return items


def _pays(shape: Shape, grown: Shape, item: Item, cost: CostModel) -> bool:
    """Whether an item costs no more in this batch than in one for itself."""
    alone = cost.predict(Shape.single(item.length, item.expected_output, shape.beam_size))
    return cost.predict(grown) - cost.predict(shape) <= alone


def _stays(shape: Shape, grown: Shape, cost: CostModel, bounds: Bounds, soonest: float) -> bool:
    """Whether a batch keeps its bounds and its earliest deadline when it grows."""
    before, after = cost.predict(shape), cost.predict(grown)
    late_anyway = bounds.now + before > soonest
    return (
        grown.padded <= bounds.tokens
        and grown.rows <= bounds.rows
        and after <= bounds.seconds
        and (bounds.now + after <= soonest or late_anyway)
    )
