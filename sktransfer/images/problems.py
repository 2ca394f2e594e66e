"""Why a single image cannot be read, in words."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from sktransfer.exceptions import ImageDecodeError
from sktransfer.images.kinds import as_image_sequence

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

__all__ = ["problem_of", "problems_of"]

_N_THREADS = 8


def problem_of(image: str | os.PathLike[str] | bytes | None) -> str | None:
    """Try to read an image; return the reason if that fails, and None if it does not.

    Parameters
    ----------
    image : str, path or bytes
        A file, or the bytes of one; None is no image.

    Examples
    --------
    >>> problem_of(b"no image")
    'is not an image, or of a kind that Pillow cannot read. ...'
    """
    X = np.empty(1, dtype=object)
    X[0] = image
    try:
        as_image_sequence(X).load(0)
    except ImageDecodeError as exc:
        reason = str(exc.fault).removeprefix("image 0 of 1 ")
        return (
            reason if isinstance(image, bytes | None) else reason.removeprefix(f"({str(image)!r}) ")
        )
    return None


def problems_of(paths: Sequence[str]) -> dict[str, str]:
    """Try to read all files; return those that fail, with the reason.

    Parameters
    ----------
    paths : sequence of str
        Paths of images.
    """
    with ThreadPoolExecutor(_N_THREADS) as pool:
        reasons = pool.map(problem_of, paths)
        return {path: reason for path, reason in zip(paths, reasons, strict=True) if reason}
