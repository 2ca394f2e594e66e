"""Large arrays: in memory, or in a file of the temporary folder that vanishes by itself."""

from __future__ import annotations

import math
import os
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray

__all__ = ["MAX_BYTES_IN_MEMORY", "allocate"]

MAX_BYTES_IN_MEMORY = int(os.environ.get("SKTRANSFER_TRAINING_BYTES", 2**31))
"""What one array of training data may take in memory; a larger one is a file."""


def allocate(shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
    """Make an array without values, mapped from a file if it is large.

    The file has no name that anybody could find, and its space is free again when the array is no
    longer used.

    Examples
    --------
    >>> allocate((2, 3), np.float32).shape
    (2, 3)
    """
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if n_bytes <= MAX_BYTES_IN_MEMORY:
        return np.empty(tuple(shape), dtype)
    with tempfile.TemporaryFile(prefix="sktransfer-") as file:
        return np.memmap(file, dtype, mode="w+", shape=tuple(shape))
