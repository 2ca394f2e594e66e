"""Anything a user may pass as masks becomes one sequence of label maps, read only when asked."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from sktransfer.exceptions import ImageDecodeError, MaskError
from sktransfer.formats import readable_formats
from sktransfer.images.columns import column_values
from sktransfer.images.pixels import Unusable
from sktransfer.images.pixels.files import file_bytes, not_empty

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sktransfer.images.sequences import ImageSequence

__all__ = ["MaskSequence", "as_mask_sequence", "check_sizes", "is_one_array", "stack_masks"]

_CURE = "Pass masks as arrays (height, width) of integers or names, or the paths of such files"


class MaskSequence:
    """Masks by row, each fetched when it is asked for.

    Parameters
    ----------
    y : ndarray or list
        Arrays, PIL images, encoded bytes or paths, a row for each mask.
    shape : tuple of two ints, optional
        Layout of flattened rows.
    """

    def __init__(self, y: Any, shape: tuple[int, int] | None = None) -> None:
        self._y, self._shape = y, shape

    def __len__(self) -> int:
        return len(self._y)

    def read(self, row: int) -> NDArray[np.generic]:
        """Fetch one mask: (height, width), of integers or of names.

        Raises
        ------
        ImageDecodeError
            If its file is missing or damaged.
        MaskError
            If it has no two axes, or holds no labels.
        """
        try:
            return _labels_of(self._y[row], self._shape)
        except Unusable as problem:
            raise ImageDecodeError(
                f"{self.describe(row)} {problem.problem}. {problem.remedy}",
                "set on_error='warn' to leave the row out",
            ) from problem.__cause__
        except _NoMaskError as problem:
            raise MaskError(f"{self.describe(row)} {problem}") from None

    def describe(self, row: int) -> str:
        """Name one mask for a message, by its row, which counts from 0, and its path if any."""
        item = self._y[row]
        name = f"mask {row} of {len(self)}"
        return f"{name} ({os.fsdecode(item)!r})" if isinstance(item, str | os.PathLike) else name


class _NoMaskError(Exception):
    """The end of a sentence whose subject is a mask, and what to do."""


def as_mask_sequence(y: object, image_shape: object = None, name: str = "y") -> MaskSequence:
    """Wrap any kind of masks without reading or copying them.

    Parameters
    ----------
    y : array-like
        An array or tensor (n, height, width); flattened rows (n, height * width) together with
        `image_shape`; or a list, object array, Series or one-column DataFrame of arrays, of PIL
        images, of encoded files as bytes, or of paths, of any sizes.
    image_shape : tuple of int or None, default=None
        Layout of flattened rows of X, which those of `y` share.
    name : str, default="y"
        Name of the parameter, for messages.

    Raises
    ------
    TypeError, ValueError
        If `y` is no sequence, or an array of another shape.

    Examples
    --------
    >>> masks = as_mask_sequence([np.zeros((4, 6), int), np.ones((2, 2), int)])
    >>> len(masks), masks.read(1).tolist()
    (2, [[1, 1], [1, 1]])
    """
    if isinstance(y, str | bytes | os.PathLike | Image.Image):
        raise TypeError(f"{name} is one mask. Pass a list with one mask for each image: [{name}].")
    y = column_values(y)
    if isinstance(y, torch.Tensor):
        y = y.detach().cpu().numpy()
    if isinstance(y, MaskSequence):
        return y
    if not isinstance(y, np.ndarray):
        if not hasattr(y, "__len__") or not hasattr(y, "__getitem__") or isinstance(y, dict):
            raise TypeError(
                f"{name} is a {type(y).__name__}. Pass a list of masks, an array (n, height, width), or "
                "a list of paths."
            )
        return MaskSequence(_as_array(y) if _is_nested(y) else y)
    return _from_array(y, image_shape, name)


def check_sizes(
    images: ImageSequence,
    row: int,
    size: tuple[int, int],
    masks: MaskSequence,
    mask: NDArray[np.generic],
) -> None:
    """Refuse a mask whose size is not that of its image.

    Parameters
    ----------
    images : ImageSequence
        All images.
    row : int
        Row of the pair.
    size : (int, int)
        Height and width of the image, upright.
    masks : MaskSequence
        All masks.
    mask : ndarray of shape (height, width)
        The mask.

    Raises
    ------
    MaskError
        Naming row, path and both sizes.
    """
    if mask.shape == size:
        return
    turned = (
        " The sides are swapped: images are turned upright by their EXIF orientation, so turn the "
        "mask too."
        if mask.shape == size[::-1]
        else ""
    )
    raise MaskError(
        f"{masks.describe(row)} has {mask.shape[0]} x {mask.shape[1]} pixels (height x width), while "
        f"{images.describe(row)} has {size[0]} x {size[1]}.{turned} Pass the mask in the size of its "
        "image, and resize masks by 'nearest' only."
    )


def is_one_array(X: object) -> bool:
    """Tell one array or tensor of images of one size from a list of images."""
    shape, dtype = getattr(X, "shape", ()), getattr(X, "dtype", None)
    is_objects = isinstance(dtype, np.dtype) and dtype.kind in "OSU"
    return len(shape) >= 2 and not is_objects and not hasattr(X, "columns")


def stack_masks(masks: list[NDArray[Any]], *, as_one: bool) -> NDArray[Any]:
    """Return masks as one array (n, height, width), or as an object array of n masks.

    Examples
    --------
    >>> stack_masks([np.zeros((2, 3)), np.zeros((2, 3))], as_one=False).shape
    (2,)
    """
    if as_one:
        return np.stack(masks)
    column = np.empty(len(masks), object)
    for row, mask in enumerate(masks):
        column[row] = mask
    return column


def _is_nested(y: Any) -> bool:
    """Tell a nested list of labels from a list of masks."""
    first = next(iter(y), None)
    while isinstance(first, list | tuple) and len(first):
        first = first[0]
    return isinstance(first, int | float | np.number | np.bool_) or (
        isinstance(first, str) and isinstance(next(iter(y)), list | tuple)
    )


def _as_array(y: Any) -> object:
    try:
        return np.array(y)
    except ValueError:  # of several sizes
        return [np.array(mask) for mask in y]


def _from_array(y: NDArray[np.generic], image_shape: object, name: str) -> MaskSequence:
    if y.ndim == 2 and y.shape[1] == 1 and y.dtype.kind in "OSU":
        y = y[:, 0]
    if y.ndim == 1 and y.dtype.kind in "OSU":
        return MaskSequence(y)
    if y.ndim == 4 and 1 in (y.shape[1], y.shape[3]):
        y = y[:, 0] if y.shape[1] == 1 else y[..., 0]
    if y.ndim == 3:
        return MaskSequence(y)
    if y.ndim == 2 and not isinstance(image_shape, str):
        height, width = _layout(y.shape[1], image_shape)
        if height * width == y.shape[1]:
            return MaskSequence(y, (height, width))
    raise MaskError(
        f"{name} has the shape {y.shape}. Pass masks as an array (n, height, width) of labels, as rows "
        "(n, height * width) with image_shape, or as a list of arrays or paths. One mask goes in a "
        "list."
    )


def _layout(n_values: int, image_shape: Any) -> tuple[int, int]:
    if image_shape is None:
        side = int(np.sqrt(n_values))
        return side, side
    sides = [int(side) for side in image_shape]
    if len(sides) == 3:
        sides = sides[1:] if sides[0] in (1, 3, 4) and sides[2] not in (1, 3, 4) else sides[:2]
    return sides[0], sides[1]


def _labels_of(item: object, shape: tuple[int, int] | None) -> NDArray[np.generic]:
    if isinstance(item, str | os.PathLike):
        return _decoded(file_bytes(os.fsdecode(item)))
    if isinstance(item, bytes | bytearray):
        return _decoded(not_empty(bytes(item), "an empty byte string"))
    if isinstance(item, Image.Image):
        return _checked(_of_pillow(item))
    if isinstance(item, torch.Tensor):
        item = item.detach().cpu().numpy()
    if item is None or not (hasattr(item, "__array__") or isinstance(item, list | tuple)):
        raise _NoMaskError(f"is a {type(item).__name__}. {_CURE}.")
    array = np.asarray(item)
    return _checked(array if shape is None else array.reshape(shape))


def _decoded(data: bytes) -> NDArray[np.generic]:
    try:
        with Image.open(io.BytesIO(data), formats=readable_formats()) as image:
            if image.format == "JPEG":
                raise _NoMaskError(
                    "is a JPEG, whose compression changes labels at their borders. Save masks as PNG."
                )
            return _checked(_of_pillow(image))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as exc:
        raise Unusable(f"cannot be decoded ({exc})") from exc


def _of_pillow(image: Image.Image) -> NDArray[np.generic]:
    """Return the labels of an image of one channel; those of a palette are its indices."""
    labels = np.asarray(image)
    return labels.astype(np.uint8) if labels.dtype == np.bool_ else labels


def _checked(mask: NDArray[np.generic]) -> NDArray[np.generic]:
    if mask.ndim == 3 and 1 in (mask.shape[0], mask.shape[2]):
        mask = mask[0] if mask.shape[0] == 1 else mask[..., 0]
    if mask.ndim == 3:
        channels = mask.shape[2] if mask.shape[2] <= 4 else mask.shape[0]
        raise _NoMaskError(
            f"has {channels} channels (shape {mask.shape}), and a mask has one label a pixel. Turn "
            "colours into labels, for example by a palette PNG, and one-hot masks by argmax."
        )
    if mask.ndim != 2 or mask.size == 0:
        raise _NoMaskError(f"has the shape {mask.shape}. {_CURE}.")
    if mask.dtype.kind == "f":
        return _whole(mask)
    if mask.dtype.kind == "O":
        return _of_objects(mask)
    if mask.dtype.kind not in "buiSU":
        raise _NoMaskError(f"has the dtype {mask.dtype}. {_CURE}.")
    return mask


def _whole(mask: NDArray[np.generic]) -> NDArray[np.generic]:
    rounded = np.rint(mask)
    wrong = mask[~(rounded == mask)]
    if len(wrong):
        raise _NoMaskError(
            f"holds {wrong[0]:g}, which is no label. Labels are whole numbers or names; masks that were "
            "scaled or resized by interpolation have lost theirs, so resize by 'nearest' only."
        )
    return np.asarray(rounded, np.int64)


def _of_objects(mask: NDArray[np.generic]) -> NDArray[np.generic]:
    plain = np.array(mask.tolist())
    if plain.dtype.kind not in "buifSU" or any(label is None for label in mask.flat):
        raise _NoMaskError(f"holds a {type(mask.flat[0]).__name__}. {_CURE}.")
    return _whole(plain) if plain.dtype.kind == "f" else plain
