"""Several labels an image: a matrix of 0 and 1 with a column for each label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sktransfer.training.targets.classes import BinaryTarget

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MultilabelTarget"]


@dataclass(frozen=True)
class MultilabelTarget(BinaryTarget):
    """A logit for each label, and their binary cross-entropies averaged.

    `classes` are the numbers of the columns.

    Examples
    --------
    >>> target = MultilabelTarget(np.arange(3), np.dtype(int))
    >>> target.labels(np.array([[0.9, 0.2, 0.6]])).tolist()
    [[1, 0, 1]]
    """

    @property
    def n_outputs(self) -> int:
        """One logit for each label."""
        return len(self.classes)

    def encode(self, y: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return the matrix as float32.

        Raises
        ------
        ValueError
            If it has another number of columns.
        """
        if y.ndim != 2 or y.shape[1] != len(self.classes):
            raise ValueError(
                f"y has the shape {y.shape}, while there are {len(self.classes)} labels. Pass "
                f"a matrix of 0 and 1 with {len(self.classes)} columns."
            )
        return y.astype(np.float32)

    def restore(self, encoded: NDArray[np.float32]) -> NDArray[np.generic]:
        """Return the matrix in the dtype of the user's."""
        return (encoded > 0.5).astype(self.dtype)

    def probabilities(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map logits to the probability of each label, (n_rows, n_labels)."""
        with np.errstate(over="ignore"):
            positive = 1 / (1 + np.exp(-scores))
        # A label is never certain: float64 would round large scores to 0 and 1.
        tiny = np.finfo(np.float64).eps
        limited: NDArray[np.float64] = positive.clip(tiny, 1 - tiny)
        return limited

    def labels(self, probabilities: NDArray[np.float64]) -> NDArray[np.generic]:
        """Map probabilities to all labels above one half."""
        flags: NDArray[np.generic] = (probabilities > 0.5).astype(self.dtype)
        return flags

    def strata(self, encoded: NDArray[np.float32]) -> NDArray[np.generic]:
        """Put all rows into one group: sets of labels are too many."""
        return np.zeros(len(encoded))
