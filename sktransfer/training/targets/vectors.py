"""Vectors of another network as a target: their directions, and how alike they are in a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from sktransfer.training.targets.target import Target

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["VectorTarget"]

_LEAST_VARIANCE = 0.01  # of the mean variance, added to each


@dataclass(frozen=True)
class VectorTarget(Target):
    """A vector an image, standardised by all of them; what counts is its direction.

    The scores of a network are its own standardised vector, followed by its prediction of the
    target's. The loss of a row is one less the cosine of prediction and target, and the mean squared
    difference of the cosines between this row and the batch, among own vectors and among targets [1]_.

    Parameters
    ----------
    mean, scale : ndarray of shape (n_outputs,), dtype float32
        Mean and deviation of each column; deviations are kept off zero.
    similarity_weight : float, default=10.0
        Weight of the second part of the loss.

    References
    ----------
    .. [1] Tung, Mori, "Similarity-preserving knowledge distillation", ICCV 2019, equation 4, with
       cosines in place of rows of unit length.

    Examples
    --------
    >>> target = VectorTarget.of(np.array([[1.0, 4.0], [3.0, 0.0]], np.float32))
    >>> target.encode(np.array([[2.0, 2.0]])).tolist()
    [[0.0, 0.0]]
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    similarity_weight: float = 10.0

    @classmethod
    def of(cls, vectors: NDArray[np.float32], similarity_weight: float = 10.0) -> VectorTarget:
        """Measure vectors of shape (n_rows, n_outputs)."""
        variance = vectors.var(0, dtype=np.float64)
        spread = variance + _LEAST_VARIANCE * variance.mean()
        scale = np.sqrt(np.where(spread > 0, spread, 1)).astype(np.float32)
        return cls(vectors.mean(0, dtype=np.float64).astype(np.float32), scale, similarity_weight)

    @property
    def n_outputs(self) -> int:
        """Width of the vectors that are predicted."""
        return len(self.mean)

    def encode(self, y: NDArray[Any]) -> NDArray[np.float32]:
        """Standardise vectors, (n_rows, n_outputs)."""
        standardized: NDArray[np.float32] = (y.astype(np.float32) - self.mean) / self.scale
        return standardized

    def decode(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the predicted vectors, unstandardised; only their directions were learned."""
        return scores[:, -self.n_outputs :] * self.scale + self.mean

    def restore(self, encoded: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return encoded vectors as they were."""
        return self.decode(encoded.astype(np.float64))

    def row_losses(self, scores: Tensor, encoded: Tensor) -> Tensor:
        """Compute the loss of each row, (batch,), from scores (batch, n_features + n_outputs)."""
        own, predicted = scores[:, : -self.n_outputs], scores[:, -self.n_outputs :]
        apart: Tensor = 1 - F.cosine_similarity(predicted, encoded, dim=1)
        unlike = (_cosines(own) - _cosines(encoded)).square().mean(1)
        return apart + self.similarity_weight * unlike

    def prior_scores(self, encoded: Tensor, weights: Tensor) -> Tensor:  # noqa: ARG002 - API
        """Return zeros, the standardised mean."""
        return torch.zeros(encoded.shape[1])

    def quality(self, scores: NDArray[np.float32], encoded: NDArray[np.float32]) -> float:
        """Measure the mean cosine of prediction and target."""
        predicted = torch.from_numpy(scores[:, -self.n_outputs :])
        return float(F.cosine_similarity(predicted, torch.from_numpy(encoded), dim=1).mean())


def _cosines(rows: Tensor) -> Tensor:
    """Compute the cosines between all rows, (batch, batch)."""
    directions = F.normalize(rows, dim=1)
    return directions @ directions.T
