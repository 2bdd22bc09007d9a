"""Queues, and the batches that are taken out of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khulasa_server.engines.base import GenerationOptions
from khulasa_server.scheduling.cost import CostModel, Shape
from khulasa_server.scheduling.formation import Bounds, Draft, shape_of, take_batch
from khulasa_server.scheduling.items import Item
from khulasa_server.scheduling.queues import SegmentQueue, bucket_of
from khulasa_server.scheduling.types import Coefficients, Priority, Submission

if TYPE_CHECKING:
    from collections.abc import Iterable

OPTIONS = GenerationOptions(beam_size=2)
COST = CostModel(Coefficients(fixed=0.1, input_token=0.01, step=0.0, beam_token=0.0))
NOW = 100.0


def item(
    length: int,
    *,
    due: float = 1_000.0,
    order: int = 0,
    options: GenerationOptions = OPTIONS,
    deterministic: bool = False,
    retry: bool = False,
    output: int = 1,
) -> Item:
    """A waiting item."""
    submission = Submission(
        "m", ("w",) * length, options, order, deterministic=deterministic, retry=retry
    )
    return Item(submission, output, 0.0, None, Priority.INTERACTIVE, NOW + due)


def queue_of(items: Iterable[Item]) -> SegmentQueue:
    """A queue with these items."""
    queue = SegmentQueue()
    for each in items:
        queue.add(each)
    return queue


def take(
    queue: SegmentQueue,
    *,
    tokens: int = 1_000,
    rows: int = 1_000,
    seconds: float = 100.0,
    cost: CostModel = COST,
) -> list[Item]:
    """The next batch."""
    first = queue.head()
    assert first is not None
    return take_batch(queue, first, cost, Bounds(tokens, rows, seconds, NOW))


def test_a_batch_has_no_more_beams_than_its_rows() -> None:
    """Two beams an item: seven rows hold three items, and one row still holds one."""
    assert len(take(queue_of(item(3) for _ in range(9)), rows=7)) == 3
    assert len(take(queue_of(item(3) for _ in range(9)), rows=1)) == 1


def test_buckets_are_quarters_of_an_octave() -> None:
    """From 1 token on; double the length is four buckets on."""
    assert [bucket_of(length) for length in (1, 2, 3, 4, 8, 9, 10, 512)] == [
        0, 4, 6, 8, 12, 12, 13, 36
    ]  # fmt: skip


def test_a_queue_counts_what_it_holds() -> None:
    """Items and their tokens, until they are removed."""
    items = [item(3), item(50), item(0)]
    queue = queue_of(items)
    assert (len(queue), queue.tokens) == (3, 53)
    assert set(queue) == set(items)
    for each, left in zip(items, (50, 0, 0), strict=True):
        queue.remove(each)
        assert each.entry is None
        assert queue.tokens == left
    assert (len(queue), queue.tokens, queue.head()) == (0, 0, None)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 30), st.integers(0, 3)), min_size=1))
def test_the_head_is_due_first_over_all_buckets(drawn: list[tuple[int, int, int]]) -> None:
    """By tenths of a second; among those due together, the earlier segment."""
    items = [item(length, due=due / 20, order=order) for length, due, order in drawn]
    head = queue_of(items).head()
    assert head is not None

    def rank(each: Item) -> tuple[int, int, float]:
        return math.floor(each.deadline * 10), each.submission.order, each.deadline

    assert rank(head) == min(rank(each) for each in items)


def test_earlier_segments_go_first_when_due_together() -> None:
    """Two requests due within a tenth of a second take turns, segment by segment."""
    mine = [item(5, due=10.01, order=order) for order in range(3)]
    theirs = [item(5, due=10.02, order=order) for order in range(3)]
    queue = queue_of([*reversed(theirs), *reversed(mine)])
    expected = [each for pair in zip(mine, theirs, strict=True) for each in pair]
    assert take(queue) == expected


def test_only_equal_kinds_share_a_batch() -> None:
    """Options, retries: whatever differs waits for its own batch."""
    first = item(5, due=1.0)
    others = [
        item(5, options=replace(OPTIONS, beam_size=1)),
        item(5, options=replace(OPTIONS, max_output_tokens=9)),
        item(5, retry=True),
        item(5, deterministic=True),
    ]
    same = item(5)
    queue = queue_of([first, *others, same])
    assert take(queue) == [first, same]
    assert len(queue) == 4
    assert sorted(len(take(queue)) for _ in range(4)) == [1, 1, 1, 1]


def test_deterministic_items_run_alone() -> None:
    """Not even with their equals."""
    queue = queue_of([item(5, deterministic=True) for _ in range(3)])
    assert [len(take(queue)) for _ in range(3)] == [1, 1, 1]


def test_padded_tokens_keep_the_budget() -> None:
    """Four times five tokens are twenty; a fifth item does not fit."""
    queue = queue_of([item(5) for _ in range(6)])
    assert len(take(queue, tokens=20)) == 4
    assert len(queue) == 2


def test_padding_counts_against_the_budget() -> None:
    """An item of six tokens would make twenty-one of eighteen."""
    first = item(5, due=1.0)
    queue = queue_of([first, item(5), item(5), item(6)])
    assert len(take(queue, tokens=23)) == 3
    assert [each.length for each in queue] == [6]


def test_an_item_larger_than_the_budget_runs_alone() -> None:
    """It is taken, and the queue goes on."""
    large = item(30, due=1.0)
    queue = queue_of([large, item(29), item(5)])
    assert take(queue, tokens=20) == [large]
    assert len(take(queue, tokens=20)) == 1
    assert len(take(queue, tokens=20)) == 1
    assert len(queue) == 0


def test_no_batch_is_predicted_above_its_seconds() -> None:
    """0.1 + 0.05 an item: four take 0.3 s."""
    queue = queue_of([item(5) for _ in range(6)])
    assert len(take(queue, seconds=0.3 + 1e-9)) == 4
    assert len(take(queue, seconds=0.05)) == 1


def test_outputs_that_may_be_long_count_against_the_seconds_of_a_batch() -> None:
    """Ten tokens expected, twenty possible: four are 40 and twice 10 together, 0.1 s a token.

    Models that loop made batches of 17 sentences last three times as long as was predicted.
    """
    cost = CostModel(Coefficients(fixed=0.0, input_token=0.0, step=0.0, beam_token=0.05))
    items = [item(5, output=10) for _ in range(20)]
    assert len(take(queue_of(items), seconds=6.0, cost=cost)) == 6
    for each in (items := [item(5, output=10) for _ in range(20)]):
        each.cautious_output = 20
    assert len(take(queue_of(items), seconds=6.0, cost=cost)) == 4


def test_the_longest_possible_output_counts_the_steps() -> None:
    """One item of five may take forty steps, 0.1 s each: the fifth would need 4 s of 3.9."""
    cost = CostModel(Coefficients(fixed=10.0, input_token=0.0, step=0.1, beam_token=0.0))
    items = [item(5, output=10, order=order) for order in range(5)]
    items[4].cautious_output = 40
    assert take(queue_of(items), seconds=13.9, cost=cost) == items[:4]


def test_possible_lengths_add_up_as_independent_ones_do() -> None:
    """3 and 4 tokens more than the 10 expected of each: 5 more in all, and 14 steps at most."""
    one, other = item(5, output=10), item(5, output=10)
    one.cautious_output, other.cautious_output = 13, 14
    draft = Draft.of(one)
    assert (draft.worst.written, draft.worst.steps) == (13, 13)
    draft = draft.plus(other)
    assert (draft.worst.written, draft.worst.steps) == (25, 14)
    assert draft.shape == shape_of([one, other])


def test_a_batch_ends_before_its_first_deadline() -> None:
    """An item due in 0.26 s takes two others along, not three, whether it is the first or not."""
    queue = queue_of([item(5, due=0.26), item(5), item(5), item(5)])
    assert len(take(queue)) == 3
    hurried = item(5, due=1.09)
    queue = queue_of([item(6, due=1.0), *[item(6, due=1.05) for _ in range(16)], hurried])
    assert hurried not in take(queue, tokens=96)


def test_a_late_item_still_shares() -> None:
    """What is late anyway is not made later by filling the batch that it is in."""
    queue = queue_of([item(5, due=0.1), *[item(5) for _ in range(5)]])
    assert len(take(queue)) == 6


def test_neighbours_in_length_fill_a_batch() -> None:
    """Of its own bucket first, then nearest first, shorter before longer; not far ones."""
    first = item(16, due=1.0)
    lengths = [90, 3, 64, 4, 32, 9, 27, 10, 23, 12, 20, 14, 16]
    queue = queue_of([first, *[item(length) for length in lengths]])
    flat = CostModel(Coefficients(fixed=0.1, input_token=0.0, step=0.0, beam_token=0.0))
    near, far = [16, 16, 14, 20, 12, 23, 10, 27, 9, 32], [4, 64]
    assert [each.length for each in take(queue, tokens=10_000, cost=flat)] == [*near, *far]
    assert sorted(each.length for each in queue) == [3, 90]


def test_few_of_many_lengths_share_a_batch() -> None:
    """Half and twice as long run together where that is cheaper than one batch after the other.

    Batches of neighbours in length alone had few items whenever little waited, and the p99 latency
    was above that of first come, first served.
    """
    steps = CostModel(Coefficients(fixed=0.0, input_token=0.0, step=0.01, beam_token=0.001))
    queue = queue_of([item(20, due=1.0, output=20), item(10, output=10), item(40, output=40)])
    assert [each.length for each in take(queue, cost=steps)] == [20, 10, 40]


def test_an_item_joins_only_where_that_pays() -> None:
    """Sixteen short items would all be padded to 23 tokens: that costs more than a batch."""
    cost = CostModel(Coefficients(fixed=0.1, input_token=0.001, step=0.0, beam_token=0.0))
    queue = queue_of([item(16, due=50), *[item(16, due=60) for _ in range(15)], item(23)])
    assert len(take(queue, cost=cost)) == 16
    queue = queue_of([item(16, due=50), item(23)])
    assert len(take(queue, cost=cost)) == 2


@pytest.mark.parametrize(("fixed", "step", "most"), [(1.0, 0.0, 10), (0.5, 0.05, 10), (0.01, 0, 8)])
def test_a_batch_grows_while_there_is_something_to_share(
    fixed: float, step: float, most: int
) -> None:
    """Of ten items, a second each, the start is less than a tenth; eight may run in any case.

    Batches of 17 long sentences ran for a second, and were no cheaper for each than eight.
    """
    cost = CostModel(Coefficients(fixed=fixed, input_token=0.1, step=step, beam_token=0.0))
    queue = queue_of(item(10, output=10) for _ in range(30))
    assert len(take(queue, cost=cost)) == most


def test_joining_pays_up_to_what_a_batch_of_its_own_costs() -> None:
    """Equal costs are shared; the smallest difference more is not."""
    cost = CostModel(Coefficients(fixed=0.0, input_token=1.0, step=0.0, beam_token=0.0))
    queue = queue_of([item(8, due=1.0), item(8)])
    assert len(take(queue, cost=cost)) == 2
    queue = queue_of([item(8, due=1.0), item(9)])
    assert len(take(queue, cost=cost)) == 1


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 80), st.floats(0.01, 5), st.integers(1, 40)),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 200),
    st.floats(0.05, 2),
)
def test_every_item_runs_once_and_every_bound_holds(
    drawn: list[tuple[int, float, int]], tokens: int, seconds: float
) -> None:
    """Batches partition the queue, each with its most urgent item, in bounds unless alone."""
    items = [item(length, due=due, output=output) for length, due, output in drawn]
    queue, ran = queue_of(items), list[Item]()
    while (head := queue.head()) is not None:
        batch = take(queue, tokens=tokens, seconds=seconds)
        assert batch[0] is head
        shape = shape_of(batch)
        assert len(batch) == 1 or shape.padded <= tokens
        assert len(batch) == 1 or COST.predict(shape) <= seconds
        ran += batch
    assert len(ran) == len(items)
    assert set(ran) == set(items)


def test_a_shape_is_that_of_its_items() -> None:
    """Longest input, longest output, sum of outputs, beams."""
    items = [item(5, output=3), item(9, output=1), item(2, output=7)]
    assert shape_of(items) == Shape(items=3, longest=9, steps=7, written=11, beam_size=2)


@pytest.mark.parametrize("removed", [0, 1, 2])
def test_what_was_removed_is_in_no_batch(removed: int) -> None:
    """A cancelled item leaves its place at once."""
    items = [item(5, order=order) for order in range(3)]
    queue = queue_of(items)
    queue.remove(items[removed])
    assert take(queue) == [each for each in items if each is not items[removed]]


def test_a_length_that_does_not_fit_does_not_end_the_batch() -> None:
    """After a neighbour that is too long for the budget, a shorter one is still taken."""
    queue = queue_of([item(16, due=50), item(20), item(12)])
    assert [each.length for each in take(queue, tokens=35)] == [16, 12]


EXACT = CostModel(Coefficients(fixed=0.0, input_token=0.125, step=0.0, beam_token=0.0))
"""A second for eight tokens, without rounding."""


def test_bounds_may_be_reached_exactly() -> None:
    """Two seconds allowed are two seconds used, and so is the time until the deadline."""
    assert len(take(queue_of([item(8), item(8)]), seconds=2.0, cost=EXACT)) == 2
    assert len(take(queue_of([item(8), item(8)]), seconds=1.99, cost=EXACT)) == 1
    assert len(take(queue_of([item(8, due=2.0), item(8)]), cost=EXACT)) == 2
    assert len(take(queue_of([item(8, due=1.99), item(8)]), cost=EXACT)) == 1


def test_who_ends_just_in_time_alone_is_not_late_anyway() -> None:
    """A companion would make it late."""
    assert len(take(queue_of([item(8, due=1.0), item(8)]), cost=EXACT)) == 1
    assert len(take(queue_of([item(8, due=0.99), item(8)]), cost=EXACT)) == 2
