"""Targets: from what users call y to the numbers a network is trained on, and back."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, column_or_1d

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "LabelCoder",
    "ValueScaler",
    "check_labels",
    "check_values",
    "class_weights",
    "refuse_missing_y",
    "row_weights",
]


@dataclass(frozen=True)
class LabelCoder:
    """Classes, in the order of the scores.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted labels; with several labels a row, their column numbers.
    kind : {"binary", "multiclass", "multilabel"}
        A binary problem has one score, for the second class.
    dtype : dtype
        Of the labels that were given.
    """

    classes: NDArray[Any]
    kind: str
    dtype: Any

    @classmethod
    def of(cls, y: NDArray[Any], classes: Any = None) -> LabelCoder:
        """Read the classes off the labels, or take those that are given.

        Raises
        ------
        ValueError
            If there is one class only.
        """
        if y.ndim == 2:
            return cls(np.arange(y.shape[1]), "multilabel", y.dtype)
        found = np.unique(y if classes is None else np.asarray(classes))
        if len(found) < 2:
            raise ValueError(
                f"y holds one class only, {found.tolist()}, among the rows whose sample_weight is "
                "not zero. A classifier needs rows of at least two classes."
            )
        return cls(found, "binary" if len(found) == 2 else "multiclass", found.dtype)

    @property
    def n_outputs(self) -> int:
        """Number of scores."""
        return 1 if self.kind == "binary" else len(self.classes)

    def encode(self, y: NDArray[Any]) -> NDArray[np.float32]:
        """Map labels to probabilities, (n_rows, n_outputs).

        Raises
        ------
        ValueError
            If a label is not among the classes.
        """
        if self.kind == "multilabel":
            if y.ndim != 2 or y.shape[1] != len(self.classes):
                raise ValueError(
                    f"y has the shape {y.shape}, while there are {len(self.classes)} labels. Pass "
                    f"a matrix of 0 and 1 with {len(self.classes)} columns."
                )
            return y.astype(np.float32)
        codes = self.codes(y)
        if self.kind == "binary":
            return codes[:, None].astype(np.float32)
        return np.eye(len(self.classes), dtype=np.float32)[codes]

    def codes(self, y: NDArray[Any]) -> NDArray[np.intp]:
        """Map labels to their places among the classes."""
        codes = np.searchsorted(self.classes, y).clip(0, len(self.classes) - 1)
        unknown = self.classes[codes] != y
        if np.any(unknown):
            raise ValueError(
                f"y holds {np.unique(y[unknown])[:3].tolist()}, which is not among the classes "
                f"{self.classes.tolist()} of the first call. Pass `classes` with all of them then."
            )
        return codes

    def probabilities(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map scores to probabilities (n_rows, n_classes); a NaN stays one."""
        if self.kind == "multiclass":
            exp: NDArray[np.float64] = np.exp(scores - scores.max(1, keepdims=True))
            shares: NDArray[np.float64] = exp / exp.sum(1, keepdims=True)
            return shares
        with np.errstate(over="ignore"):
            positive = 1 / (1 + np.exp(-scores))
        if self.kind == "multilabel":
            # A label is never certain: float64 would round large scores to 0 and 1.
            tiny = np.finfo(np.float64).eps
            return positive.clip(tiny, 1 - tiny)
        return np.hstack([1 - positive, positive])

    def decode(self, probabilities: NDArray[np.float64]) -> NDArray[Any]:
        """Map probabilities to the most probable label, or to all labels above one half."""
        if self.kind == "multilabel":
            flags: NDArray[Any] = (probabilities > 0.5).astype(self.dtype)
            return flags
        labels: NDArray[Any] = self.classes[probabilities.argmax(1)]
        return labels


@dataclass(frozen=True)
class ValueScaler:
    """Standardised targets, and the way back to the user's units.

    Parameters
    ----------
    mean, scale : ndarray of shape (n_targets,)
        Weighted mean and standard deviation; a target that is constant has the scale 1.
    one_axis : bool
        Whether y had one axis.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    one_axis: bool

    @classmethod
    def of(cls, y: NDArray[np.float64], weights: NDArray[np.float64]) -> ValueScaler:
        """Measure targets of shape (n_rows,) or (n_rows, n_targets)."""
        columns = y.reshape(len(y), -1)
        mean = np.average(columns, axis=0, weights=weights)
        scale = np.sqrt(np.average((columns - mean) ** 2, axis=0, weights=weights))
        tiny = 10 * np.finfo(np.float64).eps * np.abs(columns).max(axis=0)
        return cls(mean, np.where(scale <= tiny, 1.0, scale), y.ndim == 1)

    kind = "regression"

    @property
    def n_outputs(self) -> int:
        """Number of targets."""
        return len(self.mean)

    def encode(self, y: NDArray[np.float64]) -> NDArray[np.float32]:
        """Standardise.

        Raises
        ------
        ValueError
            If there are more or fewer targets than before.
        """
        columns = y.reshape(len(y), -1)
        if columns.shape[1] != self.n_outputs:
            raise ValueError(
                f"y has {columns.shape[1]} targets, while the first call had {self.n_outputs}."
            )
        return ((columns - self.mean) / self.scale).astype(np.float32)

    def decode(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return to the user's units."""
        values = scores * self.scale + self.mean
        return values[:, 0] if self.one_axis else values


def refuse_missing_y(y: Any, name: str) -> None:
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


def check_labels(y: Any) -> NDArray[Any]:
    """Check labels: one axis, or a matrix of 0 and 1 with a column for each of several labels.

    Raises
    ------
    ValueError
        If they are continuous, missing, or of another shape.
    """
    with np.errstate(invalid="ignore"):  # of infinity, before it is refused
        kind = type_of_target(y, input_name="y", raise_unknown=True)
    if kind == "multilabel-indicator":
        flags: NDArray[Any] = check_array(y, dtype=None, input_name="y", ensure_min_features=2)
        return flags
    check_classification_targets(y)
    labels = _as_column(y)
    if labels.dtype.kind == "O" and any(label is None or label != label for label in labels):
        raise ValueError("Input y contains NaN. Every row needs a label; leave out the others.")
    return labels


def check_values(y: Any) -> NDArray[np.float64]:
    """Check continuous targets of one or two axes.

    Raises
    ------
    ValueError
        If they hold NaN or infinity, or have another shape.
    """
    values: NDArray[np.float64] = check_array(
        y, dtype=np.float64, ensure_2d=False, input_name="y", ensure_min_samples=1
    )
    if values.ndim not in (1, 2):
        raise ValueError(
            f"y has the shape {values.shape}. Pass one target a row, (n,), or several, (n, k)."
        )
    return values


def row_weights(sample_weight: Any, n_rows: int) -> NDArray[np.float64]:
    """Check weights of rows; None is one for each.

    Raises
    ------
    ValueError
        If one is negative, all are zero, or there are more or fewer than rows.
    """
    if sample_weight is None:
        return np.ones(n_rows)
    placeholder = np.empty((n_rows, 1))
    weights: NDArray[np.float64] = _check_sample_weight(
        sample_weight, placeholder, dtype=np.float64, ensure_non_negative=True
    )
    if not weights.any():
        raise ValueError("sample_weight is zero for every row. Give at least one row a weight.")
    return weights


def class_weights(
    class_weight: Any, coder: LabelCoder, y: NDArray[Any], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute the factor that `class_weight` gives each row.

    Parameters
    ----------
    class_weight : None, "balanced" or dict
        "balanced" gives all classes the same total weight. In a dict, classes that are not named
        have the weight 1.
    coder : LabelCoder
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
    if coder.kind == "multilabel":
        raise ValueError(
            f"class_weight={class_weight!r} is not possible where rows have several labels. Pass "
            "None, and weight rows with sample_weight."
        )
    codes = coder.codes(y)
    if isinstance(class_weight, str) and class_weight == "balanced":
        totals = np.bincount(codes, weights, minlength=len(coder.classes))
        factors = weights.sum() / (len(coder.classes) * np.where(totals > 0, totals, 1.0))
    elif isinstance(class_weight, dict):
        unknown = [label for label in class_weight if label not in coder.classes.tolist()]
        if unknown:
            raise ValueError(
                f"class_weight names {unknown[0]!r}, which is not among the classes "
                f"{coder.classes.tolist()}."
            )
        factors = np.array([class_weight.get(label, 1.0) for label in coder.classes.tolist()])
    else:
        raise ValueError(
            f"class_weight={class_weight!r} is not possible. Choose None, 'balanced', or a dict "
            "from class to weight."
        )
    return np.asarray(factors[codes], np.float64)


def _as_column(y: Any) -> NDArray[Any]:
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        warnings.warn(
            "A column-vector y was passed when a 1d array was expected. Please change the shape of "
            "y to (n_samples,), for example using ravel().",
            DataConversionWarning,
            stacklevel=4,
        )
        labels = labels[:, 0]
    column: NDArray[Any] = column_or_1d(labels)
    return column
