"""Every example is learned from as often as it should be, with little padding."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from training import batches


def seeded(seed: int) -> random.Random:
    """The same numbers every time."""
    return random.Random(seed)  # noqa: S311 - repeatable examples


LENGTHS = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), max_size=80)


@given(st.lists(st.floats(0, 5), max_size=30), st.integers())
def test_pairs_are_drawn_as_often_as_their_weight(weights: list[float], seed: int) -> None:
    """A weight of 2.3 means twice in most epochs and three times in the others."""
    counts = Counter(batches.draw(weights, seeded(seed)))
    assert all(abs(counts[index] - weight) <= 1 for index, weight in enumerate(weights))


def test_weights_below_one_hold_on_average() -> None:
    """A weight of 0.25 is a quarter of the pairs."""
    drawn = batches.draw([0.25] * 10_000, seeded(1))
    assert 2300 < len(drawn) < 2700
    assert len(set(drawn)) == len(drawn)


@given(LENGTHS, st.integers(1, 200), st.integers())
def test_batches_hold_every_example_once_within_the_budget(
    lengths: list[tuple[int, int]], budget: int, seed: int
) -> None:
    """Nothing is lost or doubled; only an example that alone is too long exceeds the budget."""
    examples = [([1] * read, [number] * written) for number, (read, written) in enumerate(lengths)]
    grouped = batches.group(examples, budget, seeded(seed))
    assert Counter(id(one) for batch in grouped for one in batch) == Counter(map(id, examples))
    for batch in grouped:
        longest = max(max(len(read), len(written)) for read, written in batch)
        assert len(batch) == 1 or longest * len(batch) <= budget


def test_batches_of_like_lengths_need_little_padding() -> None:
    """Sentences of 1 to 40 pieces leave less than a tenth of a batch empty."""
    rng = seeded(2)
    rows = [[1] * rng.randint(1, 40) for _ in range(5000)]
    grouped = batches.group([(row, row) for row in rows], 1000, rng)
    room = sum(len(batch) * max(len(written) for _, written in batch) for batch in grouped)
    assert sum(map(len, rows)) > 0.9 * room


def test_pools_tile_what_was_drawn() -> None:
    """Parts follow each other and leave nothing out."""
    assert [list(pool) for pool in batches.pools(range(5), 2)] == [[0, 1], [2, 3], [4]]


def test_padding_stands_behind() -> None:
    """Rows of a batch get the length of the longest."""
    assert batches.pad([[5, 6], [7]], -1) == [[5, 6], [7, -1]]
