"""Labels: what choosing checks of y, and folds in which every class has images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import StratifiedKFold
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d

from sktransfer.parameters import check_integer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["check_class_labels", "check_labelled_features", "stratified_folds"]


def check_class_labels(X: Any, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Check labels of two or more classes, as many as there are images.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        Sorted.
    codes : ndarray of shape (n_images,), dtype intp
        Places in `classes`.

    Raises
    ------
    ValueError
        If the numbers differ, the labels are continuous, or there is a single class.

    Examples
    --------
    >>> check_class_labels(np.zeros((3, 2, 2)), ["bee", "ant", "bee"])
    (array(['ant', 'bee'], dtype='<U3'), array([1, 0, 1]))
    """
    labels = column_or_1d(y)
    check_consistent_length(X, labels)
    check_classification_targets(labels)
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"y holds a single class, {classes.tolist()[0]!r}. Pass labels of two or more."
        )
    return classes, codes


def check_labelled_features(
    features: ArrayLike, y: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Check features and their labels: float64, and codes from 0.

    Raises
    ------
    ValueError
        If the features are not finite and two-dimensional, or the labels cannot be used.
    """
    values: NDArray[np.float64] = check_array(
        features, dtype=np.float64, ensure_min_samples=2, input_name="features"
    )
    return values, check_class_labels(values, y)[1]


def stratified_folds(
    cv: int, codes: NDArray[np.intp], classes: NDArray[Any] | None = None, *, random_state: Any = 0
) -> StratifiedKFold:
    """Make shuffled, stratified folds, each of which has images of every class.

    Raises
    ------
    ValueError
        If the smallest class has fewer images than there are folds.

    Examples
    --------
    >>> stratified_folds(3, np.array([0, 0, 1, 1]))
    Traceback (most recent call last):
    ValueError: cv=3 asks for 3 folds, but class 0 has only 2 image(s). Set cv=2, or add images of this class.
    """
    cv = check_integer("cv", cv, 2, "folds")
    counts = np.bincount(codes)
    smallest = int(counts.argmin())
    if counts[smallest] < cv:
        label = smallest if classes is None else classes[smallest].item()
        advice = f"Set cv={counts[smallest]}, or add" if counts[smallest] > 1 else "Add"
        raise ValueError(
            f"cv={cv} asks for {cv} folds, but class {label!r} has only {counts[smallest]} "
            f"image(s). {advice} images of this class."
        )
    return StratifiedKFold(n_splits=cv, shuffle=True, random_state=random_state)
