"""Classifiers of vectors of which only some rows have labels: how labels are read, and what is predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from sktransfer.inner_classifier import InnerClassifier, inner_has
from sktransfer.labels import (
    as_label_array,
    check_lengths,
    is_unlabeled,
    labelled_rows,
    refuse_missing_labels,
    refuse_mixed_labels,
)
from sktransfer.parameters import check_parameters
from sktransfer.reference_page import ReferencePage

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from sklearn.utils import Tags

__all__ = ["PartlyLabelled", "PartlyLabelledRows"]


class PartlyLabelledRows(NamedTuple):
    """Vectors and the labels that some of them have."""

    values: NDArray[np.floating]
    """All vectors, of shape (n_rows, n_features)."""
    labels: NDArray[np.generic]
    """Labels of all rows, of which some are `unlabeled`."""
    labelled: NDArray[np.intp]
    """Rows that have a label."""
    others: NDArray[np.intp]
    """Rows that have none."""
    known: NDArray[np.generic]
    """Labels of the labelled rows, in a type of their own."""


class PartlyLabelled(
    ReferencePage,
    InnerClassifier,
    ClassifierMixin,  # type: ignore[misc] # sklearn is untyped
    BaseEstimator,  # type: ignore[misc]
):
    """What classifiers share that learn from rows of which some have labels.

    A subclass has the parameter `unlabeled` too, and sets `classes_`.
    """

    unlabeled: object

    def predict(self, X: object) -> NDArray[np.generic]:
        """Name the most probable class of each vector.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Vectors.

        Returns
        -------
        ndarray of shape (n_rows,)
            Labels; never `unlabeled`.
        """
        found: NDArray[np.generic] = self._fitted().predict(self._checked(X))
        return found

    @available_if(inner_has("predict_proba"))  # type: ignore[untyped-decorator] # of sklearn
    def predict_proba(self, X: object) -> NDArray[np.float64]:
        """Compute the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Vectors.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
            Rows sum to one.
        """
        found: NDArray[np.float64] = self._fitted().predict_proba(self._checked(X))
        return found

    @available_if(inner_has("decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: object) -> NDArray[np.float64]:
        """Compute the scores of the classes.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Vectors.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_classes)
            As those of the classifier.
        """
        found: NDArray[np.float64] = self._fitted().decision_function(self._checked(X))
        return found

    def score(self, X: object, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Compute the accuracy on the rows that have a label.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Vectors.
        y : array-like of shape (n_rows,)
            Labels; rows labelled `unlabeled` are left out.
        sample_weight : array-like of shape (n_rows,), optional
            Weights of the rows.

        Returns
        -------
        float
            From 0 to 1.
        """
        labels, labelled = labelled_rows(y, self.unlabeled)
        predicted = self.predict(X)
        check_lengths(X=predicted, y=labels, sample_weight=sample_weight)
        weights = None if sample_weight is None else np.asarray(sample_weight)[labelled]
        return float(np.average(predicted[labelled] == labels[labelled], weights=weights))

    def _rows_of(self, X: object, y: ArrayLike) -> PartlyLabelledRows:
        """Check parameters, vectors and labels of a fit."""
        check_parameters(self)
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y is None."
            )
        labels = as_label_array(y)
        values: NDArray[np.floating] = validate_data(self, X, dtype=[np.float64, np.float32])
        labels = column_or_1d(labels, warn=True)
        if len(labels) != len(values):
            raise ValueError(f"X has {len(values)} rows and y {len(labels)} labels. Pass as many.")
        missing = is_unlabeled(labels, self.unlabeled)
        if missing.all():
            raise ValueError(
                f"y has no label: all {len(labels)} rows are unlabeled={self.unlabeled!r}. Pass the labels of "
                "some rows, of two classes or more."
            )
        known = as_label_array(labels[~missing])
        refuse_missing_labels(known)
        refuse_mixed_labels(known)
        check_classification_targets(known)
        classes = np.unique(known)
        if len(classes) < 2:
            raise ValueError(
                f"y holds labels of one class only, {classes.tolist()}, beside unlabeled="
                f"{self.unlabeled!r}. A classifier needs labelled rows of at least two classes."
            )
        labelled, others = np.flatnonzero(~missing), np.flatnonzero(missing)
        return PartlyLabelledRows(values, labels, labelled, others, known)

    def _fitted(self) -> Any:
        check_is_fitted(self)
        return self.estimator_

    def _checked(self, X: object) -> NDArray[np.floating]:
        values: NDArray[np.floating] = validate_data(
            self, X, dtype=[np.float64, np.float32], reset=False
        )
        return self._given(values)

    def _given(self, X: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the vectors that the classifier is given."""
        return X

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "estimator_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
