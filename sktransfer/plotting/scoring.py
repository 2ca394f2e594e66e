"""What Displays score by: folds, and the name of a score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold, check_cv
from sklearn.utils.multiclass import type_of_target

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

__all__ = ["folds_of", "is_classification", "name_of_score"]


def is_classification(y: ArrayLike) -> bool:
    """Tell classes from continuous values."""
    return str(type_of_target(y)) in ("binary", "multiclass")


def folds_of(
    cv: int | Any, y: NDArray[np.generic], random_state: int | None
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """List the rows of training and test of each fold.

    Parameters
    ----------
    cv : int or splitter
        An int gives that many shuffled folds, stratified for classes.
    y : ndarray of shape (n_images,)
        Labels or values.
    random_state : int or None
        Seed of the folds.
    """
    if isinstance(cv, int):
        kind = StratifiedKFold if is_classification(y) else KFold
        cv = kind(cv, shuffle=True, random_state=random_state)
    splitter = check_cv(cv, y, classifier=is_classification(y))
    return list(splitter.split(np.zeros(len(y)), y))


def name_of_score(scoring: str | Callable[..., float] | None, y: ArrayLike) -> str:
    """Name a score for an axis.

    Examples
    --------
    >>> name_of_score(None, [0, 1]), name_of_score("balanced_accuracy", [0, 1])
    ('Accuracy', 'Balanced accuracy')
    """
    if scoring is None:
        return "Accuracy" if is_classification(y) else "R²"
    if isinstance(scoring, str):
        return scoring.replace("_", " ").capitalize()
    return "Score"
