"""What a batch costs: a linear model of its shape, fitted while the server runs."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import numpy as np

from khulasa_server.scheduling.nnls import solve_nonnegative
from khulasa_server.scheduling.types import Coefficients

if TYPE_CHECKING:
    from collections.abc import Sequence

    from khulasa_server.scheduling.nnls import Vector

WINDOW = 128
"""Measurements kept."""
FORGETTING = 0.99
"""Weight of a measurement after one more has come: about 100 batches count."""
FORGETTING_SECONDS = 60.0
"""Time constant of forgetting: measurements from a bad hour must not refuse callers for ever."""
STALE_SECONDS = 10.0
"""Silence after which measurements fade without new ones."""
PRIOR_WEIGHT = 2.0
"""Measurements that the prior counts for."""
CLIP = 5.0
"""A measurement counts as at most this multiple of its prediction: the process may have slept."""
REFIT_EVERY = 8
"""Batches between fits, once the first eight have each had theirs."""
LEAST_SECONDS = 1e-6
"""A batch counts as at least this long: clocks are not finer."""
ERROR_MEMORY = 0.95
"""Part of the error that comes from earlier batches."""

LEAST_SHARED = 0.1
"""Part of a batch's seconds that its items share, below which it grows no more: all the others
together could not gain more than that, and whoever is in it would wait for them."""
FEW = 8
"""Items that a batch may have in any case: a batch of one tells nothing of what two would share."""

_Features = tuple[float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a batch's cost depends on.

    Args:
        items: inputs.
        longest: input tokens of the longest one.
        steps: expected output tokens of the longest output.
        written: expected output tokens of all outputs.
        beam_size: beams of each.
    """

    items: int
    longest: int
    steps: int
    written: int
    beam_size: int

    @classmethod
    def single(cls, tokens: int, output: int, beam_size: int) -> Shape:
        """Of an item alone."""
        return cls(1, tokens, output, output, beam_size)

    @property
    def padded(self) -> int:
        """Input tokens, padding included."""
        return self.items * self.longest

    @property
    def rows(self) -> int:
        """Beams of all items: what a decoding step works on."""
        return self.items * self.beam_size

    @property
    def tokens(self) -> int:
        """Expected output tokens over all beams."""
        return self.beam_size * self.written

    def plus(self, tokens: int, output: int) -> Shape:
        """With one item more."""
        return Shape(
            self.items + 1,
            max(self.longest, tokens),
            max(self.steps, output),
            self.written + output,
            self.beam_size,
        )

    def times(self, count: int) -> Shape:
        """The same items `count` times."""
        return Shape(
            self.items * count, self.longest, self.steps, self.written * count, self.beam_size
        )


def _features(shape: Shape) -> _Features:
    return (1.0, shape.padded, shape.steps, shape.tokens, shape.tokens * shape.steps)


_PRIOR_SHAPES = tuple(
    Shape.single(tokens, tokens, beam).times(items)
    for tokens, items, beam in ((4, 1, 1), (32, 1, 4), (32, 16, 4), (128, 4, 4), (256, 1, 1))
)
_PRIOR_ROWS = np.array([_features(shape) for shape in _PRIOR_SHAPES])


def seconds_of(coefficients: Coefficients, shape: Shape) -> float:
    """Predicted run time of a batch in seconds."""
    return (
        coefficients.fixed
        + coefficients.input_token * shape.padded
        + coefficients.step * shape.steps
        + coefficients.beam_token * shape.tokens
        + coefficients.attention * shape.tokens * shape.steps
    )


class CostModel:
    """Predicts the seconds of a batch.

    Errors count relative to the seconds of a batch, so that small batches matter as much as large
    ones. Features are the expected output tokens, not the measured ones, at fitting as at
    predicting: what the expectation misses then ends up in the coefficients instead of in every
    prediction. The prior enters as measurements of typical batches. Its proportions are always
    believed a little; its level follows the machine, so that shapes that were never run are
    judged by the speed of those that were.

    Args:
        prior: coefficients believed before anything was measured.
    """

    def __init__(self, prior: Coefficients) -> None:
        self.coefficients = prior
        self.error_ratio = 0.0
        self.observations = 0
        self._measured: deque[tuple[_Features, float, float]] = deque(maxlen=WINDOW)
        self._faded_at = 0.0
        self._prior = np.array(astuple(prior))

    def predict(self, shape: Shape) -> float:
        """Seconds that a batch of this shape takes."""
        return seconds_of(self.coefficients, shape)

    def saturated(self, shape: Shape) -> bool:
        """Whether a batch is so large that more items would hardly make each of them cheaper."""
        return shape.items >= FEW and self._shared(shape) < LEAST_SHARED * self.predict(shape)

    def saturating(self, single: Shape) -> float:
        """Items equal to this one that saturate a batch; infinite where one more costs nothing."""
        each = self.predict(single.times(2)) - self.predict(single)
        if each <= 0.0:
            return math.inf
        shared = self._shared(single)
        return max(FEW, 1 + math.floor((shared / LEAST_SHARED - shared) / each))

    def _shared(self, shape: Shape) -> float:
        """The part of a batch's seconds that does not grow with its number of equal items."""
        return self.coefficients.fixed + self.coefficients.step * shape.steps

    def observe(self, shape: Shape, seconds: float, now: float) -> None:
        """Learn that a batch of this shape took `seconds`, ended at `now`."""
        error = abs(self.predict(shape) - seconds) / max(seconds, LEAST_SECONDS)
        memory = ERROR_MEMORY if self.observations else 0.0
        self.error_ratio = memory * self.error_ratio + (1 - memory) * error
        self._measured.append((_features(shape), max(seconds, LEAST_SECONDS), now))
        self._faded_at = now
        self.observations += 1
        if self.observations <= REFIT_EVERY or self.observations % REFIT_EVERY == 0:
            self._fit(now)

    def fade(self, now: float) -> None:
        """Believe less in what was measured long ago.

        If slow batches made every request look impossible, none would run that could show the
        opposite: only time can.
        """
        if self._measured and now - self._faded_at > STALE_SECONDS:
            self._faded_at = now
            self._fit(now)

    def _fit(self, now: float) -> None:
        features, seconds, times = (
            np.array(column, dtype=np.float64) for column in zip(*self._measured, strict=True)
        )
        newest_first = np.arange(len(times))[::-1]
        ages = np.maximum(0.0, now - times)
        weights: Vector = FORGETTING**newest_first * np.exp(-ages / FORGETTING_SECONDS)
        rows = np.vstack([_PRIOR_ROWS, features])
        trust = np.concatenate(
            [np.full(len(_PRIOR_ROWS), PRIOR_WEIGHT / len(_PRIOR_ROWS)), weights]
        )
        predicted = rows @ np.array(astuple(self.coefficients))
        believed: Vector = np.minimum(seconds, CLIP * predicted[len(_PRIOR_ROWS) :])
        level = _level(believed / (features @ self._prior), weights)
        targets = np.concatenate([level * (_PRIOR_ROWS @ self._prior), believed])
        # Relative to the larger of the two: a row that is still predicted far too low, or that
        # was measured far too low once, must not outweigh all the others.
        scaled = (rows.T * (trust / np.maximum(predicted, targets) ** 2)).T
        solution = solve_nonnegative(rows.T @ scaled, targets @ scaled)
        self.coefficients = Coefficients(*(float(value) for value in solution))


def fit_prior(measured: Sequence[tuple[Shape, float]], shape: Coefficients) -> Coefficients:
    """Coefficients from a few batches timed at start-up.

    Args:
        measured: shapes and seconds; what was computed, so real output tokens.
        shape: coefficients in about the right proportion; only their ratios matter.
    """
    factors = sorted(seconds / seconds_of(shape, each) for each, seconds in measured)
    if not factors:
        return shape
    middle = factors[len(factors) // 2]
    scaled = Coefficients(*(middle * value for value in astuple(shape)))
    model = CostModel(scaled)
    for each, seconds in measured:
        model.observe(each, seconds, 0.0)
    return model.coefficients


def _level(ratios: Vector, weights: Vector) -> float:
    """How many times slower than the prior the machine is: the median, drawn towards 1."""
    order = np.argsort(ratios)
    below = np.cumsum(weights[order])
    median = ratios[order][np.searchsorted(below, below[-1] / 2)]
    return float(median ** (below[-1] / (below[-1] + PRIOR_WEIGHT)))
