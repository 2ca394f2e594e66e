"""Nearest neighbours of vectors by the cosine, a row that is the vector itself left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.utils import gen_batches

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Neighbors", "nearest_others", "unit_length"]

_AT_ONCE = 1024  # rows whose cosines are held at a time


class Neighbors(NamedTuple):
    """The neighbours of some vectors, nearest first."""

    rows: NDArray[np.intp]
    """Rows of the neighbours, of shape (n_vectors, n_neighbors)."""
    cosines: NDArray[np.floating]
    """Cosines to them, of the same shape."""


def unit_length(X: NDArray[np.floating]) -> NDArray[np.floating]:
    """Divide each row by its length; rows of zeros stay.

    Examples
    --------
    >>> unit_length(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    lengths = np.linalg.norm(X, axis=1, keepdims=True)
    directions: NDArray[np.floating] = X / np.where(lengths > 0, lengths, 1)
    return directions


def nearest_others(
    X: NDArray[np.floating],
    rows: NDArray[np.floating],
    directions: NDArray[np.floating],
    n_neighbors: int,
) -> Neighbors:
    """Find the nearest rows of each vector by the cosine.

    Parameters
    ----------
    X : ndarray of shape (n_vectors, n_features)
        Vectors whose neighbours are looked for.
    rows : ndarray of shape (n_rows, n_features)
        Rows among which they are looked for.
    directions : ndarray of shape (n_rows, n_features)
        The same rows at unit length.
    n_neighbors : int
        Number of neighbours; one less than the rows at most. One row that equals the vector is not
        its neighbour.

    Examples
    --------
    >>> X = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    >>> nearest_others(X, X, X, 1).rows.tolist()
    [[1], [0], [1]]
    """
    n_kept = min(n_neighbors, len(rows) - 1)
    found, cosines = [], []
    for part in gen_batches(len(X), _AT_ONCE):
        similar = unit_length(X[part]) @ directions.T
        nearest = np.argpartition(-similar, min(n_kept, len(rows) - 1), axis=1)[:, : n_kept + 1]
        order = np.argsort(-np.take_along_axis(similar, nearest, 1), axis=1, kind="stable")
        nearest = np.take_along_axis(nearest, order, 1)
        itself = (rows[nearest] == X[part, None]).all(2)
        last = np.where(itself.any(1), itself.argmax(1), n_kept)
        kept = np.arange(n_kept + 1) != last[:, None]
        nearest = nearest[kept].reshape(len(nearest), n_kept)
        found.append(nearest)
        cosines.append(np.take_along_axis(similar, nearest, 1))
    return Neighbors(np.concatenate(found), np.concatenate(cosines))
