"""Rows of images of any kind: some of them, or those of two sources together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.images.columns import column_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["join", "take"]


def take(X: Any, rows: NDArray[np.intp]) -> Any:
    """Take some rows.

    Parameters
    ----------
    X : images
        Images of any kind that :class:`~sktransfer.DeepFeatureTransformer` takes, or a table.
    rows : ndarray of shape (n_rows,), dtype int

    Examples
    --------
    >>> take(["a.png", "b.png", "c.png"], np.array([2, 0]))
    ['c.png', 'a.png']
    """
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    if isinstance(X, list | tuple):
        return [X[row] for row in rows]
    if hasattr(X, "to_pylist"):  # Arrow
        return X.take(rows)
    if hasattr(X, "shape"):
        return X[rows]
    from torch.utils.data import Subset

    return Subset(X, rows.tolist())


def join(first: object, second: object) -> object:
    """Put the rows of two sources one after the other.

    Returns
    -------
    ndarray or list
        An array if both are arrays of images of one shape and dtype, otherwise a list.

    Examples
    --------
    >>> join(np.zeros((2, 8, 8)), np.ones((3, 8, 8))).shape
    (5, 8, 8)
    >>> join(["a.png"], np.array(["b.png"], dtype=object))
    ['a.png', 'b.png']
    """
    if (
        isinstance(first, np.ndarray)
        and isinstance(second, np.ndarray)
        and first.shape[1:] == second.shape[1:]
        and first.dtype == second.dtype
    ):
        return np.concatenate([first, second])
    return [X[row] for X in (_by_position(first), _by_position(second)) for row in range(len(X))]


def _by_position(X: object) -> Any:
    values = column_values(X)
    is_column = isinstance(values, np.ndarray) and values.shape[1:] == (1,)
    return values[:, 0] if is_column else values
