"""Items of one model and priority, by equal options and by length."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from khulasa_server.scheduling.heap import Heap
from khulasa_server.scheduling.ledger import step_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from khulasa_server.engines.base import GenerationOptions
    from khulasa_server.scheduling.items import Item

BUCKETS_PER_OCTAVE = 4
"""Lengths in one bucket differ by at most a factor of 2^(1/4) = 1.19."""
REACH = 8
"""Buckets on each side of the first item's that may fill up its batch: a factor of four.

Whoever waits does not fill a batch of one length: with a factor of 1.7 batches were small, and the
p99 latency was above that of a queue that looks at no lengths at all. Nearer lengths come first,
and what costs more here than alone does not come at all.
"""


class Kind(NamedTuple):
    """What items of one batch have in common."""

    options: GenerationOptions
    deterministic: bool
    retry: bool


def kind_of(item: Item) -> Kind:
    """The items that may share a batch with this one."""
    submission = item.submission
    return Kind(submission.options, submission.deterministic, submission.retry)


def bucket_of(length: int) -> int:
    """Number of the bucket for an input of `length` tokens, at least 1."""
    return math.floor(BUCKETS_PER_OCTAVE * math.log2(length))


def rank_of(item: Item) -> tuple[float, ...]:
    """Order in a bucket: deadlines, and among those that count as one, earlier segments first."""
    return (step_of(item.deadline), item.submission.order, item.deadline)


class SegmentQueue:
    """Waiting items of one model and priority."""

    def __init__(self) -> None:
        self._kinds: dict[Kind, dict[int, Heap[Item]]] = {}
        self._depth = 0
        self._tokens = 0

    def __len__(self) -> int:
        return self._depth

    @property
    def tokens(self) -> int:
        """Input tokens of all items."""
        return self._tokens

    def add(self, item: Item) -> None:
        """Queue an item that is in no queue."""
        buckets = self._kinds.setdefault(kind_of(item), {})
        heap = buckets.setdefault(bucket_of(max(1, item.length)), Heap())
        item.entry = heap.push(rank_of(item), item)
        self._depth += 1
        self._tokens += item.length

    def remove(self, item: Item) -> None:
        """Take out an item that is in this queue."""
        kind, bucket = kind_of(item), bucket_of(max(1, item.length))
        heap = self._kinds[kind][bucket]
        if item.entry is not None:
            heap.discard(item.entry)
            item.entry = None
        self._depth -= 1
        self._tokens -= item.length
        if not heap:
            del self._kinds[kind][bucket]
        if not self._kinds[kind]:
            del self._kinds[kind]

    def head(self) -> Item | None:
        """The most urgent item over all buckets."""
        heads = [
            entry
            for buckets in self._kinds.values()
            for heap in buckets.values()
            if (entry := heap.peek()) is not None
        ]
        return min(heads, key=lambda entry: entry.rank).value if heads else None

    def companions(self, first: Item) -> Iterator[Item]:
        """Items that may share a batch with `first`: of its length, then of lengths nearby.

        Each is the most urgent one left in its bucket. One that is not removed before the next
        is asked for closes its bucket.
        """
        buckets = self._kinds.get(kind_of(first), {})
        if first.submission.deterministic:
            return
        for bucket in _nearest(bucket_of(max(1, first.length))):
            while bucket in buckets and (entry := buckets[bucket].peek()) is not None:
                if entry.value is not None:
                    yield entry.value
                if entry.value is not None:  # it was not wanted
                    break

    def __iter__(self) -> Iterator[Item]:
        for buckets in list(self._kinds.values()):
            for heap in list(buckets.values()):
                yield from heap


def _nearest(bucket: int) -> Iterator[int]:
    """A bucket and its neighbours, the nearest first, shorter before longer."""
    yield bucket
    for distance in range(1, REACH + 1):
        yield bucket - distance
        yield bucket + distance
