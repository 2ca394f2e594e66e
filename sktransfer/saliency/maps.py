"""The maps that every method returns, and how cells of a layer are spread over pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SaliencyMaps", "spread_cells"]


@dataclass(frozen=True, eq=False)
class SaliencyMaps:
    """Where in some images an estimator sees what speaks for a class, and against it.

    Parameters
    ----------
    maps : ndarray of shape (n_images, side, side), dtype float64
        One value for each pixel of `pixels`; what is above zero speaks for the target.
    pixels : ndarray of shape (n_images, side, side, 3), dtype uint8
        Images as the estimator saw them, after they were resized and cropped.
    targets : ndarray of shape (n_images,)
        The class that each map is about; zeros for a regression.
    values : ndarray of shape (n_images,), dtype float64
        Output of the estimator for the target: the decision value of the class, or its probability
        if there is no decision value.
    method : {"cam", "grad_cam", "occlusion"}
        Method that computed them.
    constants : ndarray of shape (n_images,), dtype float64, or None
        Part of `values` that comes from no place in the image, for "cam":
        ``values == maps.sum((1, 2)) + constants``. None for the other methods.
    layer_maps : dict of str to ndarray of shape (n_images, height, width)
        The cells of each layer before they were spread over pixels; of "occlusion", under
        "patches", by how much each patch lowered the value.

    See Also
    --------
    saliency_maps : Makes them.
    SaliencyDisplay : Draws them.

    Examples
    --------
    >>> import numpy as np
    >>> pixels = np.zeros((1, 2, 2, 3), np.uint8)
    >>> len(SaliencyMaps(np.ones((1, 2, 2)), pixels, np.array(["a"]), np.array([4.0]), "occlusion"))
    1
    """

    maps: NDArray[np.float64]
    pixels: NDArray[np.uint8]
    targets: NDArray[np.generic]
    values: NDArray[np.float64]
    method: str
    constants: NDArray[np.float64] | None = None
    layer_maps: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.maps)


def spread_cells(
    cells: NDArray[np.float64], height: int, width: int | None = None
) -> NDArray[np.float64]:
    """Spread the cells of a grid smoothly over pixels, so that the sum stays the same.

    Each cell is shared out among the pixels near it, with the weights of bilinear interpolation,
    scaled so that they add up to one.

    Parameters
    ----------
    cells : ndarray of shape (n_images, n_rows, n_columns)
        Values.
    height : int
        In pixels.
    width : int, default=None
        In pixels; None is `height`.

    Returns
    -------
    ndarray of shape (n_images, height, width), dtype float64

    Examples
    --------
    >>> spread_cells(np.array([[[1.0, 3.0]]]), 1, 4)
    array([[[0.5 , 0.75, 1.25, 1.5 ]]])
    """
    width = height if width is None else width
    down, across = _shares(cells.shape[1], height), _shares(cells.shape[2], width)
    spread: NDArray[np.float64] = down @ cells @ across.T
    return spread


def _shares(n_cells: int, n_pixels: int) -> NDArray[np.float64]:
    """How much of each cell every pixel gets: (n_pixels, n_cells), no fewer pixels than cells."""
    places = (np.arange(n_pixels) + 0.5) * n_cells / n_pixels - 0.5  # of the pixels, in cells
    distances = np.abs(np.clip(places, 0, n_cells - 1)[:, None] - np.arange(n_cells))
    weights = np.maximum(0.0, 1.0 - distances)
    shares: NDArray[np.float64] = weights / weights.sum(0)
    return shares
