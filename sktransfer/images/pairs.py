"""Items of a Dataset that lie in a list, as scikit-learn cuts them: an image and its label."""

from __future__ import annotations

import os

import numpy as np
import torch
from PIL import Image

__all__ = ["image_of", "is_pair"]


def image_of(item: object) -> object:
    """Return the image of a pair, and anything else as it is.

    Examples
    --------
    >>> image_of(("leaf/1.jpg", 3)), image_of("leaf/1.jpg")
    ('leaf/1.jpg', 'leaf/1.jpg')
    """
    return item[0] if isinstance(item, (tuple, list)) and is_pair(item) else item


def is_pair(item: object) -> bool:
    """Say whether this is what a Dataset returns for a row: an image first, and then other things.

    Two texts side by side may be two paths, so they are none; a list is one only if a label,
    rather than a second image, follows.
    """
    if not isinstance(item, (tuple, list)) or len(item) < 2:
        return False
    image, label = item[0], item[1]
    if isinstance(image, (str, bytes, os.PathLike)):
        return not isinstance(label, (str, bytes, os.PathLike))
    if not _has_pixels(image):
        return False
    return isinstance(item, tuple) or not _has_pixels(label)


def _has_pixels(item: object) -> bool:
    if isinstance(item, (np.ndarray, torch.Tensor)):
        return item.ndim >= 2
    return isinstance(item, Image.Image)
