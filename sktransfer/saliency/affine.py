"""Affine: the weights by which steps after the features add up to a decision, and a proof of them.

A scaler, a projection and a linear head are together one affine function of the features. Which steps
an estimator has does not matter: the weights are read off from what it gives for zero and for each unit
vector, and compared with what it gives for the images at hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["Affine", "NotAffine", "read_affine"]

_TOLERANCE = 1e-6  # of the largest term
_BLOCK = 2**22  # values of unit vectors that are evaluated together


class NotAffine(ValueError):  # noqa: N818 - it says what the function is
    """A function is no weighted sum of its inputs and a constant."""


class Affine(NamedTuple):
    """The function ``features @ weights + constants``."""

    weights: NDArray[np.float64]
    """Of shape (n_features, n_outputs)."""
    constants: NDArray[np.float64]
    """Of shape (n_outputs,)."""


def read_affine(
    function: Callable[[NDArray[np.float64]], NDArray[np.float64]], rows: NDArray[np.float64]
) -> Affine:
    """Read off the weights of an affine function.

    Parameters
    ----------
    function : callable
        From (n, n_features) to (n, n_outputs).
    rows : ndarray of shape (n_rows, n_features)
        At which it must be affine.

    Raises
    ------
    NotAffine
        If it is not, at `rows` or half way between them and zero.

    Examples
    --------
    >>> weights, constants = read_affine(lambda x: 2 * x[:, :1] - x[:, 1:] + 5, np.ones((1, 2)))
    >>> weights.tolist(), constants.tolist()
    ([[2.0], [-1.0]], [5.0])
    """
    n_features = rows.shape[1]
    points = np.vstack([rows, rows / 2, np.zeros((1, n_features))])
    expected = function(points)
    constants = expected[-1]
    at_rows, half_way = expected[: len(rows)], expected[len(rows) : -1]
    _check(half_way, (at_rows + constants) / 2, at_rows)  # before what takes longer
    weights = np.empty((n_features, len(constants)))
    step = max(1, _BLOCK // n_features)
    for start in range(0, n_features, step):
        stop = min(start + step, n_features)
        units = np.zeros((stop - start, n_features))
        units[np.arange(stop - start), np.arange(start, stop)] = 1.0
        weights[start:stop] = function(units) - constants
    _check(points @ weights + constants, expected, np.abs(points) @ np.abs(weights))
    return Affine(weights, constants)


def _check(given: object, expected: Any, terms: Any) -> None:
    largest = max(1.0, float(np.abs(terms).max()), float(np.abs(expected).max()))
    if not np.abs(given - expected).max() <= _TOLERANCE * largest:
        raise NotAffine("the steps after the features are no weighted sum of them and a constant")
