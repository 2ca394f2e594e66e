"""The content of one image, from a path to a tensor, fetched before anybody decodes it."""

from __future__ import annotations

import io
import math
import os
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from PIL import Image

from sktransfer.forks import ForkSafeLock
from sktransfer.formats import is_allowed
from sktransfer.images.pixels.arrays import array_pixels, as_numpy
from sktransfer.images.pixels.decoding import Payload, damage, upright_rgb
from sktransfer.images.pixels.files import file_bytes, is_shortage, not_empty
from sktransfer.images.pixels.narrow import Notice, nobody
from sktransfer.images.pixels.problems import Unusable
from sktransfer.images.pixels.quiet import quiet_pillow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["is_missing", "payload_of"]

_LOCKS = tuple(ForkSafeLock() for _ in range(64))


def payload_of(item: object, notice: Notice = nobody) -> Payload:
    """Fetch the content of one image, without decoding it if it is a file.

    Parameters
    ----------
    item : path, bytes, PIL image, array or tensor
        A str is always a path and bytes are always an encoded file. Arrays and tensors have one of
        the shapes (H, W), (H, W, C) or (C, H, W) and the dtypes that `images` documents.
    notice : callable, default=nobody
        Called if the pixels are near black because of the type that they are kept in.

    Returns
    -------
    bytes or ndarray of shape (height, width, 3), dtype uint8
        A path and the bytes of its file give the same, and so do equal pixels in any array,
        tensor or PIL image. May share memory with `item`.

    Raises
    ------
    Unusable
        If there is no such file, or no image in `item`.
    """
    if isinstance(item, (str, os.PathLike)):
        return file_bytes(os.fsdecode(item))
    if isinstance(item, (bytes, bytearray)):
        return not_empty(bytes(item), "an empty byte string")
    if isinstance(item, memoryview):
        return _view_payload(item, notice)
    if isinstance(item, Image.Image):
        return _image_pixels(item, notice)
    if isinstance(item, (list, tuple)) or getattr(item, "dtype", None) == np.object_:
        return array_pixels(_nested_numbers(item), notice)
    if isinstance(item, (np.ndarray, torch.Tensor)):
        return array_pixels(as_numpy(item), notice)
    if is_missing(item):
        raise Unusable(f"is missing ({item})", "Remove the row")
    raise Unusable(
        f"is of type {type(item).__name__}, not a path, encoded bytes, a PIL image or an array",
        "Convert it to one of these",
    )


def is_missing(item: object) -> bool:
    """Say whether this is None, NaN or pandas' NA."""
    is_nan = isinstance(item, float) and math.isnan(item)
    return item is None or is_nan or type(item).__name__ in {"NAType", "NaTType"}


def _nested_numbers(item: object) -> NDArray[np.generic]:
    """Turn lists of lists of numbers, as columns of polars and Arrow hold them, into an array."""
    try:
        array = np.array(_as_lists(item))
    except ValueError as exc:
        raise Unusable(
            f"is a {type(item).__name__} of rows of different lengths", "Make them equally long"
        ) from exc
    if array.dtype.kind not in "buif" or array.ndim < 2:
        raise Unusable(
            f"is a {type(item).__name__}, not a path, encoded bytes, a PIL image or an array",
            "Convert it to one of these",
        )
    return array


def _as_lists(item: object) -> object:
    if isinstance(item, (list, tuple)) or getattr(item, "dtype", None) == np.object_:
        return [_as_lists(part) for part in cast("Iterable[object]", item)]
    return item


def _view_payload(view: memoryview, notice: Notice) -> Payload:
    """Take a view of one dimension of bytes for a file, and any other for pixels."""
    if view.ndim == 1 and view.itemsize == 1:
        return not_empty(view.tobytes(), "an empty byte string")
    try:
        pixels = np.asarray(view)
    except (TypeError, ValueError) as exc:
        raise Unusable(f"is a memoryview that is no array ({exc})", "Convert it to one") from exc
    return array_pixels(pixels, notice)


def _image_pixels(image: Image.Image, notice: Notice) -> NDArray[np.uint8]:
    """Return the pixels of the user's image, which may be a file that is still to be decoded."""
    _refuse_programs(image)
    try:
        with quiet_pillow, _lock_of(image):
            image.load()
            return np.ascontiguousarray(np.asarray(upright_rgb(image, notice)))
    except Unusable:
        raise
    except Exception as exc:
        if is_shortage(exc):
            raise
        problem = damage(b"", image.format or "PIL image", exc)
        raise Unusable(problem, "Replace the image") from exc


def _refuse_programs(image: Image.Image) -> None:
    """Refuse an open file whose pixels another program would have to draw."""
    if is_allowed(image.format) or not getattr(image, "tile", None):
        return
    raise Unusable(
        f"is of the format {image.format}, which is not decoded because Pillow may hand it to "
        "another program",
        "Convert it, or call its load() if you trust it",
    )


def _lock_of(image: Image.Image) -> ForkSafeLock:
    """Return what keeps two threads from decoding one file at once.

    A list may hold an image twice, and images that were opened from open files, such as the
    members of a tar archive, may read through one handle: they all share a lock.
    """
    opened_from = getattr(image, "fp", None)
    shares = opened_from is not None and not isinstance(opened_from, io.BytesIO)
    if shares and not getattr(image, "filename", ""):
        return _LOCKS[0]
    return _LOCKS[1 + id(image) // 64 % (len(_LOCKS) - 1)]
