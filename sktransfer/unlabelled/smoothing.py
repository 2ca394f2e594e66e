"""`NeighborSmoother`: vectors are averaged with their nearest neighbours, unlabelled ones too."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from sktransfer.parameters import check_parameters, checked, integer, number
from sktransfer.reference_page import ReferencePage
from sktransfer.unlabelled.neighbors import nearest_others, unit_length

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.utils import Tags

__all__ = ["NeighborSmoother"]


@dataclass(kw_only=True, eq=False, repr=False)
class NeighborSmoother(
    ReferencePage,
    OneToOneFeatureMixin,  # type: ignore[misc] # sklearn is untyped
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Average each vector with the mean of its nearest rows among those of the fit.

    Labels are not needed, so that a `fit` on labelled and unlabelled rows makes use of both. With
    four to ten labels a class this helps most sets of photographs, and it does harm where
    neighbours are alike in what does not matter, such as the background: compare it with the
    vectors as they are, by :class:`~sktransfer.LabeledFold`.

    Parameters
    ----------
    n_neighbors : int, default=10
        Number of neighbours, by the cosine; fewer if there are not as many other rows. A row that
        is equal to the vector itself is not its neighbour.
    weight : float, default=0.5
        Weight of the neighbours' mean, from 0 to 1; the vector itself has the rest.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns.

    See Also
    --------
    NeighborSelfTrainingClassifier : Learns from unlabelled rows where neighbours and a classifier agree.
    LabeledClassifier : Ends a pipeline whose other steps learn from all rows.

    Examples
    --------
    >>> X = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    >>> NeighborSmoother(n_neighbors=1).fit_transform(X)
    array([[0.95, 0.05],
           [0.95, 0.05],
           [0.45, 0.55]])
    """

    n_neighbors: int = field(
        default=10,
        kw_only=False,
        metadata={"constraint": integer(1, "neighbours that are averaged")},
    )
    weight: float = checked(0.5, number(0, 1, "the neighbours' weight", closed=True))

    def fit(self, X: object, y: object = None) -> NeighborSmoother:  # noqa: ARG002 - API
        """Keep the rows among which neighbours are looked for.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Vectors, labelled or not.
        y : ignored

        Returns
        -------
        NeighborSmoother
            The estimator itself.
        """
        check_parameters(self)
        self._rows: NDArray[np.floating] = validate_data(
            self, X, dtype=[np.float64, np.float32], copy=True
        )
        self._directions = unit_length(self._rows)
        return self

    def transform(self, X: object) -> NDArray[np.floating]:
        """Average vectors with their neighbours.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Vectors, of the fit or others.

        Returns
        -------
        ndarray of shape (n_rows, n_features)
            Of the dtype of `X`, float32 or float64.
        """
        check_is_fitted(self)
        values: NDArray[np.floating] = validate_data(
            self, X, dtype=[np.float64, np.float32], reset=False
        )
        found = nearest_others(values, self._rows, self._directions, self.n_neighbors)
        if found.rows.shape[1] == 0:
            return values.copy()
        means = np.stack([self._rows[rows].mean(0) for rows in found.rows])
        mixed: NDArray[np.floating] = (1 - self.weight) * values + self.weight * means
        return mixed.astype(values.dtype)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_rows")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
