"""`SquareRootTransformer`: vectors in which no large value drowns the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import validate_data

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.utils import Tags

__all__ = ["SquareRootTransformer"]


class SquareRootTransformer(
    OneToOneFeatureMixin,  # type: ignore[misc] # sklearn is untyped
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Take the square root of each value, with its sign: power normalisation of exponent 1/2 [1]_.

    Activations of a network are near zero mostly, and large now and then; their roots are closer to
    each other, so that a distance or a linear classifier hangs less on a few of them.

    References
    ----------
    .. [1] Perronnin, Sánchez, Mensink, "Improving the Fisher kernel for large-scale image
       classification", ECCV 2010, section 3.2.

    Examples
    --------
    >>> SquareRootTransformer().fit_transform([[4.0, 0.0, -9.0]])
    array([[ 2.,  0., -3.]])
    """

    def fit(self, X: object, y: object = None) -> SquareRootTransformer:  # noqa: ARG002 - API
        """Count the columns; nothing else is learned.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Vectors.
        y : ignored

        Returns
        -------
        SquareRootTransformer
            The estimator itself.
        """
        validate_data(self, X, dtype=[np.float64, np.float32])
        return self

    def transform(self, X: object) -> NDArray[np.floating]:
        """Take roots.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Vectors.

        Returns
        -------
        ndarray of shape (n_rows, n_features)
            Of the dtype of `X`, float32 or float64.
        """
        values: NDArray[np.floating] = validate_data(
            self, X, dtype=[np.float64, np.float32], reset=False
        )
        roots: NDArray[np.floating] = np.copysign(np.sqrt(np.abs(values)), values)
        return roots

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
