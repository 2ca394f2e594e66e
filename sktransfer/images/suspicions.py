"""Warnings of arrays that are valid as X, but probably not what their user means."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

from sktransfer.exceptions import ImageWarning
from sktransfer.images.pixels import NEAR_BLACK, as_numpy, is_varied

__all__ = ["warn_of_dark_bytes", "warn_of_one_image"]

_SMALLEST_SIDE = 8  # of an image worth the name, in pixels
_SMALLEST_TENSOR = 32
_LOWEST_SQUARE = 100  # rows that are as many as their values are an image, if they are so many
_N_LOOKED_AT = 32
_FEW = 4  # images, which may be dark by chance


def warn_of_one_image(X: object, shape: tuple[int, ...]) -> None:
    """Warn if `X` has the shape of one image, and is taken for as many as it has lines."""
    if len(shape) not in (2, 3):
        return
    taken = f"{shape[0]} grey images" + (
        f" of {shape[1]} x {shape[2]} pixels" if len(shape) == 3 else ", one a row"
    )
    if len(shape) == 3 and min(shape[:2]) >= _SMALLEST_SIDE and shape[2] in (3, 4):
        other = "If they are, X[..., None] says so"
    elif len(shape) == 3 and _is_tensor_of_channels(X, shape):
        other = "If they are, X[:, None] says so"
    elif len(shape) == 2 and _is_square_picture(X, shape):
        other = "If they are, image_shape says so"
    else:
        return
    warnings.warn(
        f"X has the shape {shape} of one image, and is taken for {taken}. One image goes in a "
        f"list: [X]. {other}.",
        ImageWarning,
        stacklevel=2,
    )


def _is_tensor_of_channels(X: object, shape: tuple[int, ...]) -> bool:
    """Tell what torchvision's ``ToTensor`` makes of one picture from an array of images."""
    return (
        isinstance(X, torch.Tensor)
        and X.dtype.is_floating_point
        and shape[0] in (3, 4)
        and min(shape[1:]) >= _SMALLEST_TENSOR
    )


def _is_square_picture(X: Any, shape: tuple[int, ...]) -> bool:
    is_bytes = X.dtype in (np.uint8, torch.uint8)
    return is_bytes and shape[0] == shape[1] >= _LOWEST_SQUARE


def warn_of_dark_bytes(X: object, dtype: np.dtype[Any]) -> None:
    """Warn if integers go no higher than a sixteenth of white in every image that is looked at."""
    if not isinstance(X, np.ndarray | torch.Tensor) or np.ma.isMaskedArray(X):
        return
    if dtype.kind not in "iu" or dtype == np.uint16:  # whose white is not 255
        return
    rows = np.unique(np.linspace(0, len(X) - 1, _N_LOOKED_AT, dtype=int))
    looked_at = [as_numpy(X[row]) for row in rows.tolist()]
    if 0 in X.shape or any(image.max() > NEAR_BLACK for image in looked_at):
        return
    low, high = min(image.min() for image in looked_at), max(image.max() for image in looked_at)
    if low < 0 or low == high or (len(X) < _FEW and not is_varied(*looked_at)):
        return
    warnings.warn(
        f"X holds integers up to {high}, which are near black where 255 is white. If their white "
        "is lower, scale them: (X * (255 / white)).astype('uint8').",
        ImageWarning,
        stacklevel=2,
    )
