"""Continuous targets: standardised inside, in the user's units outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.utils import check_array

from sktransfer.training.targets.target import Target

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

__all__ = ["ContinuousTarget", "check_values"]


@dataclass(frozen=True)
class ContinuousTarget(Target):
    """One or several numbers an image, and their squared errors averaged.

    Parameters
    ----------
    mean, scale : ndarray of shape (n_targets,)
        Weighted mean and standard deviation; a target that is constant has the scale 1.
    one_axis : bool
        Whether y had one axis.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    one_axis: bool

    @classmethod
    def of(cls, y: NDArray[np.float64], weights: NDArray[np.float64]) -> ContinuousTarget:
        """Measure targets of shape (n_rows,) or (n_rows, n_targets)."""
        columns = y.reshape(len(y), -1)
        mean = np.average(columns, axis=0, weights=weights)
        scale = np.sqrt(np.average((columns - mean) ** 2, axis=0, weights=weights))
        tiny = 10 * np.finfo(np.float64).eps * np.abs(columns).max(axis=0)
        return cls(mean, np.where(scale <= tiny, 1.0, scale), y.ndim == 1)

    @property
    def n_outputs(self) -> int:
        """One score for each target."""
        return len(self.mean)

    def encode(self, y: NDArray[Any]) -> NDArray[np.float32]:
        """Standardise targets, (n_rows, n_targets).

        Raises
        ------
        ValueError
            If there are more or fewer targets than before.
        """
        columns = y.reshape(len(y), -1)
        if columns.shape[1] != self.n_outputs:
            raise ValueError(
                f"y has {columns.shape[1]} targets, while the first call had {self.n_outputs}."
            )
        return ((columns - self.mean) / self.scale).astype(np.float32)

    def decode(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return scores in the user's units."""
        values = scores * self.scale + self.mean
        return values[:, 0] if self.one_axis else values

    def restore(self, encoded: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return encoded targets in the user's units."""
        return self.decode(encoded.astype(np.float64))

    def row_losses(self, scores: Tensor, encoded: Tensor) -> Tensor:
        """Compute the squared error of each row, averaged over targets."""
        return F.mse_loss(scores, encoded, reduction="none").mean(1)

    def prior_scores(self, encoded: Tensor, weights: Tensor) -> Tensor:  # noqa: ARG002 - API
        """Return zeros, the standardised mean."""
        return torch.zeros(encoded.shape[1])

    def quality(self, scores: NDArray[np.float32], encoded: NDArray[np.float32]) -> float:
        """Measure the coefficient of determination, averaged over targets."""
        error = ((scores - encoded) ** 2).sum(0)
        spread = ((encoded - encoded.mean(0)) ** 2).sum(0)
        return float(np.mean(1 - error / np.where(spread > 0, spread, 1)))


def check_values(y: ArrayLike) -> NDArray[np.float64]:
    """Return continuous targets as an array of one or two axes.

    Raises
    ------
    ValueError
        If they hold NaN or infinity, or have another shape.
    """
    values: NDArray[np.float64] = check_array(
        y, dtype=np.float64, ensure_2d=False, input_name="y", ensure_min_samples=1
    )
    if values.ndim not in (1, 2):
        raise ValueError(
            f"y has the shape {values.shape}. Pass one target a row, (n,), or several, (n, k)."
        )
    return values
