"""Decoding: images become bytes at the network's size once, before the first epoch."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from sktransfer.exceptions import ImageDecodeError, ImageWarning
from sktransfer.features.extraction import workers
from sktransfer.training.arrays import allocate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sktransfer.images.sequences import ImageSequence
    from sktransfer.preprocessing import Preprocessing

__all__ = ["decode_images", "report_unreadable"]

_AT_ONCE = 256


def decode_images(
    images: ImageSequence,
    preprocessing: Preprocessing,
    *,
    n_workers: int,
    on_error: str,
    progress: Callable[[int], object],
) -> tuple[NDArray[np.uint8], list[int]]:
    """Read, decode, resize and crop all images.

    Parameters
    ----------
    images : ImageSequence
        Images to decode.
    preprocessing : Preprocessing
        To which size.
    n_workers : int
        Threads; 0 means the calling one.
    on_error : {"raise", "warn", "nan"}
        Treatment of an image that cannot be read.
    progress : callable
        Is told the number of rows that have been finished.

    Returns
    -------
    pixels : ndarray of shape (n_images, crop, crop, 3), dtype uint8
        In a file that is mapped into memory, if it is large.
    failed : list of int
        Rows that could not be read; their pixels are black.

    Raises
    ------
    ImageDecodeError
        If an image cannot be read and `on_error` is "raise".
    """
    side = preprocessing.crop
    pixels = allocate((len(images), side, side, 3), np.uint8)
    failed: list[int] = []

    def decode(row: int) -> ImageDecodeError | None:
        try:
            payload = images.read(row)
            if not (isinstance(payload, np.ndarray) and payload.shape[:2] == (side, side)):
                image = images.decode(row, payload, min_size=preprocessing.min_size)
                payload = preprocessing(image)
            pixels[row] = payload
        except ImageDecodeError as problem:
            pixels[row] = 0
            return problem
        return None

    with workers(0 if images.one_reader else n_workers) as in_parallel:
        for start in range(0, len(images), _AT_ONCE):
            rows = range(start, min(start + _AT_ONCE, len(images)))
            for row, problem in zip(rows, in_parallel(decode, rows), strict=True):
                if problem is not None:
                    report_unreadable(problem, on_error)
                    failed.append(row)
            progress(len(rows))
    return pixels, failed


def report_unreadable(problem: ImageDecodeError, on_error: str) -> None:
    """Raise what is wrong with an image, warn of it, or say nothing, as `on_error` asks."""
    if on_error == "raise":
        raise problem
    if on_error == "warn":
        warnings.warn(str(problem), ImageWarning, stacklevel=3)
