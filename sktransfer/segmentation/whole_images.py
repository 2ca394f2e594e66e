"""Whole images: nothing is cut off; a size may be asked for, and tiny images get a border."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from sktransfer.parameters import check_integer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sktransfer.images.sequences import ImageSequence

__all__ = [
    "SMALLEST",
    "ImageSize",
    "check_image_size",
    "fixed_size",
    "read_image",
    "resized",
    "with_border",
]

ImageSize = int | tuple[int, int] | None
"""None for images as they are, the shorter side, or (height, width)."""

SMALLEST = 32
"""Pixels of a side that every network takes."""


def check_image_size(name: str, value: object) -> None:
    """Refuse what is neither None, a side, nor (height, width).

    Raises
    ------
    ValueError, TypeError
        Naming the parameter.
    """
    if value is None:
        return
    sides = value if isinstance(value, list | tuple) else [value]
    if len(sides) > 2 or not len(sides):
        raise ValueError(f"{name}={value!r} must be None, the shorter side, or (height, width).")
    for side in sides:
        check_integer(name, side, 1, "pixels of the shorter side, or (height, width)")


def read_image(images: ImageSequence, row: int) -> NDArray[np.uint8]:
    """Read one image, upright and RGB, in its own size."""
    payload = images.read(row)
    return payload if isinstance(payload, np.ndarray) else np.array(images.decode(row, payload))


def fixed_size(size: object) -> tuple[int, int] | None:
    """Return height and width if `image_size` names both.

    Examples
    --------
    >>> fixed_size((20, 30)), fixed_size(20)
    ((20, 30), None)
    """
    if isinstance(size, list | tuple) and len(size) == 2:
        return int(size[0]), int(size[1])
    return None


def resized(pixels: NDArray[np.uint8], size: Any) -> NDArray[np.uint8]:
    """Resize pixels (height, width, 3) to what `image_size` asks for, with antialiasing.

    Examples
    --------
    >>> resized(np.zeros((40, 60, 3), np.uint8), 20).shape
    (20, 30, 3)
    """
    height, width = pixels.shape[:2]
    if size is None:
        wanted = height, width
    elif (fixed := fixed_size(size)) is not None:
        wanted = fixed
    else:
        side = int(size[0] if isinstance(size, list | tuple) else size)
        factor = side / min(height, width)
        wanted = max(1, round(height * factor)), max(1, round(width * factor))
    if wanted == (height, width):
        return pixels
    image = Image.fromarray(pixels).resize(wanted[::-1], Image.Resampling.BILINEAR)
    return np.array(image)


def with_border(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the last row and column until a network can take the image."""
    missing = [max(0, SMALLEST - side) for side in pixels.shape[:2]]
    if not any(missing):
        return pixels
    return np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
