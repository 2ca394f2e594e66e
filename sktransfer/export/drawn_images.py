"""Images drawn for a check, with the spectrum of photographs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["draw_images"]


def draw_images(size: int, n_images: int = 5) -> list[NDArray[np.uint8]]:
    """Draw images of several sizes with the 1/f spectrum of photographs.

    Parameters
    ----------
    size : int
        Side of a network's input in pixels, which is the size of the first.
    n_images : int, default=5
        Number of images.
    """
    rng = np.random.default_rng(0)
    sides = size * rng.uniform(0.7, 1.9, (n_images, 1)) * rng.uniform(1, 1.5, (n_images, 2))
    sides[0] = size
    return [_noise(int(height), int(width), rng) for height, width in sides]


def _noise(height: int, width: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    amplitude = 1 / (np.hypot(rows, columns) + 1 / max(height, width))  # (height, width // 2 + 1)
    white = rng.normal(size=(3, height, width))
    white += 1.5 * white.mean(0)  # the channels of photographs are alike
    drawn = np.fft.irfft2(np.fft.rfft2(white) * amplitude, s=(height, width))
    levels = 128 + 50 * drawn / drawn.std((1, 2), keepdims=True)
    pixels: NDArray[np.uint8] = np.moveaxis(levels.clip(0, 255), 0, -1).round().astype(np.uint8)
    return np.ascontiguousarray(pixels)
