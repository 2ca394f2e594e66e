"""Large arrays, or many: in memory, or in a file of the temporary folder that vanishes by itself."""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from sktransfer.forks import ForkSafeLock
from sktransfer.parameters import bytes_allowed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["MAX_BYTES_IN_MEMORY", "FiledArray", "Shelf", "allocate", "taken"]

_Scalar = TypeVar("_Scalar", bound=np.generic)

MAX_BYTES_IN_MEMORY = bytes_allowed("SKTRANSFER_TRAINING_BYTES", 2**31)
"""What one array of training data, or many on a shelf, may take in memory; what is more is a file."""


def allocate(shape: Sequence[int], dtype: type[_Scalar]) -> NDArray[_Scalar]:
    """Make an array without values, mapped from a file if it is large.

    The file has no name that anybody could find, and its space is free again when the array is no
    longer used.

    Raises
    ------
    OSError
        If the temporary folder has no room for it.

    Examples
    --------
    >>> allocate((2, 3), np.float32).shape
    (2, 3)
    """
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if n_bytes <= MAX_BYTES_IN_MEMORY:
        return np.empty(tuple(shape), dtype)
    with tempfile.TemporaryFile(prefix="sktransfer-") as file:
        _reserve(file.fileno(), n_bytes)
        return np.memmap(file, dtype, mode="w+", shape=tuple(shape))


class _File:
    """A file without a name, closed with the last array that lies in it."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="sktransfer-")  # noqa: SIM115 - see above
        self._lock = ForkSafeLock()

    def __del__(self) -> None:
        self._file.close()

    def append(self, array: NDArray[np.generic]) -> int:
        """Write an array, and say where it starts."""
        with self._lock:
            start = self._file.seek(0, os.SEEK_END)
            try:
                self._file.write(np.ascontiguousarray(array).data)
                self._file.flush()
            except OSError as exc:
                number = exc.errno or errno.EIO
                raise _no_room(start + array.nbytes, tempfile.gettempdir(), number) from exc
        return start

    def read_into(self, array: NDArray[np.generic], start: int) -> None:
        """Fill an array from what was written."""
        with self._lock:
            self._file.seek(start)
            self._file.readinto(array.reshape(-1).view(np.uint8).data)


class FiledArray:
    """An array that lies in a file.

    Parameters
    ----------
    file : _File
        File that it is written to the end of.
    array : ndarray
        Its values.
    """

    def __init__(self, file: _File, array: NDArray[np.generic]) -> None:
        self.shape, self.dtype = array.shape, array.dtype
        self._file, self._start = file, file.append(array)

    def read(self) -> NDArray[np.generic]:
        """Read the values."""
        array = np.empty(self.shape, self.dtype)
        self._file.read_into(array, self._start)
        return array


class Shelf:
    """Arrays that a training needs in each epoch: in memory until that is full, then in a file.

    Parameters
    ----------
    max_bytes : int, optional
        Bytes that may be in memory; those of `MAX_BYTES_IN_MEMORY` if not given.

    Examples
    --------
    >>> shelf = Shelf(max_bytes=10)
    >>> kept = [shelf.keep(np.arange(4, dtype=np.uint8) + start) for start in (0, 4, 8)]
    >>> isinstance(kept[2], FiledArray), taken(kept[2]).tolist()
    (True, [8, 9, 10, 11])
    """

    def __init__(self, max_bytes: int | None = None) -> None:
        self._free = MAX_BYTES_IN_MEMORY if max_bytes is None else max_bytes
        self._file: _File | None = None

    def keep(self, array: NDArray[np.generic]) -> NDArray[np.generic] | FiledArray:
        """Keep an array; `taken` gives it back."""
        if self._file is None and array.nbytes <= self._free:
            self._free -= array.nbytes
            return array
        if self._file is None:
            self._file = _File()
        return FiledArray(self._file, array)


def taken(kept: NDArray[np.generic] | FiledArray) -> NDArray[np.generic]:
    """Return an array that a shelf keeps."""
    return kept.read() if isinstance(kept, FiledArray) else kept


def _reserve(file: int, n_bytes: int) -> None:
    """Take the space now: writing to a mapped file on a full disk ends the process by a signal."""
    folder = tempfile.gettempdir()
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, n_bytes)
            return
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _no_room(n_bytes, folder, exc.errno) from exc
        # otherwise a file system that cannot reserve
    if shutil.disk_usage(folder).free < n_bytes:
        raise _no_room(n_bytes, folder, errno.ENOSPC)


def _no_room(n_bytes: int, folder: str, number: int) -> OSError:
    return OSError(
        number,
        f"training data of {n_bytes / 1e6:,.0f} MB do not fit into the temporary folder {folder!r}. Let "
        "TMPDIR name a folder with more room, or SKTRANSFER_TRAINING_BYTES allow more bytes in memory.",
    )
