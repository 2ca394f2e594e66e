"""Boundaries: whether outlines of predicted regions lie where the true ones do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.ndimage import distance_transform_edt

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["boundary_f", "match_boundaries"]

_TOLERANCE: Final = 0.0075  # of the image's diagonal


def match_boundaries(
    true: NDArray[np.generic],
    predicted: NDArray[np.generic],
    counted: NDArray[np.bool_],
    n_classes: int,
) -> NDArray[np.int64]:
    """Count, for each class, pixels of outlines and those with an outline of the other side nearby.

    Nearby is within 0.75 % of the image's diagonal, and at least one pixel [1]_.

    Parameters
    ----------
    true, predicted : ndarray of shape (height, width)
        Codes of classes.
    counted : ndarray of shape (height, width), dtype bool
        Pixels that count.
    n_classes : int
        Number of classes.

    Returns
    -------
    ndarray of shape (n_classes, 4)
        Pixels of the true outline, those of them that are found, pixels of the predicted outline,
        and those of them that are right.

    References
    ----------
    .. [1] Csurka, Larlus, Perronnin, "What is a good evaluation measure for semantic
       segmentation?", BMVC 2013, section 3.2.
    """
    tolerance = max(1.0, _TOLERANCE * math.hypot(*true.shape))
    counts = np.zeros((n_classes, 4), np.int64)
    for label in np.union1d(true[counted], predicted[counted]).tolist():
        one, other = (_outline(mask == label) & counted for mask in (true, predicted))
        near_one, near_other = _near(one, tolerance), _near(other, tolerance)
        counts[label] = one.sum(), (one & near_other).sum(), other.sum(), (other & near_one).sum()
    return counts


def boundary_f(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute the harmonic mean of precision and recall of each class's outline.

    It is NaN for a class without an outline on either side.

    Examples
    --------
    >>> boundary_f(np.array([[10, 5, 10, 5], [0, 0, 0, 0], [4, 0, 0, 0]])).tolist()
    [0.5, nan, 0.0]
    """
    n_true, found, n_predicted, right = counts.T.astype(np.float64)
    recall = found / np.maximum(n_true, 1)
    precision = right / np.maximum(n_predicted, 1)
    total = recall + precision
    scores = np.divide(2 * recall * precision, total, out=np.zeros_like(total), where=total > 0)
    scores[(n_true + n_predicted) == 0] = np.nan
    return np.asarray(scores)


def _outline(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark pixels of a region that have a neighbour outside; the image's border is no outline."""
    padded = np.pad(inside, 1, mode="edge")
    kept = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    outline: NDArray[np.bool_] = inside & ~kept
    return outline


def _near(outline: NDArray[np.bool_], tolerance: float) -> NDArray[np.bool_]:
    if not outline.any():
        return np.zeros_like(outline)
    near: NDArray[np.bool_] = distance_transform_edt(~outline) <= tolerance
    return near
