"""Large arrays: in memory, or in a file of the temporary folder that vanishes by itself."""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from sktransfer.parameters import bytes_allowed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["MAX_BYTES_IN_MEMORY", "allocate"]

_Scalar = TypeVar("_Scalar", bound=np.generic)

MAX_BYTES_IN_MEMORY = bytes_allowed("SKTRANSFER_TRAINING_BYTES", 2**31)
"""What one array of training data may take in memory; a larger one is a file."""


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
