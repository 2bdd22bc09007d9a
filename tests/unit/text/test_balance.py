"""Cutting a stretch into parts of about equal size."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from khulasa_server.text.balance import Border, choose

BORDERS = st.lists(
    st.tuples(st.integers(1, 199), st.sampled_from([0.0, 0.15, 0.6])),
    unique_by=lambda pair: pair[0],
).map(lambda pairs: [Border(position, penalty) for position, penalty in sorted(pairs)])


@given(BORDERS, st.integers(1, 250), st.floats(0.5, 1.0))
def test_parts_are_within_capacity_where_borders_allow_it(
    borders: list[Border], capacity: int, fill: float
) -> None:
    """A part above the capacity has no border inside it."""
    chosen = choose(borders, 200, capacity, fill)
    assert chosen == sorted(set(chosen))
    edges = [0.0, *(borders[index].position for index in chosen), 200.0]
    for start, end in pairwise(edges):
        assert end - start <= capacity or not any(start < b.position < end for b in borders)


@given(st.integers(2, 200), st.floats(0.75, 1.0))
def test_parts_are_balanced_where_borders_are_everywhere(capacity: int, fill: float) -> None:
    """With a border at every place the smallest part is at least half of the largest."""
    borders = [Border(position, 0.0) for position in range(1, 200)]
    edges = [0, *(index + 1 for index in choose(borders, 200, capacity, fill)), 200]
    sizes = [end - start for start, end in pairwise(edges)]
    assert min(sizes) * 2 >= max(sizes)


def test_a_good_border_within_reach_wins() -> None:
    """A border without penalty wins over a nearer bad one, not over one far nearer and fair."""
    borders = [Border(35, 0.0), Border(50, 0.6)]
    assert choose(borders, 100, 80, 0.85) == [0]
    borders = [Border(35, 0.0), Border(50, 0.15)]
    assert choose(borders, 100, 80, 0.85) == [1]
    assert choose(borders, 100, 100, 0.85) == []
