"""What a batch costs: a linear model of its shape, fitted while the server runs."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import numpy as np

from khulasa_server.scheduling.nnls import solve_nonnegative
from khulasa_server.scheduling.types import Coefficients

if TYPE_CHECKING:
    from collections.abc import Sequence

    from khulasa_server.scheduling.nnls import Vector

FORGETTING = 0.99
"""Weight of an observation after one more has come: about 100 batches count."""
FORGETTING_SECONDS = 60.0
"""Time constant of forgetting: measurements from a bad hour must not refuse callers for ever."""
STALE_SECONDS = 10.0
"""Silence after which measurements fade without new ones."""
PRIOR_WEIGHT = 4.0
"""Observations that the prior counts for."""
CLIP = 5.0
"""A measurement counts as at most this multiple of its prediction: the process may have slept."""
REFIT_EVERY = 8
"""Batches between fits, once the first eight have each had theirs."""
_ERROR_MEMORY = 0.95


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


_PRIOR_SHAPES = tuple(
    Shape.single(tokens, tokens, beam).times(items)
    for tokens, items, beam in ((4, 1, 1), (32, 1, 4), (32, 16, 4), (128, 4, 4), (256, 1, 1))
)


def seconds_of(coefficients: Coefficients, shape: Shape) -> float:
    """Predicted run time of a batch in seconds."""
    return (
        coefficients.fixed
        + coefficients.input_token * shape.padded
        + coefficients.step * shape.steps
        + coefficients.beam_token * shape.beam_size * shape.written
    )


class CostModel:
    """Predicts the seconds of a batch.

    Errors count relative to the measured time, so that small batches matter as much as large
    ones. Features are the expected output tokens, not the measured ones, at fitting as at
    predicting: what the expectation misses then ends up in the coefficients instead of in every
    prediction. The prior enters as observations of typical batches and never fades.

    Args:
        prior: coefficients believed before anything was measured.
    """

    def __init__(self, prior: Coefficients) -> None:
        self.coefficients = prior
        self.error_ratio = 0.0
        self.observations = 0
        self._observed_at: float | None = None
        self._gram = np.zeros((4, 4))
        self._moment = np.zeros(4)
        weight = PRIOR_WEIGHT / len(_PRIOR_SHAPES)
        self._prior_gram = np.zeros((4, 4))
        self._prior_moment = np.zeros(4)
        for shape in _PRIOR_SHAPES:
            row = _row(shape, seconds_of(prior, shape))
            self._prior_gram += weight * np.outer(row, row)
            self._prior_moment += weight * row

    def predict(self, shape: Shape) -> float:
        """Seconds that a batch of this shape takes."""
        return seconds_of(self.coefficients, shape)

    def observe(self, shape: Shape, seconds: float, now: float) -> None:
        """Learn that a batch of this shape took `seconds`, ended at `now`."""
        predicted = self.predict(shape)
        error = abs(predicted - seconds) / max(seconds, 1e-9)
        memory = _ERROR_MEMORY if self.observations else 0.0
        self.error_ratio = memory * self.error_ratio + (1 - memory) * error
        self._add(_row(shape, min(seconds, CLIP * predicted)), now)
        self.observations += 1
        if self.observations <= REFIT_EVERY or self.observations % REFIT_EVERY == 0:
            self._fit()

    def fade(self, now: float) -> None:
        """Believe less in what was measured long ago.

        If slow batches made every request look impossible, none would run that could show the
        opposite: only time can.
        """
        if self._observed_at is not None and now - self._observed_at > STALE_SECONDS:
            self._forget(now)
            self._fit()

    def _add(self, row: Vector, now: float) -> None:
        self._forget(now)
        self._gram = FORGETTING * self._gram + np.outer(row, row)
        self._moment = FORGETTING * self._moment + row

    def _forget(self, now: float) -> None:
        elapsed = 0.0 if self._observed_at is None else max(0.0, now - self._observed_at)
        kept = math.exp(-elapsed / FORGETTING_SECONDS)
        self._gram, self._moment = kept * self._gram, kept * self._moment
        self._observed_at = now

    def _fit(self) -> None:
        solution = solve_nonnegative(
            self._prior_gram + self._gram, self._prior_moment + self._moment
        )
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


def _row(shape: Shape, seconds: float) -> Vector:
    """Features divided by the measurement, so that the target is 1 and errors are relative."""
    features = (1.0, shape.padded, shape.steps, shape.beam_size * shape.written)
    row: Vector = np.array(features) / max(seconds, 1e-6)
    return row
