"""The content of one image, from a path to a tensor, fetched before anybody decodes it."""

from __future__ import annotations

import math
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from sktransfer.images.pixels.arrays import array_pixels, as_numpy
from sktransfer.images.pixels.decoding import Payload, damage, upright_rgb
from sktransfer.images.pixels.problems import Unusable
from sktransfer.images.pixels.quiet import quiet_pillow

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["is_missing", "payload_of"]

_LOCKS = tuple(threading.Lock() for _ in range(64))


def payload_of(item: object) -> Payload:
    """Fetch the content of one image, without decoding it if it is a file.

    Parameters
    ----------
    item : path, bytes, PIL image, array or tensor
        A str is always a path and bytes are always an encoded file. Arrays and tensors have one of
        the shapes (H, W), (H, W, C) or (C, H, W) and the dtypes that `images` documents.

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
        return _file_bytes(Path(os.fsdecode(item)))
    if isinstance(item, (bytes, bytearray, memoryview)):
        return _not_empty(bytes(item), "an empty byte string")
    if isinstance(item, Image.Image):
        return _image_pixels(item)
    if isinstance(item, (np.ndarray, torch.Tensor)):
        return array_pixels(as_numpy(item))
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


def _file_bytes(path: Path) -> bytes:
    """Read a file, naming what is in its place if there is none."""
    try:
        return _not_empty(path.read_bytes(), "an empty file")
    except FileNotFoundError as exc:
        raise Unusable("does not exist", "Correct the path") from exc
    except (OSError, ValueError) as exc:
        if path.is_dir():
            raise Unusable("is a directory", "Pass the paths of the files in it") from exc
        reason = getattr(exc, "strerror", None) or exc
        raise Unusable(f"cannot be read ({reason})", "Correct the path") from exc


def _not_empty(data: bytes, name: str) -> bytes:
    if not data:
        raise Unusable(f"is {name}")
    return data


def _image_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Return the pixels of the user's image, which may be a file that is still to be decoded."""
    try:
        # Two threads must not decode one file at once, and a list may hold an image twice.
        with quiet_pillow, _LOCKS[id(image) // 64 % len(_LOCKS)]:
            image.load()
            return np.ascontiguousarray(np.asarray(upright_rgb(image)))
    except Unusable:
        raise
    except Exception as exc:
        problem = damage(b"", image.format or "PIL image", exc)
        raise Unusable(problem, "Replace the image") from exc
