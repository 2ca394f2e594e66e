"""Labels and weights of rows: checked, and the target that suits labels."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from sktransfer.labels import as_label_array, refuse_missing_labels, refuse_mixed_labels
from sktransfer.training.targets.classes import BinaryTarget, ClassTarget, MulticlassTarget
from sktransfer.training.targets.multilabel import MultilabelTarget

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "check_labels",
    "class_target",
    "class_weights",
    "refuse_missing_y",
    "row_weights",
]


def class_target(
    y: NDArray[np.generic], classes: object = None, label_smoothing: float = 0.0
) -> ClassTarget:
    """Return the target that suits labels: of two classes, of more, or several labels a row.

    Parameters
    ----------
    y : ndarray of shape (n_rows,), or (n_rows, n_labels) for a matrix of 0 and 1
        Labels.
    classes : array-like of shape (n_classes,), optional
        All labels there are; None takes those of `y`.
    label_smoothing : float in [0, 1), default=0.0
        See `ClassTarget`.

    Raises
    ------
    ValueError
        If there is one class only.
    """
    if y.ndim == 2:
        return MultilabelTarget(np.arange(y.shape[1]), y.dtype, label_smoothing)
    found = np.unique(y if classes is None else as_label_array(classes))
    if len(found) < 2:
        raise ValueError(
            f"y holds one class only, {found.tolist()}, among the rows whose sample_weight is "
            "not zero. A classifier needs rows of at least two classes."
        )
    kind = BinaryTarget if len(found) == 2 else MulticlassTarget
    return kind(found, found.dtype, label_smoothing)


def refuse_missing_y(y: object, name: str) -> None:
    """Refuse None, as scikit-learn does.

    Raises
    ------
    ValueError
        If `y` is None.
    """
    if y is None:
        raise ValueError(
            f"This {name} estimator requires y to be passed, but the target y is None."
        )


def check_labels(y: object) -> NDArray[np.generic]:
    """Check labels: one axis, or a matrix of 0 and 1 with a column for each of several labels.

    Raises
    ------
    ValueError
        If they are continuous, missing, or of another shape.
    """
    y = as_label_array(y)
    refuse_missing_labels(y)
    refuse_mixed_labels(y)
    with np.errstate(invalid="ignore"):  # of infinity, before it is refused
        kind = type_of_target(y, input_name="y", raise_unknown=True)
    if kind == "multilabel-indicator":
        flags: NDArray[np.generic] = check_array(
            y, dtype=None, input_name="y", ensure_min_features=2
        )
        return flags
    check_classification_targets(y)
    return _as_column(y)


def row_weights(sample_weight: object, n_rows: int) -> NDArray[np.float64]:
    """Check weights of rows; None is one for each.

    Raises
    ------
    ValueError
        If one is negative, all are zero, or there are more or fewer than rows.
    """
    if sample_weight is None:
        return np.ones(n_rows)
    weights: NDArray[np.float64] = check_array(
        sample_weight, dtype=np.float64, ensure_2d=False, input_name="sample_weight"
    )
    if weights.shape != (n_rows,):
        raise ValueError(
            f"sample_weight has the shape {weights.shape}, and there are {n_rows} rows. Pass one weight "
            "for each."
        )
    if (weights < 0).any():
        raise ValueError(
            f"Negative values in data passed to sample_weight: the least, {weights.min():g}, is in row "
            f"{weights.argmin()}. Weights are 0 or more."
        )
    if not weights.any():
        raise ValueError("sample_weight is zero for every row. Give at least one row a weight.")
    return weights


def class_weights(
    class_weight: object, target: ClassTarget, y: NDArray[np.generic], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute the factor that `class_weight` gives each row.

    Parameters
    ----------
    class_weight : None, "balanced" or dict
        "balanced" gives all classes the same total weight. In a dict, classes that are not named
        have the weight 1.
    target : ClassTarget
        The classes.
    y : ndarray of shape (n_rows,)
        Labels.
    weights : ndarray of shape (n_rows,)
        Weights of the rows.

    Raises
    ------
    ValueError
        If it is something else, names no class, or rows have several labels.
    """
    if class_weight is None:
        return np.ones(len(y))
    if isinstance(target, MultilabelTarget):
        raise ValueError(
            f"class_weight={class_weight!r} is not possible where rows have several labels. Pass "
            "None, and weight rows with sample_weight."
        )
    codes = target.codes(y)
    if isinstance(class_weight, str) and class_weight == "balanced":
        totals = np.bincount(codes, weights, minlength=len(target.classes))
        factors = weights.sum() / (len(target.classes) * np.where(totals > 0, totals, 1.0))
    elif isinstance(class_weight, dict):
        unknown = [label for label in class_weight if label not in target.classes.tolist()]
        if unknown:
            raise ValueError(
                f"class_weight names {unknown[0]!r}, which is not among the classes "
                f"{target.classes.tolist()}."
            )
        factors = np.array([class_weight.get(label, 1.0) for label in target.classes.tolist()])
    else:
        raise ValueError(
            f"class_weight={class_weight!r} is not possible. Choose None, 'balanced', or a dict "
            "from class to weight."
        )
    return np.asarray(factors[codes], np.float64)


def _as_column(labels: NDArray[np.generic]) -> NDArray[np.generic]:
    if labels.ndim == 2 and labels.shape[1] == 1:
        warnings.warn(
            "A column-vector y was passed when a 1d array was expected. Please change the shape of "
            "y to (n_samples,), for example using ravel().",
            DataConversionWarning,
            stacklevel=4,
        )
        labels = labels[:, 0]
    column: NDArray[np.generic] = column_or_1d(labels)
    return column
