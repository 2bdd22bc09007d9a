"""Exact non-negative least squares for a handful of coefficients."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Vector = NDArray[np.floating[Any]]

_TOLERANCE = 1e-9


def solve_nonnegative(gram: Vector, moment: Vector) -> Vector:
    """The x >= 0 that minimizes x'Gx - 2b'x.

    The optimum is the unconstrained solution on the coefficients that are not 0 there. With n
    coefficients there are 2^n such sets, 31 non-empty ones here, so trying them all is exact and
    takes less than a millisecond; scipy's solver would add 100 MB to every image for it.

    Args:
        gram: G = sum of x x' over the observations, n by n.
        moment: b = sum of x y, of length n.
    """
    scale: Vector = np.sqrt(np.maximum(np.diag(gram), np.finfo(float).tiny))
    gram, moment = gram / np.outer(scale, scale), moment / scale
    best: Vector = np.zeros_like(moment)
    lowest = 0.0
    for candidate in _stationary_points(gram, moment):
        objective = float(candidate @ gram @ candidate - 2 * moment @ candidate)
        if objective < lowest:
            best, lowest = candidate, objective
    solution: Vector = best / scale
    return solution


def _stationary_points(gram: Vector, moment: Vector) -> Iterator[Vector]:
    """Feasible solutions on each set of free coefficients, the largest set first."""
    everything = range(len(moment))
    for size in reversed(range(1, len(moment) + 1)):
        for free in combinations(everything, size):
            candidate = _solve_on(gram, moment, free)
            if candidate.min() >= 0:
                yield candidate
                if size == len(moment):
                    return  # feasible and unconstrained: nothing can be lower


def _solve_on(gram: Vector, moment: Vector, free: tuple[int, ...]) -> Vector:
    index = np.array(free)
    part, *_ = np.linalg.lstsq(gram[np.ix_(index, index)], moment[index], rcond=_TOLERANCE)
    solution = np.zeros_like(moment)
    solution[index] = np.where(np.abs(part) < _TOLERANCE, 0.0, part)
    return solution
