"""Scores at the strides of layers, placed at the pixels of an image, some rows at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sktransfer.segmentation.grids import Grid, resample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["CoarseScores"]

_VALUES = 2**24  # scores that are held at the size of the image


@dataclass(frozen=True, eq=False)
class CoarseScores:
    """Scores of an image's classes; what several layers say of a pixel is added.

    Parameters
    ----------
    parts : sequence of (Tensor of shape (1, n_classes, height, width), Grid)
        Scores, and where they lie in the network's input.
    size : (int, int)
        Height and width of the image.
    scale : (float, float)
        Pixels of the network's input in one pixel of the image, down and across.
    are_probabilities : bool, default=False
        Whether they are none that a softmax would make probabilities.
    """

    parts: Sequence[tuple[Tensor, Grid]]
    size: tuple[int, int]
    scale: tuple[float, float] = (1.0, 1.0)
    are_probabilities: bool = False

    def codes(self) -> NDArray[np.intp]:
        """Find the class with the largest score of each pixel: (height, width)."""
        # `argmax` over a first axis takes four times as long
        return np.concatenate([some.max(0).indices.numpy() for some in self._strips()])

    def probabilities(self) -> NDArray[np.float32]:
        """Compute the probability of each class at each pixel: (height, width, n_classes)."""
        strips = [
            (some if self.are_probabilities else some.softmax(0)).movedim(0, -1).numpy()
            for some in self._strips()
        ]
        return np.concatenate(strips)

    def _strips(self) -> Iterator[Tensor]:
        """Place scores at the pixels of some rows, (n_classes, rows, width), from top to bottom."""
        height, width = self.size
        n_rows = max(1, _VALUES // (width * self.parts[0][0].shape[1]))
        for start in range(0, height, n_rows):
            size = (min(n_rows, height - start), width)
            to = (Grid(1.0, float(start)), Grid(1.0))
            yield sum(resample(some, grid, to, size, self.scale)[0] for some, grid in self.parts)  # type: ignore[misc] # a sum of tensors
