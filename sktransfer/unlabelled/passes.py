"""How often a distillation passes over its images, where nobody says it."""

from __future__ import annotations

import numpy as np

__all__ = ["n_passes"]

_VIEWS = 60_000  # in all, between the two numbers of passes
_FEWEST, _MOST = 10, 15


def n_passes(n_images: int) -> int:
    """Choose the number of passes over the images: 15 over few, 10 over many.

    Examples
    --------
    >>> n_passes(1000), n_passes(5000), n_passes(100_000)
    (15, 12, 10)
    """
    return int(np.clip(_VIEWS // max(1, n_images), _FEWEST, _MOST))
