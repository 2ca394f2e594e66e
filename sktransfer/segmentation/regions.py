"""Regions: where objects are, as boxes and areas of the connected parts of masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import ndimage

from sktransfer.exceptions import MaskError
from sktransfer.parameters import check_integer
from sktransfer.segmentation.mask_labels import as_labels
from sktransfer.segmentation.masks import as_mask_sequence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["find_regions"]

COLUMNS = ("image", "label", "top", "left", "bottom", "right", "area", "score")

_EIGHT_NEIGHBOURS = np.ones((3, 3), int)


def find_regions(
    masks: Any, *, probabilities: Any = None, labels: Any = None, min_pixels: int = 0
) -> pd.DataFrame:
    """Find the connected parts of masks: one row for each, with its box, area and score.

    Pixels that touch at a side or a corner are connected.

    Parameters
    ----------
    masks : masks
        As `predict` returns them, or of any kind that `fit` takes.
    probabilities : sequence of ndarray, optional
        For each image, probabilities (height, width, n_classes) as `predict_proba` returns them, of
        which the largest at a pixel counts; or one number a pixel, (height, width).
    labels : label or sequence of labels, optional
        Labels whose regions are wanted; None takes all.
    min_pixels : int, default=0
        Area of the smallest region that is kept.

    Returns
    -------
    DataFrame
        With the columns image (row of the mask), label, top, left, bottom, right (in pixels; bottom
        and right are the first row and column outside, so that ``mask[top:bottom, left:right]`` is the
        box), area (pixels of the region itself), and score (mean probability over the region, NaN
        without `probabilities`). Regions of an image are ordered by label and from top to bottom.

    Raises
    ------
    MaskError
        If `probabilities` do not fit the masks.

    See Also
    --------
    FineTuneSegmenter : Predicts masks.
    MaskScorer : Scores of masks.

    Examples
    --------
    >>> mask = np.array([[0, 1, 1], [0, 0, 0], [1, 0, 0]])
    >>> find_regions([mask], labels=1)[["top", "left", "bottom", "right", "area"]].values.tolist()
    [[0, 1, 1, 3, 2], [2, 0, 3, 1, 1]]
    """
    smallest = check_integer("min_pixels", min_pixels, 0, "area of the smallest region")
    sequence = as_mask_sequence(masks, name="masks")
    if probabilities is not None and len(probabilities) != len(sequence):
        raise MaskError(
            f"there are {len(sequence)} masks and probabilities of {len(probabilities)} images. Pass "
            "one for each image."
        )
    wanted = None if labels is None else as_labels(labels)
    rows: list[tuple[Any, ...]] = []
    for image in range(len(sequence)):
        mask = sequence.read(image)
        certainty = None if probabilities is None else _certainty(probabilities[image], mask, image)
        rows += [(image, *region) for region in _regions(mask, certainty, wanted, smallest)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"score": np.float64})


def _regions(
    mask: NDArray[np.generic], certainty: NDArray[np.generic] | None, wanted: Any, smallest: int
) -> Iterator[tuple[Any, ...]]:
    found = np.unique(mask)
    for label in found if wanted is None else found[np.isin(found, wanted)]:
        parts, n_parts = ndimage.label(mask == label, _EIGHT_NEIGHBOURS)
        if not n_parts:
            continue
        areas = np.bincount(parts.ravel(), minlength=n_parts + 1)
        totals = (
            np.full(n_parts + 1, np.nan)
            if certainty is None
            else np.bincount(parts.ravel(), certainty.ravel(), minlength=n_parts + 1)
        )
        for part, (rows, columns) in enumerate(ndimage.find_objects(parts), 1):
            if areas[part] >= smallest:
                box = (rows.start, columns.start, rows.stop, columns.stop)
                yield (label.item(), *box, int(areas[part]), totals[part] / areas[part])


def _certainty(values: Any, mask: NDArray[np.generic], image: int) -> NDArray[np.generic]:
    array = np.asarray(values)
    array = array.max(-1) if array.ndim == 3 else array
    if array.shape != mask.shape:
        raise MaskError(
            f"probabilities of image {image} have the shape {np.shape(values)}, while its mask has "
            f"{mask.shape}. Pass an array (height, width, n_classes), as predict_proba returns it."
        )
    return array
