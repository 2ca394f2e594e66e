"""Labels: any container becomes one array, missing ones are refused, and folds hold every class."""

from __future__ import annotations

from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import StratifiedKFold
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d

from sktransfer.parameters import check_integer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "as_label_array",
    "check_class_labels",
    "check_labelled_features",
    "check_lengths",
    "is_missing",
    "is_unlabeled",
    "labelled_rows",
    "refuse_missing_labels",
    "refuse_mixed_labels",
    "stratified_folds",
]


def as_label_array(y: Any) -> NDArray[np.generic]:
    """Turn any container of labels into an array; a label stays what it was.

    Numbers among texts stay numbers, which NumPy would make texts of. Missing labels of pandas,
    polars and Arrow are None or NaN in an array of objects.

    Parameters
    ----------
    y : array-like of shape (n_rows,) or (n_rows, n_labels)
        A list, array, tensor, or column of pandas, polars or Arrow.

    Examples
    --------
    >>> import pandas as pd
    >>> as_label_array(pd.Series([3, 5], dtype="Int64"))
    array([3, 5])
    >>> as_label_array(["a", 1])
    array(['a', 1], dtype=object)
    """
    if hasattr(y, "to_pylist"):  # of Arrow
        y = _as_objects(y.to_pylist())
    elif hasattr(y, "dtype") and not isinstance(y.dtype, np.dtype):  # nullable, polars, torch
        as_list = next((name for name in ("to_list", "tolist") if hasattr(y, name)), None)
        y = _as_objects(getattr(y, as_list)() if as_list else list(y))
    elif isinstance(y, list | tuple) and len({isinstance(label, str) for label in y}) == 2:
        y = _as_objects(y)
    labels: NDArray[np.generic] = np.asarray(y)
    return _own_type(labels) if labels.dtype.kind == "O" and labels.ndim == 1 else labels


def is_missing(label: object) -> bool:
    """Tell whether a label is None, NaN, NaT or NA.

    Examples
    --------
    >>> is_missing(None), is_missing(float("nan")), is_missing("nan")
    (True, True, False)
    """
    if label is None:
        return True
    if isinstance(label, Number):
        return bool(label != label)  # NaN differs from itself
    return type(label).__name__ in ("NAType", "NaTType")


def is_unlabeled(labels: NDArray[np.generic], unlabeled: object) -> NDArray[np.bool_]:
    """Tell which labels are the one that says there is none.

    None, NaN and pandas' NA are one: which of them stands for a missing label is the container's
    choice, and not the user's.

    Examples
    --------
    >>> is_unlabeled(np.array([0.0, np.nan]), np.nan), is_unlabeled(np.array(["a", "b"]), -1)
    (array([False,  True]), array([False, False]))
    >>> is_unlabeled(np.array(["a", None], dtype=object), np.nan)
    array([False,  True])
    """
    if is_missing(unlabeled):
        if labels.dtype.kind not in "Of":
            return np.zeros(len(labels), dtype=bool)
        return np.array([is_missing(label) for label in labels], dtype=bool)
    if labels.dtype.kind == "O":
        return np.array([_same(label, unlabeled) for label in labels], dtype=bool)
    comparable = isinstance(unlabeled, str) == (labels.dtype.kind in "US")
    if not comparable:
        return np.zeros(len(labels), dtype=bool)
    return np.asarray(labels == unlabeled, dtype=bool)


def labelled_rows(
    y: ArrayLike, unlabeled: object, instead: str = ""
) -> tuple[NDArray[np.generic], NDArray[np.intp]]:
    """Return labels as an array, and the rows that have one.

    Raises
    ------
    ValueError
        If no row has a label; `instead` says what could be passed otherwise.

    Examples
    --------
    >>> labelled_rows([3, -1, 4], -1)
    (array([ 3, -1,  4]), array([0, 2]))
    """
    labels = column_or_1d(as_label_array(y), warn=True)
    labelled = np.flatnonzero(~is_unlabeled(labels, unlabeled))
    if not len(labelled):
        raise ValueError(
            f"y has no label: all {len(labels)} rows are unlabeled={unlabeled!r}. Pass the true labels of "
            f"some rows{f', or {instead}' if instead else ''}."
        )
    return labels, labelled


def refuse_missing_labels(labels: NDArray[np.generic]) -> None:
    """Refuse labels of which one is missing, or infinite.

    Raises
    ------
    ValueError
        Naming the first row without one.
    """
    if labels.dtype.kind == "f" and np.isinf(labels).any():
        raise ValueError(
            f"Input y contains infinity or a value too large for {labels.dtype!r}. Every row needs a "
            "label that is a number."
        )
    if labels.dtype.kind not in "Of" or labels.ndim != 1:
        return
    missing = [row for row, label in enumerate(labels.tolist()) if is_missing(label)]
    if missing:
        raise ValueError(
            f"Input y contains NaN: {len(missing)} of {len(labels)} rows have no label, the first is "
            f"row {missing[0]}. Every row needs a label; leave out the others."
        )


def refuse_mixed_labels(labels: NDArray[np.generic]) -> None:
    """Refuse text among labels of another kind, which have no order together.

    Raises
    ------
    ValueError
        Naming the first of both kinds.

    Examples
    --------
    >>> refuse_mixed_labels(as_label_array(["ant", "bee", 3]))
    Traceback (most recent call last):
    ValueError: y mixes text with other labels: row 0 is 'ant', and row 2 is 3. Make all of one kind, such as text.
    """
    if labels.dtype.kind != "O" or labels.ndim != 1:
        return
    is_text = [isinstance(label, str) for label in labels.tolist()]
    if any(is_text) and not all(is_text):
        text, other = is_text.index(True), is_text.index(False)
        raise ValueError(
            f"y mixes text with other labels: row {text} is {labels[text]!r}, and row {other} is "
            f"{labels[other]!r}. Make all of one kind, such as text."
        )


def check_lengths(**columns: Any) -> None:
    """Refuse columns of different lengths, whose names are those of the arguments; None is passed over.

    Raises
    ------
    ValueError
        Naming them with their lengths.
    TypeError
        If one has no length.

    Examples
    --------
    >>> check_lengths(X=["a.png", "b.png"], y=[1], groups=None)
    Traceback (most recent call last):
    ValueError: Found input variables with inconsistent numbers of samples: X has 2 and y 1. Pass as many of each.
    """
    present = {name: column for name, column in columns.items() if column is not None}
    try:
        check_consistent_length(*present.values())
    except ValueError:
        (first, n_first), *others = (
            (name, column.shape[0] if hasattr(column, "shape") else len(column))
            for name, column in present.items()
        )
        rest = ", ".join(f"{name} {n}" for name, n in others if n != n_first)
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: {first} has {n_first} and "
            f"{rest}. Pass as many of each."
        ) from None


def check_class_labels(X: object, y: ArrayLike) -> tuple[NDArray[np.generic], NDArray[np.intp]]:
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
    labels = column_or_1d(as_label_array(y))
    check_lengths(X=X, y=labels)
    refuse_missing_labels(labels)
    refuse_mixed_labels(labels)
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
    cv: int,
    codes: NDArray[np.intp],
    classes: NDArray[np.generic] | None = None,
    *,
    random_state: object = 0,
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
        label = smallest if classes is None else classes.tolist()[smallest]
        advice = f"Set cv={counts[smallest]}, or add" if counts[smallest] > 1 else "Add"
        raise ValueError(
            f"cv={cv} asks for {cv} folds, but class {label!r} has only {counts[smallest]} "
            f"image(s). {advice} images of this class."
        )
    return StratifiedKFold(n_splits=cv, shuffle=True, random_state=random_state)


def _as_objects(values: Any) -> NDArray[np.object_]:
    """Keep labels one by one, as NumPy would make texts of the numbers among texts."""
    if len(values) and isinstance(values[0], list | tuple):
        return np.array(values)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _own_type(labels: NDArray[np.generic]) -> NDArray[np.generic]:
    """Turn an object array of numbers of one type into an array of this type."""
    if len({type(label) for label in labels}) != 1:
        return labels
    own = np.array(labels.tolist())
    return own if own.dtype.kind in "biuf" else labels


def _same(label: object, unlabeled: object) -> bool:
    if is_missing(label):
        return False
    return isinstance(label, str) == isinstance(unlabeled, str) and bool(label == unlabeled)
