"""Labels and folds of a comparison: checked once, and the same for every candidate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, check_cv
from sklearn.utils.validation import column_or_1d

from sktransfer.labels import check_lengths

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["make_folds"]


def make_folds(
    cv: int | Any, labels: NDArray[np.generic], groups: ArrayLike | None, random_state: int | None
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Split the rows once, so that also a splitter without a seed gives all candidates the same.

    Parameters
    ----------
    cv : int, splitter or iterable of (train, test)
        An int gives that many shuffled, stratified folds.
    labels : ndarray of shape (n_images,)
    groups : array-like of shape (n_images,) or None
        Images of one group are never in both parts of a fold, if `cv` is an int or a splitter that
        knows of groups.
    random_state : int or None
        Shuffles, if `cv` is an int.

    Returns
    -------
    list of (train, test)
        Each an array of rows.

    Raises
    ------
    ValueError
        If the smallest class has fewer images, or fewer groups hold it, than there are folds.

    Examples
    --------
    >>> folds = make_folds(2, np.array([0, 0, 1, 1]), None, 0)
    >>> [test.tolist() for _, test in folds]
    [[1, 2], [0, 3]]
    """
    if isinstance(cv, int) and not isinstance(cv, bool):
        _check_enough(cv, labels, groups)
        kind = StratifiedKFold if groups is None else StratifiedGroupKFold
        splitter = kind(n_splits=cv, shuffle=True, random_state=random_state)
    else:
        splitter = check_cv(cv, labels, classifier=True)
    rows = np.zeros(len(labels))
    return [(np.asarray(a), np.asarray(b)) for a, b in splitter.split(rows, labels, groups)]


def _check_enough(n_folds: int, labels: NDArray[np.generic], groups: ArrayLike | None) -> None:
    if n_folds < 2:
        raise ValueError(f"cv={n_folds} must be at least 2 folds.")
    units, what = np.arange(len(labels)), "image(s)"
    if groups is not None:
        units, what = np.asarray(column_or_1d(groups)), "group(s) of images"
        check_lengths(y=labels, groups=units)
    classes = np.unique(labels)
    counts = np.array([len(np.unique(units[labels == label])) for label in classes])
    if counts.min() < n_folds:
        smallest = classes.tolist()[counts.argmin()]
        advice = f"Set cv={counts.min()} or lower, or add" if counts.min() > 1 else "Add"
        raise ValueError(
            f"cv={n_folds} asks for {n_folds} folds, but the class {smallest!r} has only "
            f"{counts.min()} {what}. {advice} images of this class."
        )
