"""What an estimator checks of X before it takes it for images."""

from __future__ import annotations

from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from sktransfer.images.kinds import as_image_sequence

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from sktransfer.images.kinds import ImageShape
    from sktransfer.images.sequences import ImageSequence

__all__ = ["validate_images"]


def validate_images(
    estimator: BaseEstimator, X: Any, *, image_shape: ImageShape, reset: bool, allow_nan: bool
) -> ImageSequence:
    """Check `X`, a table of numbers as scikit-learn does, and wrap it as images.

    Parameters
    ----------
    estimator : BaseEstimator
        Is given `n_features_in_` and `feature_names_in_` if `reset`, and otherwise `X` must agree
        with those it has.
    X : images
        See `sktransfer.images`.
    image_shape : tuple of int, "row" or None
        Layout of flattened rows.
    reset : bool
        Whether `estimator` is being fitted.
    allow_nan : bool
        Whether a row of a table may hold NaN; it is then an image that cannot be read.

    Raises
    ------
    ImageError, ValueError, TypeError
        If `X` cannot be used.
    """
    finite = "allow-nan" if allow_nan else True
    knows_columns = reset or hasattr(estimator, "n_features_in_")
    if _is_table(X):
        if knows_columns:
            X = validate_data(estimator, X, reset=reset, dtype="numeric", ensure_all_finite=finite)
        else:
            X = check_array(X, dtype="numeric", ensure_all_finite=finite, estimator=estimator)
    elif hasattr(X, "columns") and knows_columns:
        validate_data(estimator, X, reset=reset, skip_check_array=True)
    return as_image_sequence(X, image_shape=image_shape)


def _is_table(X: Any) -> bool:
    """Tell whether `X` has two dimensions and holds numbers."""
    if hasattr(X, "columns") and hasattr(X, "to_numpy"):
        first = X.to_numpy()[:1]
        one_column = first.ndim == 2 and first.shape[1] == 1
        return not one_column or (first.size > 0 and _is_number(first.flat[0]))
    if isinstance(X, list | tuple):
        return bool(X) and isinstance(X[0], list | tuple) and bool(X[0]) and _is_number(X[0][0])
    if hasattr(X, "__array__") and not hasattr(X, "__getitem__"):
        X = np.asarray(X)
    if not isinstance(X, np.ndarray) or X.ndim != 2:
        return False
    return X.dtype.kind in "buifc" or (X.dtype.kind == "O" and X.shape[1] > 1)


def _is_number(value: object) -> bool:
    return isinstance(value, Number | np.number | np.bool_)
