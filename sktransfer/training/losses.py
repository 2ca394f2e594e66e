"""Losses by row, so that each row can have a weight, and how good an epoch was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KINDS", "RowLoss", "prior_scores", "quality", "weighted_loss"]

KINDS: Final = ("binary", "multiclass", "multilabel", "regression")


class RowLoss(nn.Module):
    """The loss that suits a kind of target.

    Parameters
    ----------
    kind : {"binary", "multiclass", "multilabel", "regression"}
        Cross-entropy of one logit (binary), of a softmax (multiclass), of each of several logits,
        averaged (multilabel); or the squared error, averaged over targets.
    label_smoothing : float in [0, 1), default=0.0
        The part of the probability that is spread evenly over the classes [1]_.

    References
    ----------
    .. [1] Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016,
       section 7.

    Examples
    --------
    >>> RowLoss("binary")(torch.zeros(2, 1), torch.tensor([[0.0], [1.0]]))
    tensor(0.6931)
    """

    def __init__(self, kind: str, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.kind, self.label_smoothing = kind, label_smoothing

    def rows(self, scores: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of each row, (batch,).

        Parameters
        ----------
        scores : Tensor of shape (batch, n_outputs)
            Logits, or standardised predictions.
        target : Tensor of shape (batch, n_outputs), float32
            Probabilities, or standardised targets.
        """
        if self.kind == "regression":
            return F.mse_loss(scores, target, reduction="none").mean(1)
        if self.kind == "multiclass":
            target = torch.lerp(
                target, torch.full_like(target, 1 / target.shape[1]), self.label_smoothing
            )
            return F.cross_entropy(scores, target, reduction="none")
        target = torch.lerp(target, torch.full_like(target, 0.5), self.label_smoothing)
        return F.binary_cross_entropy_with_logits(scores, target, reduction="none").mean(1)

    def forward(self, scores: Tensor, target: Tensor) -> Tensor:
        """Average over the rows."""
        return self.rows(scores, target).mean()


def weighted_loss(criterion: nn.Module, scores: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Average the losses of the rows of a batch by weights whose mean over all rows is one.

    Raises
    ------
    ValueError
        If `criterion` is somebody's own, which has one loss for the batch, and the weights differ.
    """
    if isinstance(criterion, RowLoss):
        return (criterion.rows(scores, target) * weight).mean()
    if not torch.allclose(weight, torch.ones_like(weight)):
        raise ValueError(
            f"net_params={{'criterion': {type(criterion).__name__}}} gives one loss for a batch, "
            "so rows cannot have weights. Leave out sample_weight and class_weight and keep equal "
            "rows out of X, or leave out the criterion."
        )
    loss: Tensor = criterion(scores, target)
    return loss


def prior_scores(kind: str, targets: Tensor, weights: Tensor) -> Tensor:
    """Compute the scores that suit all rows alike, (n_outputs,).

    Parameters
    ----------
    kind : str
        Of the targets.
    targets : Tensor of shape (n_rows, n_outputs)
        As for `RowLoss`.
    weights : Tensor of shape (n_rows,)
        Of the rows, with a mean of one.

    Examples
    --------
    >>> targets = torch.tensor([[1.0], [1.0], [1.0], [0.0]])
    >>> prior_scores("binary", targets, torch.ones(4)).sigmoid().round(decimals=2)
    tensor([0.7000])
    """
    n_rows, n_outputs = targets.shape
    if kind == "regression":
        return torch.zeros(n_outputs)
    n_values = n_outputs if kind == "multiclass" else 2
    totals = (targets * weights[:, None]).sum(0)
    share = (totals + 1 / n_values) / (n_rows + 1)  # as if one more row were of all classes alike
    return share.log() if kind == "multiclass" else torch.logit(share)


def quality(kind: str, scores: NDArray[np.float32], targets: NDArray[np.float32]) -> float:
    """Measure accuracy, or the coefficient of determination averaged over targets.

    Parameters
    ----------
    kind : str
        Of the targets.
    scores, targets : ndarray of shape (n_rows, n_outputs)
        As for `RowLoss`.

    Examples
    --------
    >>> quality("binary", np.array([[2.0], [-1.0]]), np.array([[1.0], [1.0]]))
    0.5
    """
    if kind == "regression":
        error = ((scores - targets) ** 2).sum(0)
        spread = ((targets - targets.mean(0)) ** 2).sum(0)
        return float(np.mean(1 - error / np.where(spread > 0, spread, 1)))
    if kind == "multiclass":
        return float(np.mean(scores.argmax(1) == targets.argmax(1)))
    return float(np.mean((scores > 0) == (targets > 0.5)))
