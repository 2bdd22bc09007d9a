"""The cost model of batches."""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import astuple, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khulasa_server.scheduling.cost import FEW, CostModel, Shape, fit_prior, seconds_of
from khulasa_server.scheduling.types import Coefficients

PRIOR = Coefficients(fixed=0.01, input_token=0.001, step=0.002, beam_token=0.0005)
TRUTH = Coefficients(fixed=0.002, input_token=0.0002, step=0.004, beam_token=0.0001)
SHAPES = st.builds(
    Shape,
    items=st.integers(1, 64),
    longest=st.integers(1, 128),
    steps=st.integers(1, 128),
    written=st.integers(1, 4_000),
    beam_size=st.integers(1, 8),
)


def shapes(seed: int, count: int) -> list[Shape]:
    """Batches as they come."""
    rng = random.Random(seed)  # noqa: S311 - repeatable batches
    return [
        Shape.single(tokens, rng.randint(1, 100), rng.choice([1, 4])).times(rng.randint(1, 32))
        for tokens in rng.choices(range(1, 100), k=count)
    ]


def test_a_shape_grows_item_by_item() -> None:
    """The longest input pads all, the longest output counts the steps, outputs add up."""
    shape = Shape.single(5, 7, 4).plus(9, 2).plus(3, 11)
    assert shape == Shape(items=3, longest=9, steps=11, written=20, beam_size=4)
    assert shape.padded == 27


def test_equal_items_are_multiplied() -> None:
    """`times` equals adding the same item again and again."""
    assert Shape.single(5, 7, 2).times(3) == Shape.single(5, 7, 2).plus(5, 7).plus(5, 7)


def test_seconds_are_the_sum_of_five_parts() -> None:
    """0.01 fixed, 27 padded tokens, 11 steps, 4 beams of 20 outputs, those times steps."""
    shape = Shape(items=3, longest=9, steps=11, written=20, beam_size=4)
    assert seconds_of(PRIOR, shape) == pytest.approx(0.01 + 0.027 + 0.022 + 0.04)
    attentive = replace(PRIOR, attention=0.001)
    assert seconds_of(attentive, shape) == pytest.approx(0.099 + 0.001 * 4 * 20 * 11)


def test_long_outputs_are_learned_to_cost_more_than_their_tokens() -> None:
    """A machine on which each token costs more in a long output is not judged by its short ones."""
    truth = replace(TRUTH, attention=0.000_01)
    model = CostModel(PRIOR)
    for at, shape in enumerate(shapes(3, 400)):
        model.observe(shape, seconds_of(truth, shape), float(at))
    for output in (10, 40, 90):
        shape = Shape.single(output, output, 4).times(16)
        assert model.predict(shape) == pytest.approx(seconds_of(truth, shape), rel=0.15)


@given(SHAPES)
def test_the_first_prediction_is_the_prior(shape: Shape) -> None:
    """Before anything was measured the prior is believed."""
    assert CostModel(PRIOR).predict(shape) == seconds_of(PRIOR, shape)


def test_confirmed_predictions_change_nothing() -> None:
    """A model that is right stays as it is, and its error is 0."""
    model = CostModel(PRIOR)
    for number, shape in enumerate(shapes(1, 40)):
        model.observe(shape, seconds_of(PRIOR, shape), number * 0.1)
    assert astuple(model.coefficients) == pytest.approx(astuple(PRIOR), rel=1e-6)
    assert model.error_ratio == pytest.approx(0, abs=1e-6)
    assert model.observations == 40


def test_the_truth_is_found_within_a_hundred_batches() -> None:
    """From a prior of wrong proportions, predictions come within a tenth of the measurements."""
    model = CostModel(PRIOR)
    for number, shape in enumerate(shapes(2, 100)):
        model.observe(shape, seconds_of(TRUTH, shape), number * 0.1)
    errors = [abs(model.predict(shape) / seconds_of(TRUTH, shape) - 1) for shape in shapes(3, 99)]
    assert statistics.median(errors) < 0.05
    assert max(errors) < 0.2


@pytest.mark.parametrize("factor", [0.05, 0.2, 5.0, 20.0])
def test_a_prior_wrong_by_a_factor_is_overcome(factor: float) -> None:
    """Too slow or too fast alike: after a hundred batches it weighs next to nothing."""
    truth = Coefficients(*(factor * value for value in astuple(PRIOR)))
    model = CostModel(PRIOR)
    for number, shape in enumerate(shapes(6, 100)):
        model.observe(shape, seconds_of(truth, shape), number * 0.1)
    for shape in shapes(7, 20):
        assert model.predict(shape) == pytest.approx(seconds_of(truth, shape), rel=0.1)


@settings(deadline=None)
@given(st.lists(st.tuples(SHAPES, st.floats(1e-6, 100)), min_size=1, max_size=30))
def test_no_coefficient_is_ever_negative(measured: list[tuple[Shape, float]]) -> None:
    """Whatever is measured, more work never costs less."""
    model = CostModel(PRIOR)
    for number, (shape, seconds) in enumerate(measured):
        model.observe(shape, seconds, float(number))
        assert min(astuple(model.coefficients)) >= 0
        assert model.predict(shape) > 0


def test_one_sleep_of_the_process_is_not_believed() -> None:
    """An hour counts as five times the prediction, like anything longer than that."""
    shape = Shape.single(10, 10, 1)
    hour, five_times = CostModel(PRIOR), CostModel(PRIOR)
    hour.observe(shape, 3600.0, 0.0)
    five_times.observe(shape, 5 * seconds_of(PRIOR, shape), 0.0)
    assert hour.coefficients == five_times.coefficients
    assert hour.predict(shape) > seconds_of(PRIOR, shape)


def test_the_error_remembers_the_recent_past() -> None:
    """The first error counts whole, each later one a twentieth."""
    shape = Shape.single(10, 10, 1)
    right = seconds_of(PRIOR, shape)
    model = CostModel(PRIOR)
    model.observe(shape, right / 2, 0.0)
    assert model.error_ratio == pytest.approx(1.0)
    now = model.predict(shape)
    model.observe(shape, now / 3, 0.0)
    assert model.error_ratio == pytest.approx(0.95 * 1.0 + 0.05 * 2.0)


def test_after_eight_batches_every_eighth_is_fitted() -> None:
    """Fitting costs more than a short batch, so it does not follow each of them."""
    model = CostModel(PRIOR)
    fitted = []
    for number, shape in enumerate(shapes(4, 24), start=1):
        before = model.coefficients
        model.observe(shape, seconds_of(TRUTH, shape), 0.0)
        if model.coefficients is not before:
            fitted.append(number)
    assert fitted == [1, 2, 3, 4, 5, 6, 7, 8, 16, 24]


def test_old_measurements_fade_until_the_prior_is_believed_again() -> None:
    """After an hour of silence, what a bad hour had measured is gone."""
    model = CostModel(PRIOR)
    shape = Shape.single(10, 10, 1)
    for _ in range(50):
        model.observe(shape, 20 * seconds_of(PRIOR, shape), 1_000.0)
    slow = model.predict(shape)
    model.fade(1_010.0)
    assert model.predict(shape) == slow > 10 * seconds_of(PRIOR, shape)
    model.fade(1_010.1)
    assert model.predict(shape) != slow
    model.fade(1_010.1 + 3_600)
    assert model.predict(shape) == pytest.approx(seconds_of(PRIOR, shape), rel=0.01)


def test_nothing_fades_before_anything_was_measured() -> None:
    """A new model is not fitted just because the clock shows a large number."""
    model = CostModel(PRIOR)
    model.fade(1e9)
    assert model.coefficients is PRIOR


def test_a_prior_is_fitted_to_what_start_up_measured() -> None:
    """A machine ten times slower than the default is recognised from four batches."""
    shape = Coefficients(*(value / 10 for value in astuple(TRUTH)))
    measured = [(each, seconds_of(TRUTH, each)) for each in shapes(5, 4)]
    assert astuple(fit_prior(measured, shape)) == pytest.approx(astuple(TRUTH), rel=1e-6)


def test_without_measurements_the_given_proportions_are_the_prior() -> None:
    """Nothing measured, nothing changed."""
    assert fit_prior([], PRIOR) is PRIOR


def test_a_new_model_has_no_error() -> None:
    """Nothing was predicted yet."""
    assert CostModel(PRIOR).error_ratio == 0.0


def test_newer_batches_count_more() -> None:
    """After a hundred batches at another speed, the new speed is believed."""
    shape = Shape.single(10, 10, 1)
    right = seconds_of(PRIOR, shape)
    model = CostModel(PRIOR)
    for _ in range(100):
        model.observe(shape, 4 * right, 0.0)
    assert model.predict(shape) == pytest.approx(4 * right, rel=0.1)
    for _ in range(64):
        model.observe(shape, 2 * right, 0.0)
    assert 2 * right < model.predict(shape) < 2.9 * right


def test_a_minute_counts_as_much_as_a_hundred_batches() -> None:
    """Of eight slow batches a minute ago and eight fast ones now, the fast are believed."""
    shape = Shape.single(10, 10, 1)
    right = seconds_of(PRIOR, shape)
    fresh, stale = CostModel(PRIOR), CostModel(PRIOR)
    for now, model in ((120.0, fresh), (0.0, stale)):
        for _ in range(8):
            model.observe(shape, 4 * right, now)
        for _ in range(8):
            model.observe(shape, right, 120.0)
    assert right <= stale.predict(shape) < fresh.predict(shape)


def test_a_prior_is_scaled_by_the_median_of_what_was_measured() -> None:
    """One measurement that was disturbed does not make the machine look slow."""
    each = Shape.single(10, 10, 1)
    measured = [(each, factor * seconds_of(PRIOR, each)) for factor in (2.0, 2.0, 2.0, 50.0)]
    fitted = fit_prior(measured, PRIOR)
    assert seconds_of(fitted, each) < 6 * seconds_of(PRIOR, each)
    other = Shape.single(3, 90, 4)
    assert 1.5 * seconds_of(PRIOR, other) < seconds_of(fitted, other)


@pytest.mark.parametrize(
    ("fixed", "step"), [(0.013, 0.0), (0.0, 0.0031), (0.007, 0.0011), (0.0, 0.0)]
)
def test_a_batch_is_saturated_at_the_count_that_saturates_it(fixed: float, step: float) -> None:
    """With so many equal items it is, with one less it is not, unless those are the few allowed."""
    model = CostModel(Coefficients(fixed, input_token=0.0003, step=step, beam_token=0.0001))
    single = Shape.single(tokens=20, output=17, beam_size=4)
    count = int(model.saturating(single))
    assert model.saturated(single.times(count))
    assert not model.saturated(single.times(count - 1))
    assert (count == FEW) == (fixed == step == 0.0)


def test_nothing_saturates_a_batch_whose_items_cost_nothing() -> None:
    """Where all of a batch's seconds are shared, one more item always pays."""
    model = CostModel(Coefficients(fixed=0.1, input_token=0.0, step=0.0, beam_token=0.0))
    assert model.saturating(Shape.single(tokens=20, output=17, beam_size=4)) == math.inf
