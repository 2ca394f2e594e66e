"""Rows of images of any kind: some of them, two sources together, and the labelled ones apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.adaptation.domains import is_unlabeled

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["join", "split_target", "take"]


def take(X: Any, rows: NDArray[np.intp]) -> Any:
    """Take some rows.

    Parameters
    ----------
    X : images
        Of any kind that :class:`~sktransfer.DeepFeatureTransformer` takes, or a table.
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
    if hasattr(X, "shape"):
        return X[rows]
    from torch.utils.data import Subset

    return Subset(X, rows.tolist())


def join(first: Any, second: Any) -> Any:
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


def split_target(
    X: Any, y: Any, groups: Any, X_target: Any, unlabeled: Any
) -> tuple[Any, Any, Any, Any]:
    """Set rows apart whose label says that there is none.

    Parameters
    ----------
    X, y, groups : images, and array-like of shape (n_images,); `groups` may be None
    X_target : images or None
        Returned as they are if `unlabeled` is None.
    unlabeled : object or None
        The label.

    Returns
    -------
    X, y, groups, X_target
        Labelled rows, and the images of the others.

    Raises
    ------
    ValueError
        If both `X_target` and `unlabeled` are given, or no row has this label.

    Examples
    --------
    >>> split_target(["a.png", "b.png", "c.png"], [1, -1, 0], None, None, -1)
    (['a.png', 'c.png'], array([1, 0]), None, ['b.png'])
    """
    if unlabeled is None:
        return X, y, groups, X_target
    if X_target is not None:
        raise ValueError(
            f"X_target and unlabeled={unlabeled!r} are both given. Give the images of the target "
            "one way or the other."
        )
    labels = np.asarray(y)
    is_target = is_unlabeled(labels, unlabeled)
    if not is_target.any():
        raise ValueError(
            f"unlabeled={unlabeled!r} is the label of no row of y. Give the label that marks images "
            "of the target, or None if there are none."
        )
    labelled, target = np.flatnonzero(~is_target), np.flatnonzero(is_target)
    groups = None if groups is None else np.asarray(groups)[labelled]
    return take(X, labelled), labels[labelled], groups, take(X, target)


def _by_position(X: Any) -> Any:
    if hasattr(X, "columns"):  # images in the one column of a table
        X = X.iloc[:, 0]
    return X.to_numpy() if hasattr(X, "to_numpy") else X
