"""Grey images of Pillow with more than 8 bits, as an array in the range that their type means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["deep_grey_pixels"]

_SIXTEEN_BITS = frozenset({"JPEG2000", "PNG", "PPM"})  # whose integers Pillow scales to 16 bits
_PHOTOMETRIC, _BITS, _WHITE_IS_ZERO = 262, 258, 0


def deep_grey_pixels(image: Image.Image) -> NDArray[np.generic]:
    """Return the values of an image of mode "I", "I;16" or "F".

    Pillow turns the white of a TIFF whose zero is white only up to 8 bits, and leaves 12 bits at the
    bottom of 16. Integers of mode "I" are bytes if none is above 255, and otherwise 16 bits: 32-bit
    files hold either, and so do images in memory.

    Parameters
    ----------
    image : PIL.Image.Image
        Decoded.

    Returns
    -------
    ndarray of shape (height, width)
        uint16 if the values are of 16 bits; transparent pixels are white.
    """
    pixels = np.asarray(image)
    if image.mode == "F":
        return _unmasked(image, 1 - pixels if _is_white_zero(image) else pixels, 1.0)
    if image.mode.startswith("I;16") or image.format in _SIXTEEN_BITS or _fits_16_bits_only(pixels):
        pixels = pixels.astype(np.uint16)
        n_bits = _tiff_bits(image)
        if 8 < n_bits < 16:
            pixels <<= 16 - n_bits
        white = np.iinfo(np.uint16).max
    else:
        white = 255
    return _unmasked(image, white - pixels if _is_white_zero(image) else pixels, white)


def _fits_16_bits_only(pixels: NDArray[np.generic]) -> bool:
    return bool(pixels.min() >= 0 and 255 < pixels.max() < 1 << 16)


def _unmasked(image: Image.Image, pixels: NDArray[np.generic], white: float) -> NDArray[np.generic]:
    """Put the one value that a PNG calls transparent on white."""
    transparent = image.info.get("transparency")
    if not isinstance(transparent, int):
        return pixels
    return np.where(pixels == transparent, np.asarray(white, pixels.dtype), pixels)


def _is_white_zero(image: Image.Image) -> bool:
    return _tiff_tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO


def _tiff_bits(image: Image.Image) -> int:
    bits = _tiff_tag(image, _BITS)
    return bits[0] if isinstance(bits, tuple) and bits else bits if isinstance(bits, int) else 0


def _tiff_tag(image: Image.Image, tag: int) -> object:
    return getattr(image, "tag_v2", {}).get(tag)
