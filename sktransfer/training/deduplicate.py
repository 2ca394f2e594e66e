"""Equal rows become one row with a weight, in an order that only their content decides.

So a weight of 2 is exactly the same as having the row twice, a weight of 0 the same as not having
it, and the order of the rows of ``X`` plays no part, as scikit-learn asks of sample weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xxhash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["merge_equal_rows"]


def merge_equal_rows(
    inputs: Sequence[NDArray[np.generic]],
    targets: NDArray[np.float32],
    weights: NDArray[np.float64],
    rows: NDArray[np.intp],
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Keep one of each set of rows with equal inputs and equal targets.

    Parameters
    ----------
    inputs : sequence of ndarray of shape (n_images, ...)
        Arrays that identify an image.
    targets : ndarray of shape (n_images, n_outputs), dtype float32
        Targets, which identify a row together with its image.
    weights : ndarray of shape (n_images,), dtype float64
        Rows of weight 0 are left out.
    rows : ndarray of shape (n_rows,), dtype intp
        Numbers of the rows.

    Returns
    -------
    rows : ndarray of shape (n_kept,), dtype intp
        The first of each set, ordered by content.
    weights : ndarray of shape (n_kept,), dtype float64
        Sum over each set.

    Examples
    --------
    >>> inputs, targets = np.array([[1], [2], [1]], np.uint8), np.zeros((3, 1), np.float32)
    >>> rows, weights = merge_equal_rows([inputs], targets, np.ones(3), np.arange(3))
    >>> sorted(weights.tolist())
    [1.0, 2.0]
    """
    first: dict[bytes, int] = {}
    total: dict[bytes, float] = {}
    for row in rows[weights[rows] > 0].tolist():
        digest = xxhash.xxh3_128(targets[row].tobytes())
        for array in inputs:
            digest.update(np.ascontiguousarray(array[row]).data)
        key = digest.digest()
        first.setdefault(key, row)
        total[key] = total.get(key, 0.0) + float(weights[row])
    keys = sorted(first)
    kept = np.array([first[key] for key in keys], np.intp)
    return kept, np.array([total[key] for key in keys], np.float64)
