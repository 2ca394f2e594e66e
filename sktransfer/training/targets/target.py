"""The target of a training: how `y` is encoded, what a row's loss is, and the way back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["RowLoss", "Target", "weighted_loss"]


class Target(ABC):
    """What a network learns to give for an image.

    A new kind of target is a subclass in a file of its own. A training asks nothing else about `y`.
    """

    @property
    @abstractmethod
    def n_outputs(self) -> int:
        """Number of scores that the head gives for an image."""

    @abstractmethod
    def encode(self, y: NDArray[np.generic]) -> NDArray[np.float32]:
        """Map targets of the user to what scores are compared with, (n_rows, n_outputs).

        Raises
        ------
        ValueError
            If a target is not of this kind.
        """

    @abstractmethod
    def decode(self, scores: NDArray[np.float64]) -> NDArray[np.generic]:
        """Map scores (n_rows, n_outputs) to the targets that `predict` returns."""

    @abstractmethod
    def restore(self, encoded: NDArray[np.float32]) -> NDArray[np.generic]:
        """Map encoded targets back to those of the user."""

    @abstractmethod
    def row_losses(self, scores: Tensor, encoded: Tensor) -> Tensor:
        """Compute the loss of each row, (batch,), from scores and encoded targets of one shape."""

    @abstractmethod
    def prior_scores(self, encoded: Tensor, weights: Tensor) -> Tensor:
        """Compute the scores (n_outputs,) that suit all rows alike.

        Parameters
        ----------
        encoded : Tensor of shape (n_rows, n_outputs)
            Encoded targets.
        weights : Tensor of shape (n_rows,)
            Weights of the rows, with a mean of one.
        """

    @abstractmethod
    def quality(self, scores: NDArray[np.float32], encoded: NDArray[np.float32]) -> float:
        """Measure how good scores are: 1 is perfect."""

    def summary(
        self, scores: NDArray[np.float32], encoded: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Reduce a validation batch to what `quality` needs of it, joined along the first axis."""
        return scores, encoded

    def strata(self, encoded: NDArray[np.float32]) -> NDArray[np.generic]:
        """Name the group of each row, each of which gives its share to a validation part."""
        return np.zeros(len(encoded))


class RowLoss(nn.Module):
    """The loss of a target as a criterion of torch.

    Parameters
    ----------
    target : Target
        Its `row_losses` are averaged.

    Examples
    --------
    >>> import torch
    >>> from sktransfer.training.targets import BinaryTarget
    >>> target = BinaryTarget(np.array(["ant", "bee"]), np.dtype("<U3"))
    >>> RowLoss(target)(torch.zeros(2, 1), torch.tensor([[0.0], [1.0]]))
    tensor(0.6931)
    """

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.target = target

    def rows(self, scores: Tensor, encoded: Tensor) -> Tensor:
        """Compute the loss of each row, (batch,)."""
        return self.target.row_losses(scores, encoded)

    def forward(self, scores: Tensor, encoded: Tensor) -> Tensor:
        """Average over the rows."""
        return self.rows(scores, encoded).mean()


def weighted_loss(criterion: nn.Module, scores: Tensor, encoded: Tensor, weight: Tensor) -> Tensor:
    """Average the losses of the rows of a batch by weights whose mean over all rows is one.

    Raises
    ------
    ValueError
        If `criterion` is somebody's own, which has one loss for the batch, and the weights differ.
    """
    if isinstance(criterion, RowLoss):
        return (criterion.rows(scores, encoded) * weight).mean()
    if not bool((weight - 1).abs().max() < 1e-5):
        raise ValueError(
            f"net_params={{'criterion': {type(criterion).__name__}}} gives one loss for a batch, "
            "so rows cannot have weights. Leave out sample_weight and class_weight and keep equal "
            "rows out of X, or leave out the criterion."
        )
    loss: Tensor = criterion(scores, encoded)
    return loss
