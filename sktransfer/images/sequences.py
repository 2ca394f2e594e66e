"""Images by row, whatever they lie in: read one by one, when they are asked for."""

from __future__ import annotations

import os
import warnings
from abc import ABC, abstractmethod
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Subset

from sktransfer.exceptions import ImageDecodeError, ImageWarning
from sktransfer.forks import ForkSafeLock
from sktransfer.images.pairs import image_of
from sktransfer.images.pixels import (
    Payload,
    Unusable,
    as_numpy,
    decode_payload,
    is_shortage,
    payload_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["DatasetItems", "FlatRows", "ImageSequence", "Items", "PixelRows", "SomeRows"]


# One for all data sets: a Subset reads through the same file as the data set that it is cut from.
_ONE_READER = ForkSafeLock()


class ImageSequence(ABC):
    """Images by row, each fetched when it is asked for.

    Rows count from 0. All methods may be called from several threads at once. Objects with a
    ``__getitem__`` of the user's own are read by the thread that calls `read`, one row at a time,
    unless they say ``thread_safe = True``.

    Parameters
    ----------
    X : object with a length and an index
        The images as the user passed them, a row for each.
    """

    def __init__(self, X: Any) -> None:
        self._X = X
        self._warned = False

    @property
    def one_reader(self) -> bool:
        """Whether `read` should be called by one thread only, the one that the user called."""
        return False

    def __len__(self) -> int:
        return len(self._X)

    @abstractmethod
    def _item(self, row: int) -> object:
        """Return what the user passed for this row, for `payload_of`."""

    def read(self, row: int) -> Payload:
        """Fetch the content of one image: file bytes as they are, or RGB pixels.

        Parameters
        ----------
        row : int
            Counts from 0.

        Returns
        -------
        bytes or ndarray of shape (height, width, 3), dtype uint8
            C-contiguous; may share memory with ``X``, so do not write to it.

        Raises
        ------
        ImageDecodeError
            If the file is missing, empty or a directory, or the array holds no image.
        """
        try:
            with _ONE_READER if self.one_reader else nullcontext():
                return payload_of(self._item(row), partial(self._notice, row))
        except Unusable as problem:
            raise self._error(row, problem) from problem.__cause__

    def decode(self, row: int, payload: Payload, *, min_size: int | None = None) -> Image.Image:
        """Turn what `read` returned into an upright RGB image.

        Parameters
        ----------
        row : int
            Counts from 0; it only serves messages.
        payload : bytes or ndarray
            As returned by `read`.
        min_size : int, optional
            The size in pixels that the shorter side will be shrunk to. A JPEG at least four times
            as large is decoded faster, at no less than twice this size, if that is 200 or more.

        Returns
        -------
        PIL.Image.Image
            Of mode RGB, with EXIF orientation applied, 16 bits scaled, and transparency on white.

        Raises
        ------
        ImageDecodeError
            If the bytes are damaged, no image at all, or a decompression bomb.
        """
        try:
            return decode_payload(payload, min_size, partial(self._notice, row))
        except Unusable as problem:
            raise self._error(row, problem) from problem.__cause__

    def load(self, row: int) -> Image.Image:
        """Read and decode one image; see `read` and `decode`."""
        return self.decode(row, self.read(row))

    def describe(self, row: int) -> str:
        """Name one image for a message, by its row, which counts from 0, and its path if any."""
        return f"image {row} of {len(self)}"

    def _notice(self, row: int, problem: str) -> None:
        """Warn of the first image that looks wrong."""
        if not self._warned:
            self._warned = True
            message = f"{self.describe(row)} {problem}. Other images of X may be alike."
            warnings.warn(message, ImageWarning, stacklevel=2)

    def _error(self, row: int, problem: Unusable) -> ImageDecodeError:
        return ImageDecodeError(
            f"{self.describe(row)} {problem.problem}. {problem.remedy}",
            'set on_error="nan" to keep its row as NaN and list it in `failed_`',
        )


class Items(ImageSequence):
    """Images that lie in ``X`` one by one: a list, or the rows of an array."""

    def _item(self, row: int) -> object:
        return image_of(self._X[row])

    @property
    def one_reader(self) -> bool:
        """Whether `X` is read by a ``__getitem__`` of the user's own, such as an open HDF5 file."""
        known = isinstance(self._X, (list, tuple, np.ndarray, torch.Tensor))
        return not known and not _is_thread_safe(self._X)

    def describe(self, row: int) -> str:
        """Name one image by its row, and by its path if it has one."""
        if self.one_reader:
            return super().describe(row)
        item = image_of(self._X[row])
        name = super().describe(row)
        return f"{name} ({os.fsdecode(item)!r})" if isinstance(item, (str, os.PathLike)) else name


class FlatRows(ImageSequence):
    """Images that were flattened to the rows of a matrix."""

    def __init__(self, X: Any, image_shape: tuple[int, ...]) -> None:
        super().__init__(X)
        self._image_shape = image_shape

    def _item(self, row: int) -> object:
        return as_numpy(self._X[row]).reshape(self._image_shape)


class PixelRows(ImageSequence):
    """Rows of numbers that are no pictures, each taken as an image one pixel high."""

    def _item(self, row: int) -> object:
        values: Any = as_numpy(self._X[row])[None, :]  # (1, width)
        if values.dtype == np.uint8:
            return values
        values = values.astype(np.float64)
        if not np.isfinite(values).all():
            raise Unusable("contains NaN or inf", "Impute the values")
        # 1 / (1 + exp(-x)), written so that no x overflows
        return np.rint(127.5 * (1 + np.tanh(values / 2))).astype(np.uint8)


class DatasetItems(ImageSequence):
    """Images from a map-style Dataset, with or without labels."""

    @property
    def one_reader(self) -> bool:
        """Whether the data set does not say that several threads may read it at once."""
        return not _is_thread_safe(self._X)

    def _item(self, row: int) -> object:
        try:
            item = self._X[row]
        except Exception as exc:
            if is_shortage(exc):
                raise
            raise Unusable(
                f"cannot be read from the {type(self._X).__name__} ({type(exc).__name__}: {exc})",
                "Repair the data set",
            ) from exc
        return item[0] if isinstance(item, (tuple, list)) and item else item


class SomeRows(ImageSequence):
    """Some rows of sequences that lie one after the other; messages call an image what those do.

    Parameters
    ----------
    parts : sequence of ImageSequence
        The sequences.
    rows : ndarray of shape (n_rows,), dtype int
        Rows, counted through all of them.

    Examples
    --------
    >>> parts = [Items(["a.png", "b.png"]), Items(["c.png"])]
    >>> SomeRows(parts, np.array([2, 1])).describe(0)
    "image 0 of 1 ('c.png')"
    """

    def __init__(self, parts: Sequence[ImageSequence], rows: NDArray[np.intp]) -> None:
        super().__init__(rows)
        self._parts = parts
        self._ends = np.cumsum([len(part) for part in parts])

    @property
    def one_reader(self) -> bool:
        """Whether one of the sequences wants to be read by one thread."""
        return any(part.one_reader for part in self._parts)

    def read(self, row: int) -> Payload:
        """Fetch the content of one image."""
        part, own_row = self._place(row)
        return part.read(own_row)

    def decode(self, row: int, payload: Payload, *, min_size: int | None = None) -> Image.Image:
        """Turn what `read` returned into an upright RGB image."""
        part, own_row = self._place(row)
        return part.decode(own_row, payload, min_size=min_size)

    def describe(self, row: int) -> str:
        """Name one image as its own sequence does."""
        part, own_row = self._place(row)
        return part.describe(own_row)

    def _item(self, row: int) -> object:
        part, own_row = self._place(row)
        return part._item(own_row)

    def _place(self, row: int) -> tuple[ImageSequence, int]:
        """Find the sequence of a row, and its row there."""
        wanted = int(self._X[row])
        number = int(np.searchsorted(self._ends, wanted, side="right"))
        part = self._parts[number]
        return part, wanted - int(self._ends[number]) + len(part)


def _is_thread_safe(X: object) -> bool:
    """Read the mark ``thread_safe``, also of the data set that Subsets are cut from."""
    while not hasattr(X, "thread_safe") and type(X) is Subset:
        X = X.dataset
    return bool(getattr(X, "thread_safe", False))
