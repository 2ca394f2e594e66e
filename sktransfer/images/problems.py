"""Why a single image cannot be read, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sktransfer.exceptions import ImageDecodeError
from sktransfer.images.kinds import as_image_sequence

if TYPE_CHECKING:
    import os

__all__ = ["problem_of"]


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
