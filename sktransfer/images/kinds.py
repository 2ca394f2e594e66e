"""Anything a user may pass as ``X`` becomes one sequence of RGB images, read only when asked.

What is possible
----------------
arrays and tensors
    ``(n, H, W)``, ``(n, H, W, C)`` or ``(n, C, H, W)`` with 1, 3 or 4 channels; where both of the
    last two fit, the channels are last. Flattened rows ``(n, d)`` together with `image_shape`.
sequences of images, one after the other
    Lists, tuples, object arrays, pandas Series, or one column of a DataFrame or of an array: paths,
    encoded files as bytes, PIL images, arrays and tensors of any sizes, also mixed.
map-style data sets of torch
    ``dataset[i]`` is an image, or a tuple whose first entry is one. Read by one thread, unless the
    data set has an attribute ``thread_safe = True``.
lists of such tuples
    What scikit-learn cuts out of a data set: of each, the first entry is the image.

docs/images.md tables what becomes of each kind of number and file. Equal pixels give an equal payload
whatever they come in, and a path gives the same as the bytes of its file. A mistake in the whole of
``X`` is an error at once; a mistake in one image is an error when that image is read.
"""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import torch
from PIL import Image

from sktransfer.exceptions import ImageError
from sktransfer.images.columns import column_values
from sktransfer.images.pairs import is_pair
from sktransfer.images.pixels import Unusable, as_numpy, channel_axis, is_missing
from sktransfer.images.sequences import DatasetItems, FlatRows, ImageSequence, Items, PixelRows
from sktransfer.images.suspicions import warn_of_dark_bytes, warn_of_one_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ImageShape", "as_image_sequence"]

ImageShape: TypeAlias = Sequence[int] | Literal["row"] | None

_POSSIBLE = (
    "X can be an array or tensor of images, a sequence of paths, of encoded bytes, of PIL images "
    "or of arrays, a pandas Series or one-column DataFrame of these, or a map-style Dataset"
)


def as_image_sequence(X: Any, *, image_shape: ImageShape = None) -> ImageSequence:
    """Wrap any kind of ``X`` without reading or copying its images.

    Parameters
    ----------
    X : array, tensor, sequence, Series, DataFrame or Dataset
        One of the kinds listed at the top of this module.
    image_shape : tuple of int, "row" or None, default=None
        Layout of flattened rows, ``(28, 28)``, ``(32, 32, 3)`` or ``(3, 32, 32)``; None infers a
        square grey image. With "row" each row is one row of pixels: as it is if uint8, otherwise
        squashed to 0..255 by the logistic function, value by value. Plays no part if ``X`` is not
        an array of two dimensions.

    Returns
    -------
    ImageSequence
        As long as ``X``.

    Raises
    ------
    ImageError
        If ``X`` is empty, or has a shape or dtype that no images have.
    TypeError
        If ``X`` is a single image, a sparse matrix, or nothing that holds images.

    Examples
    --------
    >>> images = as_image_sequence(np.zeros((5, 28, 28), dtype=np.uint8))
    >>> len(images), images.read(0).shape
    (5, (28, 28, 3))
    >>> as_image_sequence(["leaf/1.jpg", "leaf/2.jpg"]).describe(1)
    "image 1 of 2 ('leaf/2.jpg')"
    """
    shape = _checked_image_shape(image_shape)
    _refuse_what_holds_no_images(X)
    X = column_values(X)
    if isinstance(X, (list, tuple)):
        X = _unnest(X)
    elif isinstance(X, memoryview) or (hasattr(X, "__array__") and not hasattr(X, "__getitem__")):
        X = np.asarray(X)

    if isinstance(X, torch.Tensor) or isinstance(getattr(X, "dtype", None), np.dtype):
        return _from_array(X, shape)
    _refuse_empty(X, (len(X),))
    return Items(X) if isinstance(X, (list, tuple)) else DatasetItems(X)


def _checked_image_shape(
    image_shape: ImageShape,
) -> tuple[int, ...] | Literal["row"] | None:
    if image_shape is None:
        return None
    if isinstance(image_shape, str):
        if image_shape == "row":
            return "row"
    elif isinstance(image_shape, Sequence) and all(
        isinstance(side, numbers.Integral) and side > 0 for side in image_shape
    ):
        shape = tuple(int(side) for side in image_shape)
        try:
            channel_axis(shape)
        except Unusable:
            pass
        else:
            return shape
    raise ImageError(
        f"image_shape={image_shape!r} is no layout of an image. It can be (H, W), (H, W, C) or "
        '(C, H, W) with 1, 3 or 4 channels, "row", or None for square grey images. '
        "For example image_shape=(28, 28)."
    )


def _refuse_what_holds_no_images(X: object) -> None:
    if isinstance(X, (str, os.PathLike)):
        raise TypeError(f"X is one path, {os.fsdecode(X)!r}. {_POSSIBLE}. Wrap it in a list: [X].")
    if isinstance(X, (bytes, bytearray, Image.Image)) or (
        isinstance(X, memoryview) and (X.ndim < 2 or X.itemsize == 0)
    ):
        raise TypeError(f"X is one image. {_POSSIBLE}. Wrap it in a list: [X].")
    if (hasattr(X, "toarray") and hasattr(X, "nnz")) or _is_sparse_tensor(X):
        raise TypeError(
            "Sparse data was passed for X, but dense data is required. "
            "Use '.toarray()' to convert to a dense numpy array."
        )
    holds = hasattr(X, "__len__") and hasattr(X, "__getitem__") and not isinstance(X, Mapping)
    if not holds and not hasattr(X, "__array__"):
        raise TypeError(
            f"X is of type {type(X).__name__}. {_POSSIBLE}. "
            "Put the images in a list, for example list(X)."
        )


def _is_sparse_tensor(X: object) -> bool:
    return isinstance(X, torch.Tensor) and X.layout != torch.strided


def _refuse_empty(X: object, shape: tuple[int, ...]) -> None:
    if shape and shape[0] == 0:
        raise ImageError(
            f"Found array with 0 sample(s) (shape={shape}) while a minimum of 1 is required. "
            f"X is an empty {type(X).__name__}; pass at least one image."
        )


def _unnest(X: Sequence[object]) -> object:
    """Turn a list of numbers, of rows of numbers or of columns into an array; leave others."""
    first = _first_present(X)
    leaf = first
    while isinstance(leaf, (list, tuple)) and leaf:
        leaf = leaf[0]
    flat_array = isinstance(first, (np.ndarray, torch.Tensor)) and first.ndim < 2
    flat_array = flat_array and first.dtype != np.object_
    nested_text = leaf is not first and isinstance(leaf, str)
    if is_pair(first) or not (_is_number(leaf) or flat_array or nested_text):
        return X
    try:
        return np.array([as_numpy(x) if isinstance(x, torch.Tensor) else x for x in X])
    except ValueError as exc:
        if isinstance(first, (list, tuple)) and isinstance(first[0], (list, tuple)):
            return X  # images of different sizes, or other kinds among them
        raise ImageError(
            f"X is a {type(X).__name__} of rows of different lengths ({exc}). Rows are possible if "
            "they are equally long. For images of different sizes pass a list of arrays."
        ) from exc


def _first_present(items: Any) -> Any:
    """Return the first item that is not a missing value, or None."""
    return next((item for item in items if not is_missing(item)), None)


def _is_number(item: object) -> bool:
    return isinstance(item, (numbers.Number, np.number, np.bool_))


def _from_array(X: Any, image_shape: tuple[int, ...] | Literal["row"] | None) -> ImageSequence:
    """Choose by shape and dtype."""
    shape = tuple(int(side) for side in X.shape)
    dtype = _dtype_of(X) if isinstance(X, torch.Tensor) and shape else X.dtype
    _refuse_empty(X, shape)
    kind = getattr(dtype, "kind", "f")
    if kind in "OSUT":
        return _from_objects(np.asarray(X), image_shape)
    if kind == "c":
        raise ImageError(
            f"Complex data not supported: X has the dtype {dtype}. Images are uint8, bool, uint16, "
            "floats in 0..1 or integers in 0..255. Convert X."
        )
    if kind == "V":
        raise ImageError(
            f"X has the dtype {dtype}, records of several columns. Select the column that holds "
            "the images."
        )
    if kind not in "buif":
        raise ImageError(
            f"X has the dtype {dtype}. Images are uint8, bool, uint16, floats in 0..1 or integers "
            "in 0..255. Convert X."
        )
    if len(shape) < 2:
        name = "scalar" if not shape else "1D"
        raise ImageError(
            f"Expected 2D array, got {name} array instead: X has the shape {shape}, and holds numbers. "
            f"{_POSSIBLE}. Reshape your data: images are (n, H, W), (n, H, W, C) or (n, C, H, W), or rows "
            "(n, d) with image_shape."
        )
    if image_shape != "row":
        warn_of_dark_bytes(X, dtype)
    if len(shape) == 2:
        return _from_rows(X, shape, image_shape)
    warn_of_one_image(X, shape)
    try:
        channel_axis(shape[1:])
    except Unusable as exc:
        raise ImageError(
            f"X has the shape {shape}. Images are (n, H, W), (n, H, W, C) or (n, C, H, W) with 1, "
            "3 or 4 channels, or rows (n, d) with image_shape. Reshape X."
        ) from exc
    return Items(X)


def _dtype_of(X: torch.Tensor) -> np.dtype[Any]:
    try:
        return as_numpy(X[:0]).dtype
    except Unusable as exc:
        raise ImageError(f"X {exc.problem}. {exc.remedy}.") from exc
    except RuntimeError as exc:
        raise ImageError(f"X is a tensor that cannot be read ({exc}). Convert it.") from exc


def _from_rows(
    X: object, shape: tuple[int, int], image_shape: tuple[int, ...] | Literal["row"] | None
) -> ImageSequence:
    n_values = shape[1]
    if n_values == 0:
        raise ImageError(
            f"Found array with 0 feature(s) (shape={shape}) while a minimum of 1 is required."
        )
    if image_shape == "row":
        return PixelRows(X)
    if image_shape is None:
        image_shape = _square(n_values, shape)
        warn_of_one_image(X, shape)
    elif math.prod(image_shape) != n_values:
        raise ImageError(
            f"image_shape={image_shape} has {math.prod(image_shape)} values, while each row of X "
            f"has {n_values} (X has the shape {shape}). Pass the image_shape of these rows."
        )
    return FlatRows(X, image_shape)


def _square(n_values: int, shape: tuple[int, int]) -> tuple[int, int]:
    side = math.isqrt(n_values)
    if side * side == n_values:
        return side, side
    side = math.isqrt(n_values // 3)
    if 3 * side * side == n_values:
        advice = f"image_shape=({side}, {side}, 3) or (3, {side}, {side}) would fit a colour image"
    else:
        advice = 'Pass image_shape=(H, W), (H, W, C) or (C, H, W), or "row" for rows of numbers'
    raise ImageError(
        f"X has the shape {shape}, and image_shape=None takes each row for a square grey image, "
        f"but {n_values} is no square number. {advice}. One grey image goes in a list: [X]."
    )


def _from_objects(
    X: NDArray[np.generic], image_shape: tuple[int, ...] | Literal["row"] | None
) -> ImageSequence:
    """Take a column of images as it is, and numbers in disguise as numbers."""
    column = X[:, 0] if X.ndim == 2 and X.shape[1] == 1 else X
    if column.ndim == 1 and not _is_number(_first_present(column)):
        return Items(column)
    if X.ndim == 0 or X.dtype.kind != "O":
        raise ImageError(
            f"X is an array of dtype {X.dtype} and shape {X.shape}. Paths are possible in one "
            "dimension, or in one column. Select the column that holds the paths."
        )
    return _from_array(_numbers(X), image_shape)


def _numbers(X: NDArray[np.generic]) -> NDArray[np.generic]:
    """Convert an object array to the dtype of its values."""
    values = np.array(X.tolist())
    if values.dtype.kind in "buifc":
        return values
    problem = (
        f"X is an object array of shape {X.shape} that holds other things than numbers ({{}}). "
        "Images are possible in one dimension or one column. Select the column that holds them."
    )
    try:
        return X.astype(np.float64)
    except TypeError as exc:
        raise TypeError(problem.format(exc)) from exc
    except ValueError as exc:
        raise ImageError(problem.format(exc)) from exc
