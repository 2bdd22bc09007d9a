"""Estimates of one model's work."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khulasa_server.scheduling.cost import Shape
from khulasa_server.scheduling.estimator import Estimator
from khulasa_server.scheduling.types import Coefficients, ModelProfile, SchedulerSettings, Stage

PRIOR = Coefficients(fixed=0.1, input_token=0.01, step=0.0, beam_token=0.0)


def estimator(
    *,
    slots: int = 1,
    batch_seconds: float = 1.05,
    prior: Coefficients = PRIOR,
    output_ratio: float = 1.0,
    batch_tokens: int = 100,
    max_output_tokens: int = 512,
) -> Estimator:
    """Ten tokens an item, half a token a code point."""
    profile = ModelProfile(
        "d",
        "t",
        prior=prior,
        batch_tokens=batch_tokens,
        segment_tokens=10,
        max_segment_tokens=20,
        tokens_per_code_point=0.5,
        output_ratio=output_ratio,
        max_output_tokens=max_output_tokens,
    )
    return Estimator(profile, SchedulerSettings(slots=slots, batch_seconds=batch_seconds))


@pytest.mark.parametrize(
    ("tokens", "limit", "expected"), [(10, 512, 15), (1, 512, 2), (100, 40, 40), (0, 9, 1)]
)
def test_expected_output_follows_the_ratio_within_limits(
    tokens: int, limit: int, expected: int
) -> None:
    """Input times the median ratio, at least one token, at most the limit."""
    assert estimator(output_ratio=1.5).expected_output(tokens, limit) == expected


def test_the_cautious_output_is_the_limit_until_such_outputs_were_seen() -> None:
    """Then it is what one in twenty exceeds: one of ten loops to three times its input."""
    one = estimator()
    assert one.expected_output(40, 120) == 40
    assert one.cautious_output(40, 120) == 120
    for place in range(400):
        one.observe_output(40, 120 if place % 10 == 0 else 36)
    assert one.expected_output(40, 200) == 36
    assert one.cautious_output(40, 200) == 120
    assert one.cautious_output(40, 99) == 99
    assert one.cautious_output(4, 99) == 99
    assert one.cautious_output(4, 0) == 1


def test_an_item_shares_the_batch_it_fills() -> None:
    """Nine items of ten tokens are all that runs within 1.05 s: (0.1 + 0.9) / 9 each."""
    assert estimator().item_seconds(10, 10, 1) == pytest.approx(1.0 / 9)


def test_a_batch_is_full_by_tokens_too() -> None:
    """Forty tokens are four items: (0.1 + 0.4) / 4 each."""
    assert estimator(batch_tokens=40).item_seconds(10, 10, 1) == pytest.approx(0.5 / 4)
    assert estimator(batch_tokens=49).item_seconds(10, 10, 1) == pytest.approx(0.5 / 4)


def test_a_batch_is_full_by_beams_too() -> None:
    """256 rows are 64 items of four beams, where tokens leave room for 100 and time for more."""
    flat = Coefficients(fixed=0.64, input_token=0.0, step=0.0, beam_token=0.0)
    assert estimator(prior=flat, batch_tokens=1_000).item_seconds(10, 10, 4) == pytest.approx(0.01)


def test_a_batch_is_full_where_little_is_left_to_share() -> None:
    """Nine items of 0.11 s each: the start, 0.1 s, is less than a tenth of all then."""
    cost = estimator(batch_seconds=10.0, batch_tokens=1_000).item_seconds(11, 11, 1)
    assert cost == pytest.approx((0.1 + 0.99) / 9)


def test_an_item_larger_than_a_batch_is_a_batch() -> None:
    """By tokens or by seconds."""
    assert estimator(batch_tokens=5).item_seconds(10, 10, 1) == pytest.approx(0.2)
    assert estimator(batch_seconds=0.15).item_seconds(10, 10, 1) == pytest.approx(0.2)


def test_where_items_cost_nothing_tokens_fill_a_batch() -> None:
    """A model whose every batch costs the same divides it by all that fit."""
    flat = Coefficients(fixed=0.1, input_token=0.0, step=0.0, beam_token=0.0)
    assert estimator(prior=flat).item_seconds(10, 10, 1) == pytest.approx(0.01)


def test_beams_and_outputs_count() -> None:
    """0.01 s for each of ten tokens of four beams; alone it shares nothing."""
    beams = Coefficients(fixed=0.0, input_token=0.0, step=0.002, beam_token=0.01)
    assert estimator(prior=beams).alone_seconds(10, 10, 4) == pytest.approx(0.42)
    assert estimator(prior=beams).item_seconds(10, 10, 4) == pytest.approx(0.82 / 2)


def test_a_stage_is_cut_into_typical_items() -> None:
    """100 code points are 50 tokens, five items: their share expected, one batch alone."""
    cost = estimator().stage(Stage("m", 100, 1))
    assert cost.seconds == pytest.approx(5 * 1.0 / 9)
    assert cost.alone == pytest.approx(0.1 + 0.5)


def test_a_stage_spreads_over_the_slots() -> None:
    """Five items on two slots: three in the fuller one."""
    cost = estimator(slots=2).stage(Stage("m", 100, 1))
    assert cost.alone == pytest.approx(0.1 + 0.3)
    assert cost.seconds == pytest.approx(5 * 1.0 / 9)


def test_a_large_stage_runs_in_several_batches() -> None:
    """Twenty items: two batches of nine that take a second each, and one of two."""
    assert estimator().stage(Stage("m", 400, 1)).alone == pytest.approx(2 * 1.0 + 0.3)
    assert estimator().stage(Stage("m", 360, 1)).alone == pytest.approx(2 * 1.0)


def test_the_smallest_stage_is_one_item() -> None:
    """Even no code point at all counts as one token."""
    assert estimator().stage(Stage("m", 0, 1)).alone == pytest.approx(0.11)
    assert estimator().stage(Stage("m", 2, 1)).alone == pytest.approx(0.11)
    assert estimator().stage(Stage("m", 3, 1)).alone == pytest.approx(0.12)


def test_admission_expects_longer_outputs_than_cost() -> None:
    """One item: 1.6 times the median; a hundred of them together stray a tenth as much."""
    steps = Coefficients(fixed=0.0, input_token=0.0, step=0.0, beam_token=0.001)
    one = estimator(prior=steps).stage(Stage("m", 20, 1))
    assert one.seconds == pytest.approx(0.010)
    assert one.alone == pytest.approx(0.016)
    many = estimator(prior=steps).stage(Stage("m", 2_000, 1))
    assert many.seconds == pytest.approx(1.0)
    assert many.alone == pytest.approx(1.1)


def test_cautious_outputs_keep_the_limit_of_the_model() -> None:
    """No output is expected to be longer than the model may write."""
    steps = Coefficients(fixed=0.0, input_token=0.0, step=0.0, beam_token=0.001)
    cost = estimator(prior=steps, max_output_tokens=12).stage(Stage("m", 20, 1))
    assert cost.alone == pytest.approx(0.012)


@settings(deadline=None)
@given(st.integers(0, 5_000), st.integers(0, 5_000), st.integers(1, 4))
def test_more_text_never_costs_less_in_all(less: int, more: int, slots: int) -> None:
    """Expected engine time grows with the text, but for the rounding of one item."""
    less, more = sorted((less, more))
    one = estimator(slots=slots)
    small, large = one.stage(Stage("m", less, 1)), one.stage(Stage("m", more, 1))
    assert small.seconds <= large.seconds * 1.3 + 1e-9


def test_output_ratios_are_learned() -> None:
    """After enough outputs of half the input, half is expected."""
    one = estimator()
    for _ in range(300):
        one.observe_output(10, 5)
    assert one.expected_output(40, 512) == 20
    one.observe_output(0, 5)
    assert one.expected_output(40, 512) == 20


def test_tokens_of_a_text_are_learned() -> None:
    """Requests of one token a code point double the estimate."""
    one = estimator()
    for _ in range(2_000):
        one.observe_request(1_000, 1_000)
    assert one.stage(Stage("m", 100, 1)).seconds == pytest.approx(10 * 1.0 / 9, rel=0.01)


def test_lengths_of_items_are_learned_up_to_the_longest() -> None:
    """Items of a hundred tokens count as the longest that the model takes, twenty."""
    one = estimator()
    for _ in range(500):
        one.observe_items(1, 100)
    share = one.item_seconds(17, 17, 1)
    assert one.stage(Stage("m", 100, 1)).seconds == pytest.approx(3 * share)


def test_the_price_of_crowded_batches_is_learned() -> None:
    """Items of ten tokens beside one of thirty cost three times their tokens: their share does."""
    one = estimator()
    before = one.item_seconds(10, 10, 1)
    small, large = Shape.single(10, 10, 1), Shape.single(30, 30, 1)
    share = 2 * before + one.item_seconds(30, 30, 1)
    for _ in range(300):
        one.observe_price(1.0, [small, small, large])
    price = 1.0 / share
    assert one.item_seconds(10, 10, 1) == pytest.approx(price * before, rel=0.01)
    assert one.alone_seconds(10, 10, 1) == pytest.approx(0.2)


def test_the_price_of_equal_items_is_their_share_whatever_the_model_learns() -> None:
    """Batches that turn out ten times as slow change the coefficients, and the price not at all.

    The price was once learned from what items had been priced at when they came; with every batch
    of a burst it then counted again what the coefficients had learned.
    """
    one = estimator(batch_seconds=1_000.0, batch_tokens=40)
    full = Shape.single(10, 10, 1).times(4)
    for moment in range(200):
        one.cost.observe(full, 10 * 0.5, float(moment))
        one.observe_price(10 * 0.5, [Shape.single(10, 10, 1)] * 4)
    assert one.item_seconds(10, 10, 1) == pytest.approx(10 * 0.5 / 4, rel=0.05)


def test_a_few_items_count_as_much_as_the_profile() -> None:
    """Twenty items of twenty tokens and a profile of ten: fifteen, so fifty tokens are four."""
    one = estimator()
    one.observe_items(20, 400)
    share = one.item_seconds(13, 13, 1)
    assert one.stage(Stage("m", 100, 1)).seconds == pytest.approx(4 * share)


def test_the_last_two_thousand_items_count() -> None:
    """What was typical before is forgotten in proportion."""
    one = estimator()
    for _ in range(40):
        one.observe_items(100, 1_800)
    for _ in range(40):
        one.observe_items(100, 500)
    share = one.item_seconds(7, 7, 1)
    assert one.stage(Stage("m", 100, 1)).seconds == pytest.approx(8 * share)


def test_a_deterministic_stage_has_a_batch_for_each_item() -> None:
    """Five items alone in their batches: 0.1 + 0.1 each, expected and from start to end."""
    cost = estimator().stage(Stage("m", 100, 1, deterministic=True))
    assert cost.seconds == pytest.approx(5 * 0.2)
    assert cost.alone == pytest.approx(5 * 0.2)
    spread = estimator(slots=2).stage(Stage("m", 100, 1, deterministic=True))
    assert spread.seconds == pytest.approx(5 * 0.2)
    assert spread.alone == pytest.approx(3 * 0.2)


def test_a_deterministic_stage_is_not_repriced_by_crowded_batches() -> None:
    """What batches of strangers turn out to cost is not what an item alone does."""
    one = estimator()
    before = one.stage(Stage("m", 100, 1, deterministic=True))
    for _ in range(300):
        one.observe_price(5.0, [Shape.single(10, 10, 1)] * 3)
    assert one.stage(Stage("m", 100, 1, deterministic=True)) == before


def test_a_stage_writes_at_most_what_its_caller_wants() -> None:
    """Ten tokens in; four out are expected, and promised, where no more may be written."""
    steps = Coefficients(fixed=0.0, input_token=0.0, step=0.0, beam_token=0.001)
    cost = estimator(prior=steps).stage(Stage("m", 20, 1, max_output_tokens=4))
    assert cost.seconds == pytest.approx(0.004)
    assert cost.alone == pytest.approx(0.004)


def test_a_callers_limit_raises_nothing() -> None:
    """Above what is expected, or above what the model may write, it makes no difference."""
    steps = Coefficients(fixed=0.0, input_token=0.0, step=0.0, beam_token=0.001)
    one = estimator(prior=steps, max_output_tokens=12)
    assert one.stage(Stage("m", 20, 1, max_output_tokens=500)) == one.stage(Stage("m", 20, 1))


def test_outputs_of_the_shortest_inputs_are_learned() -> None:
    """An input of one token with three out is a ratio of three."""
    one = estimator()
    for _ in range(300):
        one.observe_output(1, 3)
    assert one.expected_output(10, 512) == 30
