"""Comparisons with masks as y: what tells masks from labels, their folds, and the candidates."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
from PIL import Image
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GroupKFold, KFold, check_cv

from sktransfer.comparison.candidates import Candidate, check_choices
from sktransfer.images.columns import column_values
from sktransfer.labels import check_lengths
from sktransfer.segmentation import FineTuneSegmenter, PixelClassifier
from sktransfer.segmentation.masks import as_mask_sequence, stack_masks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import ArrayLike, NDArray

    from sktransfer.images import ImageShape

__all__ = ["digest_of_masks", "holds_masks", "mask_candidates", "mask_folds", "mask_rows"]

_LARGEST_BATCH = 8  # a mask has as many labels as pixels


def holds_masks(y: object) -> bool:
    """Tell masks from labels: arrays of two axes a row, images, and paths of files.

    Strings are paths if the first names a file that is there; otherwise they are names of classes.

    Examples
    --------
    >>> holds_masks(np.zeros((3, 8, 8), int)), holds_masks([np.zeros((8, 8), int)])
    (True, True)
    >>> holds_masks(["ant", "bee"]), holds_masks(np.array([0, 1]))
    (False, False)
    """
    values: Any = column_values(y)
    shape = getattr(values, "shape", None)
    if shape is not None and len(shape) > 1:
        return len(shape) > 2
    try:
        first = values[0]
    except (TypeError, IndexError, KeyError):
        return False
    if isinstance(first, str):
        return Path(first).is_file()
    is_map = len(getattr(first, "shape", ())) >= 2
    is_nested = isinstance(first, list) and len(first) > 0 and isinstance(first[0], list)
    return is_map or is_nested or isinstance(first, os.PathLike | Image.Image | bytes)


def mask_rows(X: Any, y: object) -> NDArray[np.generic]:
    """Return masks as an object array, from which the rows of a fold can be taken.

    Raises
    ------
    ValueError
        If there is not one mask for each image.
    """
    masks = as_mask_sequence(y)
    check_lengths(X=X, y=masks)
    values = column_values(y)
    rows = values if isinstance(values, list | tuple | np.ndarray) else list(values)
    return stack_masks(list(rows), as_one=False)


def mask_folds(
    cv: int | Any, n_images: int, groups: ArrayLike | None, random_state: int | None
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Split images once: an int gives shuffled folds, or folds of whole groups."""
    splitter = cv
    if isinstance(cv, int) and groups is not None:
        splitter = GroupKFold(cv)
    elif isinstance(cv, int):
        splitter = KFold(cv, shuffle=True, random_state=random_state)
    rows = np.zeros(n_images)
    found = check_cv(splitter).split(rows, rows, groups)
    return [(np.asarray(train), np.asarray(test)) for train, test in found]


def digest_of_masks(masks: NDArray[np.generic]) -> str:
    """Digest what masks hold, so that a file that has changed is another mask."""
    sequence = as_mask_sequence(masks)
    return str(joblib.hash([joblib.hash(sequence.read(row)) for row in range(len(sequence))]))


def mask_candidates(
    backbone: Any = "resnet50",
    *,
    weights: str | os.PathLike[str] = "default",
    layers: Sequence[Any] | None = None,
    unlabeled: object = -1,
    max_epochs: int = 20,
    image_shape: ImageShape = None,
    image_size: int | None = None,
    device: str | torch.device = "auto",
    batch_size: int = 32,
    cache: str | os.PathLike[str] | None = "memory",
    random_state: int | None = 0,
) -> dict[str, Candidate]:
    """Make the candidates of :func:`compare_strategies` for masks.

    Parameters
    ----------
    backbone, weights, image_shape, image_size, device, cache, random_state
        As in :class:`~sktransfer.FineTuneSegmenter`.
    layers : sequence or None, default=None
        The choices to search, each a value for the `layers` of :class:`~sktransfer.PixelClassifier`;
        None takes every stage.
    unlabeled : object, default=-1
        Label or labels whose pixels count nowhere.
    max_epochs : int, default=20
        Passes over the images of what is trained by gradients.
    batch_size : int, default=32
        Images of one step, of which at most 8 are taken.

    Examples
    --------
    >>> list(mask_candidates("tiny"))[:2]
    ['raw pixels + random forest', 'features + logistic regression']
    """
    shared: dict[str, Any] = {
        "unlabeled": unlabeled,
        "image_shape": image_shape,
        "image_size": image_size,
        "device": device,
        "batch_size": min(batch_size, _LARGEST_BATCH),
        "cache": cache,
        "random_state": random_state,
    }
    network = {"backbone": backbone, "weights": weights, **shared}
    forest = RandomForestClassifier(min_samples_leaf=3, random_state=random_state)
    choices = {} if layers is None else {"layers": check_choices("layers", layers)}
    return {
        "raw pixels + random forest": Candidate(PixelClassifier(forest, backbone=None, **shared)),
        "features + logistic regression": Candidate(PixelClassifier(**network), choices),
        **{
            strategy: Candidate(
                FineTuneSegmenter(strategy=strategy, max_epochs=max_epochs, **network),
                {"lr": [0.001, 0.01]},
            )
            for strategy in ("frozen", "partial", "full", "scratch")
        },
    }
