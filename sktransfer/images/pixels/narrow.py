"""Pixels that come out near black because they fill a small part of what their type can hold.

Twelve bits of a camera in files of 16, bytes that became uint16, or the digits of scikit-learn,
which go from 0 to 16: all are pictures, and nothing in them says what their white is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NEAR_BLACK", "Notice", "is_varied", "nobody", "notice_narrow"]

Notice: TypeAlias = Callable[[str], None]
"""Called with the end of a sentence whose subject is the image, when it looks wrong."""

_N_VALUES = 8
NEAR_BLACK = 16  # of 255: brighter pictures are taken for what they seem


def nobody(problem: str) -> None:
    """Ignore a notice."""


def notice_narrow(array: NDArray[np.generic], notice: Notice) -> None:
    """Call `notice` if all values of an array lie in the lowest part of their range.

    Parameters
    ----------
    array : ndarray
        One image, valid for its dtype. One of zeros only is black on purpose, and uint8 is
        taken at its word.
    notice : callable
        See `Notice`.
    """
    if notice is nobody or array.dtype in (np.uint8, np.bool_):
        return
    high = float(array.max())
    if high <= 0 or not _is_narrow(array.dtype, high) or not is_varied(array):
        return
    if array.dtype == np.uint16:
        notice(_of_16_bits(int(high)))
    elif array.dtype.kind in "iu":
        notice(
            f"holds integers up to {int(high)}, which are near black where 255 is white. If their "
            f"white is lower, scale them: (X * (255 / white)).astype('uint8')"
        )
    else:
        notice(
            f"holds floats up to {high:.2g}, which are black where 1 is white. If they were "
            "divided by 255 twice, multiply them by 255"
        )


def is_varied(*arrays: NDArray[np.generic]) -> bool:
    """Say whether images hold so many values that something is to be seen if they are stretched."""
    return len(np.unique(np.concatenate([array.ravel() for array in arrays]))) >= _N_VALUES


def _is_narrow(dtype: np.dtype[Any], high: float) -> bool:
    if dtype == np.uint16:
        return high < 256 * NEAR_BLACK
    return high <= (NEAR_BLACK if dtype.kind in "iu" else 1.5 / 255)


def _of_16_bits(high: int) -> str:
    problem = f"holds 16-bit pixels up to {high}, which are near black where 65535 is white"
    if high < 256:
        return f"{problem}. If they are bytes, convert them: X.astype('uint8')"
    bits = high.bit_length()
    return f"{problem}. If they are of {bits} bits, shift them to the top: X << {16 - bits}"
