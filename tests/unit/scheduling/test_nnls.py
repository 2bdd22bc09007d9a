"""The exact solver for non-negative least squares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khulasa_server.scheduling.nnls import solve_nonnegative

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS = st.lists(
    st.tuples(*[st.integers(0, 50)] * 4, st.integers(-20, 100)), min_size=1, max_size=12
)


def normal(rows: Sequence[tuple[float, ...]]) -> tuple[np.ndarray, np.ndarray]:
    """Gram matrix and moments of rows (features…, target)."""
    table = np.array(rows, dtype=float)
    features, target = table[:, :-1], table[:, -1]
    return features.T @ features, features.T @ target


@settings(deadline=None)
@given(ROWS)
def test_no_direction_leads_further_down(rows: list[tuple[int, ...]]) -> None:
    """The solution fulfils the conditions of Karush, Kuhn and Tucker, so it is the optimum."""
    gram, moment = normal(rows)
    solution = solve_nonnegative(gram, moment)
    slope = gram @ solution - moment
    tolerance = 1e-5 * max(1.0, float(np.abs(moment).max()), float(np.abs(gram).max()))
    assert (solution >= 0).all()
    assert (slope >= -tolerance).all()
    assert np.abs(slope * solution).max() <= tolerance * max(1.0, float(solution.max()))


def test_positive_coefficients_are_found_exactly() -> None:
    """Where least squares is positive already, it is the answer."""
    rows = [(1, x, y, x * y, 3 + 2 * x + 5 * y + 7 * x * y) for x in range(4) for y in range(4)]
    assert solve_nonnegative(*normal(rows)) == pytest.approx([3, 2, 5, 7])


def test_negative_coefficients_become_zero_and_the_others_make_up() -> None:
    """With y = 10 - x, the best constant is the mean of y: it is not just the clipped solution."""
    rows = [(1, x, 10 - x) for x in (0, 2, 4)]
    solution = solve_nonnegative(*normal(rows))
    assert solution == pytest.approx([8, 0])


def test_without_anything_to_gain_the_answer_is_zero() -> None:
    """Only negative targets: no positive coefficient helps."""
    assert list(solve_nonnegative(*normal([(1, 2, -3), (2, 1, -4)]))) == [0.0, 0.0]


def test_scale_of_a_feature_does_not_matter() -> None:
    """Microseconds beside thousands of tokens are found as exactly."""
    rows = [(1, x * 1e6, 2 + x * 3) for x in range(5)]
    assert solve_nonnegative(*normal(rows)) == pytest.approx([2, 3e-6])


def test_equal_features_share_without_failing() -> None:
    """Two identical columns have no unique answer; any sum that fits is one."""
    solution = solve_nonnegative(*normal([(1, 1, 4), (2, 2, 8)]))
    assert solution.sum() == pytest.approx(4)
    assert (solution >= 0).all()
