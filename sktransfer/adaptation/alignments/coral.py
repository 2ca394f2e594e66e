"""CORAL: the covariances of the features of both domains become alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sktransfer.adaptation.alignments.alignment import AlignedBatch, Alignment

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Coral", "coral_loss"]


class Coral(Alignment):
    """Minimises `coral_loss`."""

    def loss(self, batch: AlignedBatch) -> tuple[Tensor, dict[str, float]]:
        """Compute the distance of the covariances, times lambda."""
        distance = coral_loss(*batch.halves)
        return batch.strength * distance, {"domain_loss": float(distance.detach())}


def coral_loss(source: Tensor, target: Tensor) -> Tensor:
    """Compare the covariances of the features of both domains.

    ``|C_source - C_target|^2 / (4 d^2)``, the squared Frobenius norm of equation 1 of [1]_, with the
    covariances of equations 2 and 3.

    Parameters
    ----------
    source, target : Tensor of shape (batch, d)
        At least two rows each; the numbers of rows may differ.

    Returns
    -------
    Tensor of shape (), dtype float32

    References
    ----------
    .. [1] Sun, Saenko, "Deep CORAL: correlation alignment for deep domain adaptation", ECCV
       workshops, 2016.

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor([[0.0, 1.0], [2.0, 5.0], [4.0, 3.0]])
    >>> float(coral_loss(x, x + 7)), float(coral_loss(x, 2 * x))
    (0.0, 22.5)
    """
    difference = _covariance(source) - _covariance(target)
    return difference.square().sum() / (4 * source.shape[1] ** 2)


def _covariance(rows: Tensor) -> Tensor:
    centred = rows.float() - rows.float().mean(0)
    return centred.T @ centred / (len(rows) - 1)
