"""What an estimator checks of X before it takes it for images."""

from __future__ import annotations

from numbers import Number
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from sktransfer.exceptions import ImageError
from sktransfer.images.columns import column_names, column_values
from sktransfer.images.kinds import as_image_sequence

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from sktransfer.images.kinds import ImageShape
    from sktransfer.images.sequences import ImageSequence

__all__ = ["validate_images"]


def validate_images(
    estimator: BaseEstimator, X: object, *, image_shape: ImageShape, reset: bool, allow_nan: bool
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
    _refuse_several_columns_of_text(X)
    if isinstance(X, np.ma.MaskedArray) and X.ndim == 2 and np.ma.is_masked(X):
        raise ImageError(
            "X is a masked array some of whose values are masked, and a mask has no meaning here. "
            "Fill them in, for example by X.filled(0)."
        )
    finite = "allow-nan" if allow_nan else True
    knows_columns = reset or hasattr(estimator, "n_features_in_")
    if _is_table(X):
        if knows_columns:
            X = validate_data(estimator, X, reset=reset, dtype="numeric", ensure_all_finite=finite)
        else:
            X = check_array(X, dtype="numeric", ensure_all_finite=finite, estimator=estimator)
    elif knows_columns and _has_names(X):
        validate_data(estimator, X, reset=reset, skip_check_array=True)
    return as_image_sequence(X, image_shape=image_shape)


def _refuse_several_columns_of_text(X: Any) -> None:
    """Refuse two columns of paths in words of images, before scikit-learn reads them as numbers."""
    names = column_names(X)
    if names is None and isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "OSUT":
        names = [str(position) for position in range(X.shape[1])]
    if names is None or len(names) < 2 or hasattr(X, "to_pylist") or len(X) == 0:
        return
    first = np.asarray(column_values(X[:1]), dtype=object)[0]
    texts = [name for name, value in zip(names, first, strict=True) if _is_text(value)]
    if texts:
        raise ImageError(
            f"X has {len(names)} columns ({', '.join(map(repr, names))}), of which "
            f"{', '.join(map(repr, texts))} hold text or images, and only one can hold the images. "
            f"Select the column that holds them, for example X[[{texts[0]!r}]]; a ColumnTransformer "
            "joins them with the others."
        )


def _has_names(X: object) -> bool:
    """Tell a table whose columns scikit-learn can name, which Arrow's are not."""
    return column_names(X) is not None and not hasattr(X, "to_pylist")


def _is_text(value: object) -> bool:
    if isinstance(value, str | bytes):
        try:
            float(value)
        except ValueError:
            return True
    return isinstance(value, PathLike | Image.Image)


def _is_table(X: object) -> bool:
    """Tell whether `X` has two dimensions and holds numbers."""
    if hasattr(X, "to_numpy") and hasattr(X, "columns"):
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
