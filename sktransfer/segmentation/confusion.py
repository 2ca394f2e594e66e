"""Counts of pixels, true label against predicted one, and the scores that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Confusion", "count_pixels"]


@dataclass(frozen=True, eq=False)
class Confusion:
    """Counts of pixels, summed over as many images as one likes.

    Parameters
    ----------
    counts : ndarray of shape (n_classes, n_classes)
        Entry (i, j) counts pixels of true class i that were predicted as class j.

    Examples
    --------
    >>> true, predicted = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1])
    >>> Confusion(count_pixels(true, predicted, 4)).iou().round(2).tolist()
    [0.5, 0.33, 0.0, nan]
    """

    counts: NDArray[np.int64]

    def iou(self) -> NDArray[np.float64]:
        """Compute intersection over union of each class; NaN if neither side has a pixel of it."""
        return _ratio(self._hits, self._true + self._predicted - self._hits)

    def dice(self) -> NDArray[np.float64]:
        """Compute 2 * intersection / (true + predicted) of each class; NaN if both are empty."""
        return _ratio(2 * self._hits, self._true + self._predicted)

    def recall(self) -> NDArray[np.float64]:
        """Compute the part of each class's true pixels that is found; NaN if there are none."""
        return _ratio(self._hits, self._true)

    def accuracy(self) -> float:
        """Compute the part of all pixels that is right; NaN if there are none."""
        return float(_ratio(self._hits.sum()[None], self.counts.sum()[None])[0])

    @property
    def _hits(self) -> NDArray[np.generic]:
        return np.asarray(np.diagonal(self.counts))

    @property
    def _true(self) -> NDArray[np.generic]:
        return np.asarray(self.counts.sum(1))

    @property
    def _predicted(self) -> NDArray[Any]:
        return np.asarray(self.counts.sum(0))


def count_pixels(true: NDArray[Any], predicted: NDArray[Any], n_classes: int) -> NDArray[np.int64]:
    """Count pairs of codes, (n_classes, n_classes).

    Parameters
    ----------
    true, predicted : ndarray of int, of equal shapes
        Codes from 0 to `n_classes` - 1.
    n_classes : int
        Number of classes.
    """
    pairs = true.astype(np.int64) * n_classes + predicted
    return np.bincount(pairs.ravel(), minlength=n_classes**2).reshape(n_classes, n_classes)


def _ratio(above: NDArray[Any], below: NDArray[Any]) -> NDArray[np.float64]:
    ratio = np.full(len(below), np.nan)
    np.divide(above, below, out=ratio, where=below > 0)
    return ratio
