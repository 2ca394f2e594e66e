"""Hand-made features of every pixel: colours, edges and textures at several scales."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["hand_made_features"]

_SCALES: Final = (1.0, 2.0, 4.0)  # standard deviations of the smoothing, in pixels


def hand_made_features(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute features of each pixel: (n_features, height, width).

    The colours, and at each of three scales the smoothed colours, the length of the gradient of the
    brightness, its Laplacian, both eigenvalues of its second derivatives, and its local deviation.

    Examples
    --------
    >>> hand_made_features(np.zeros((8, 9, 3), np.uint8)).shape
    (27, 8, 9)
    """
    colours = np.moveaxis(pixels.astype(np.float32) / 255, -1, 0)
    grey = colours.mean(0)
    features = [*colours]
    for scale in _SCALES:
        features += [ndimage.gaussian_filter(channel, scale) for channel in colours]
        features.append(ndimage.gaussian_gradient_magnitude(grey, scale))
        features += _second_derivatives(grey, scale)
        mean = ndimage.gaussian_filter(grey, scale)
        square = ndimage.gaussian_filter(grey**2, scale)
        features.append(np.sqrt(np.maximum(square - mean**2, 0)))
    return np.stack(features).astype(np.float32)


def _second_derivatives(grey: NDArray[np.float32], scale: float) -> list[NDArray[np.float32]]:
    """Compute the Laplacian and the eigenvalues of the Hessian."""
    down, both, across = (
        ndimage.gaussian_filter(grey, scale, order=order) for order in ((2, 0), (1, 1), (0, 2))
    )
    half, spread = (down + across) / 2, np.hypot((down - across) / 2, both)
    return [down + across, half + spread, half - spread]
