"""Which pairs are learned from together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

POOL: Final = 20_000
"""Pairs that are sorted by length together: enough for little padding, few enough to mix."""

Numbers: TypeAlias = list[int]
"""Pieces of a text by their rows in the model's vocabulary, end of sequence last."""

Example: TypeAlias = tuple[Numbers, Numbers]
"""What is read, and what is to be written."""

Linked: TypeAlias = tuple[Numbers, Numbers, Numbers, Numbers]
"""An example; the number of the word that each piece read is part of; that of the word which each
piece to be written translates, -1 for none."""

Row = TypeVar("Row", Example, Linked)


def draw(weights: Sequence[float], rng: random.Random) -> list[int]:
    """One epoch: indices in random order, each as often as its weight says, on average."""
    drawn = [index for index, weight in enumerate(weights) for _ in range(_times(weight, rng))]
    rng.shuffle(drawn)
    return drawn


def _times(weight: float, rng: random.Random) -> int:
    return int(weight + rng.random())


def pools(drawn: Sequence[int], size: int = POOL) -> Iterator[Sequence[int]]:
    """`drawn` in consecutive parts of `size`, the last one maybe shorter."""
    return (drawn[start : start + size] for start in range(0, len(drawn), size))


def group(examples: Sequence[Row], budget: int, rng: random.Random) -> list[list[Row]]:
    """Examples of like lengths together, in batches that come in random order.

    Args:
        examples: in any order.
        budget: pieces of one side of a batch at most, padding counted; an example longer than
            that is a batch of its own.
        rng: for the order.

    Returns:
        Every example in exactly one batch.
    """
    batches: list[list[Row]] = []
    longest = 0
    for example in sorted(examples, key=lambda one: (len(one[1]), len(one[0]))):
        longest = max(longest, *map(len, example))
        if not batches or longest * (len(batches[-1]) + 1) > budget:
            batches.append([])
            longest = max(map(len, example))
        batches[-1].append(example)
    rng.shuffle(batches)
    return batches


def pad(rows: Sequence[Numbers], filler: int) -> list[Numbers]:
    """Rows of the same length, the shorter ones filled up behind."""
    longest = max(map(len, rows))
    return [row + [filler] * (longest - len(row)) for row in rows]
