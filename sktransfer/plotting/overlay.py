"""Overlays: a map laid over its image, orange for what speaks for a class and blue for what speaks against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sktransfer.saliency import SaliencyMaps

__all__ = ["AGAINST", "FOR", "overlays"]

FOR: Final = (0xF0, 0x6A, 0x10)
"""Red, green and blue of what speaks for the class."""
AGAINST: Final = (0x1F, 0x78, 0xE0)
"""The same, of what speaks against it."""

_QUANTILE = 0.995  # of a map's absolute values, which gets the full colour
_STRENGTH = 0.8  # of the full colour


def overlays(saliency: SaliencyMaps) -> NDArray[np.uint8]:
    """Lay maps over grey versions of their images.

    Parameters
    ----------
    saliency : SaliencyMaps
        Maps to draw. Of "cam", the constant is shared out evenly over the pixels first, so that what is orange
        outweighs what is blue by just the decision value.

    Returns
    -------
    ndarray of shape (n_images, side, side, 3), dtype uint8
        Each has its own scale of colours.
    """
    maps = saliency.maps
    if saliency.constants is not None:
        maps = maps + (saliency.constants / maps[0].size)[:, None, None]
    size = np.abs(maps)
    full = np.quantile(size, _QUANTILE, axis=(1, 2), keepdims=True)
    opacity = _STRENGTH * np.clip(size / np.maximum(full, 1e-300), 0, 1)[..., None]
    grey = saliency.pixels @ np.array([0.299, 0.587, 0.114])  # luma of ITU-R BT.601
    color = np.where(maps[..., None] > 0, FOR, AGAINST)
    blended = (1 - opacity) * grey[..., None] + opacity * color
    shown: NDArray[np.uint8] = np.rint(blended).astype(np.uint8)
    return shown
