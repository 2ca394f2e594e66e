"""`LabeledClassifier`: the end of a pipeline whose other steps learn from unlabelled rows too."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sktransfer.unlabelled.partly_labelled import PartlyLabelled

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["LabeledClassifier"]


@dataclass(kw_only=True, eq=False, repr=False)
class LabeledClassifier(PartlyLabelled):
    """Fit a classifier to the labelled rows alone.

    In a pipeline, the steps before it learn from all rows, and it from those with labels, so that
    :class:`~sktransfer.NeighborSmoother`, :class:`~sktransfer.DistilledFeatureTransformer` or
    scikit-learn's PCA make use of images without labels.

    Parameters
    ----------
    estimator : classifier or None, default=None
        Classifier of vectors; None is logistic regression.
    unlabeled : object, default=-1
        Label of rows that have none, of the type of the others; None, NaN and pandas' NA are possible.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted, without `unlabeled`.
    estimator_ : classifier
        The fitted classifier.
    n_features_in_ : int
        Number of columns of `X`.

    Raises
    ------
    ValueError
        From `fit`, if fewer than two classes have labels.

    See Also
    --------
    LabeledFold : Folds of the labelled rows alone.
    NeighborSelfTrainingClassifier : Learns from unlabelled rows itself.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sktransfer import NeighborSmoother
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.2], [0.2, 1.0]])
    >>> model = make_pipeline(NeighborSmoother(1), LabeledClassifier())
    >>> model.fit(X, [0, 1, -1, -1]).predict(X).tolist()
    [0, 1, 0, 1]
    """

    estimator: object = field(default=None, kw_only=False)
    unlabeled: object = -1

    def fit(self, X: object, y: ArrayLike) -> LabeledClassifier:
        """Fit the classifier to the rows that have a label.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Vectors.
        y : array-like of shape (n_rows,)
            Labels, `unlabeled` where there is none.

        Returns
        -------
        LabeledClassifier
            The estimator itself.
        """
        rows = self._rows_of(X, y)
        self.classes_ = np.unique(rows.known)
        self.estimator_ = self._classifier().fit(rows.values[rows.labelled], rows.known)
        return self
