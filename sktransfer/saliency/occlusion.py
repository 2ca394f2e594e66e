"""Occlusion: how much a decision suffers when a part of the image is covered, for any estimator.

A patch of the image's own mean colour is laid over one place after another, and the value of the target
is computed again [1]_. A place matters by how much the value falls when it is the middle of the patch,
interpolated between middles. Covered images pass the network in batches, and none is kept in a store.

References
----------
.. [1] Zeiler, Fergus, "Visualizing and understanding convolutional networks", ECCV 2014, section 4.2.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from sktransfer.features.maps import pixels_seen
from sktransfer.features.pipelines import split_pipeline
from sktransfer.images import as_image_sequence
from sktransfer.preprocessing import Preprocessing
from sktransfer.saliency.decisions import classes_of, decide, target_columns
from sktransfer.saliency.maps import SaliencyMaps, spread_cells

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from sktransfer.images.sequences import ImageSequence

__all__ = ["occlusion_maps"]

_SIDE = 224  # in pixels, to which images are resized for an estimator that does not say its own
_TOGETHER = 256  # images that are decided upon at once


def occlusion_maps(estimator: object, X: object, target: object, n_cells: int) -> SaliencyMaps:
    """Cover parts of images and see what becomes of the decision.

    Parameters
    ----------
    estimator : estimator
        Fitted, of images.
    X : images
        Some images.
    target : label, array-like of labels or None
        See `target_columns`.
    n_cells : int
        Places down and across; a patch is two of them high and wide. Each image is decided upon
        ``n_cells ** 2`` times.

    Returns
    -------
    SaliencyMaps
        In units of the decision.
    """
    pixels = _pixels(estimator, X)
    decide_on = _without_store(estimator)
    values = decide_on(pixels)
    columns = target_columns(target, classes_of(estimator), values)
    _, height, width, _ = pixels.shape
    places = _patches(height, width, n_cells)
    covered = _decide_all(decide_on, pixels, places)  # (images, places, outputs)
    rows = np.arange(len(pixels))
    losses = values[rows, columns][:, None] - covered[rows, :, columns]  # (images, places)
    n_rows, n_columns = min(n_cells, height), min(n_cells, width)
    cells = losses.reshape(len(pixels), n_rows, n_columns)
    maps = spread_cells(cells, height, width) * (height * width / (n_rows * n_columns))
    classes = classes_of(estimator)
    return SaliencyMaps(
        maps=maps,
        pixels=pixels,
        targets=columns if classes is None else classes[columns],
        values=values[rows, columns],
        method="occlusion",
        layer_maps={"patches": cells},
    )


def _pixels(estimator: object, X: object) -> NDArray[np.uint8]:
    """Read images as the estimator's network sees them, or whole."""
    features, _ = split_pipeline(estimator)
    if features is not None:
        images = as_image_sequence(X, image_shape=features.image_shape)
        return pixels_seen(images, features._ready()[1].preprocessing)
    images = as_image_sequence(X, image_shape=_image_shape(estimator))
    net = getattr(getattr(estimator, "net_", None), "module_", None)
    preprocessing = getattr(net, "preprocessing", None)
    if isinstance(preprocessing, Preprocessing):
        return pixels_seen(images, preprocessing)
    return _whole(images)


def _whole(images: ImageSequence) -> NDArray[np.uint8]:
    """Read whole images; large ones, or those of different sizes, as squares of 224 pixels."""
    read = [images.load(row) for row in range(len(images))]
    if len({image.size for image in read}) > 1 or max(read[0].size) > _SIDE:
        read = [image.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC) for image in read]
    return np.stack([np.asarray(image) for image in read])


def _image_shape(estimator: object) -> Any:
    first = estimator
    while hasattr(first, "steps"):
        first = first.steps[0][1]
    return getattr(first, "image_shape", None)


def _without_store(estimator: object) -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
    """Decide upon images that nobody will ask for again."""
    features, rest = split_pipeline(estimator)
    if features is None:
        passing = copy.copy(estimator)
        if hasattr(passing, "cache"):
            passing.cache = None
        return lambda pixels: decide(passing, pixels)
    transient = copy.copy(features)
    transient.cache = None
    transient.verbose = 0
    return lambda pixels: decide(rest, transient.transform(pixels))


def _patches(height: int, width: int, n_cells: int) -> NDArray[np.bool_]:
    """List masks of patches around the middles of cells: (n_rows * n_columns, height, width)."""
    down, across = (_bands(side, min(n_cells, side)) for side in (height, width))
    return (down[:, None, :, None] & across[None, :, None, :]).reshape(-1, height, width)


def _bands(side: int, n_cells: int) -> NDArray[np.bool_]:
    """For each cell along one direction, the pixels less than one cell from its middle."""
    middles = (np.arange(n_cells) + 0.5) * side / n_cells
    places = np.arange(side) + 0.5
    return np.abs(places - middles[:, None]) < side / n_cells


def _decide_all(
    decide_on: Callable[[NDArray[np.uint8]], NDArray[np.float64]],
    pixels: NDArray[np.uint8],
    places: NDArray[np.bool_],
) -> NDArray[np.float64]:
    found = [decide_on(batch) for batch in _covered(pixels, places)]
    return np.concatenate(found).reshape(len(pixels), len(places), -1)


def _covered(pixels: NDArray[np.uint8], places: NDArray[np.bool_]) -> Iterator[NDArray[np.uint8]]:
    """Cover every place of every image, in batches, image by image."""
    for image in pixels:
        color = np.rint(image.mean((0, 1))).astype(np.uint8)
        for start in range(0, len(places), _TOGETHER):
            masks = places[start : start + _TOGETHER, :, :, None]  # (places, height, width, 1)
            yield np.where(masks, color, image)
