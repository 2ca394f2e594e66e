"""A label for each pixel: cross-entropy and Dice over the pixels that are labelled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
import torch.nn.functional as F

from sktransfer.training.targets.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["LOSSES", "MaskTarget"]

LOSSES: Final = ("auto", "ce", "dice", "focal", "lovasz")
"""The losses that have a name."""


@dataclass(frozen=True, eq=False)
class MaskTarget(Target):
    """Classes of pixels; a code that is none of theirs counts nowhere.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted labels.
    at_codes : callable
        Function from scores (batch, n_classes, ...) and the shape of codes (height, width) to the
        scores at the places of the codes.
    loss : {"auto", "ce", "dice", "focal", "lovasz"} or callable, default="auto"
        "auto" is cross-entropy and Dice. A callable takes scores (batch, n_classes, height, width),
        codes (batch, height, width), and weights of the pixels, 0 where nothing counts.
    class_weights : ndarray of shape (n_classes,), optional
        Weight of each class in the cross-entropy.
    label_smoothing : float, default=0.0
        Part of the probability that is spread over all classes.
    """

    classes: NDArray[np.generic]
    at_codes: Callable[[Tensor, tuple[int, int]], Tensor]
    loss: Any = "auto"
    class_weights: NDArray[np.float32] | None = None
    label_smoothing: float = 0.0

    @property
    def n_outputs(self) -> int:
        """One score for each class."""
        return len(self.classes)

    def encode(self, y: NDArray[Any]) -> NDArray[Any]:
        """Return codes as they are; `MaskLabels` makes them."""
        return y

    def decode(self, scores: NDArray[np.float64]) -> NDArray[np.generic]:
        """Map scores (n_rows, n_classes, height, width) to labels."""
        labels: NDArray[np.generic] = self.classes[scores.argmax(1)]
        return labels

    def restore(self, encoded: NDArray[np.generic]) -> NDArray[np.generic]:
        """Map codes to labels; what counts nowhere takes the first."""
        labels: NDArray[np.generic] = self.classes[encoded % len(self.classes)]
        return labels

    def row_losses(self, scores: Tensor, encoded: Tensor) -> Tensor:
        """Compute the loss of each row; every labelled pixel of a batch counts the same."""
        codes = encoded.long()
        scores = self.at_codes(scores.float(), (codes.shape[1], codes.shape[2]))
        counted = codes < self.n_outputs
        if not isinstance(self.loss, str):
            own: Tensor = self.loss(scores, codes.where(counted, 0), counted.float())
            return own if own.dim() == 1 else own.expand(len(codes))
        total = scores.new_zeros(len(codes))
        if self.loss in ("auto", "ce", "focal"):
            total = total + self._cross_entropy(scores, codes, counted)
        if self.loss in ("auto", "dice"):
            total = total + _dice(scores, codes, counted)
        if self.loss == "lovasz":
            total = total + _lovasz(scores, codes, counted)
        return total

    def _cross_entropy(self, scores: Tensor, codes: Tensor, counted: Tensor) -> Tensor:
        weights = None
        if self.class_weights is not None:
            weights = torch.as_tensor(self.class_weights, device=scores.device)
        losses = F.cross_entropy(
            scores, codes.where(counted, -100), weights, reduction="none",
            label_smoothing=self.label_smoothing,
        )  # fmt: skip
        if self.loss == "focal":  # exponent 2
            losses = losses * (1 - torch.exp(-losses)) ** 2
        per_row = counted.sum().clamp(min=1) / len(codes)
        return losses.sum((1, 2)) / per_row

    def prior_scores(self, encoded: Tensor, weights: Tensor) -> Tensor:  # noqa: ARG002 - API
        """Compute the logarithm of each class's share of the labelled pixels."""
        codes = encoded.flatten().long()
        counts = torch.bincount(codes[codes < self.n_outputs], minlength=self.n_outputs)
        return self.prior_of_counts(counts.numpy())

    def prior_of_counts(self, counts: NDArray[np.int64]) -> Tensor:
        """Compute the same from numbers of pixels (n_classes,)."""
        return torch.from_numpy(np.log((counts + 1) / (counts.sum() + self.n_outputs))).float()

    def summary(
        self, scores: NDArray[np.float32], encoded: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Count pixels of each pair of true and predicted class, (1, n_classes, n_classes)."""
        placed = self.at_codes(torch.from_numpy(scores), (encoded.shape[1], encoded.shape[2]))
        found, counted = placed.argmax(1).numpy(), encoded < self.n_outputs
        pairs = encoded[counted].astype(np.int64) * self.n_outputs + found[counted]
        counts = np.bincount(pairs, minlength=self.n_outputs**2)
        return counts.reshape(1, self.n_outputs, self.n_outputs), encoded[:0, 0, 0]

    def quality(self, scores: NDArray[np.generic], encoded: NDArray[np.generic]) -> float:  # noqa: ARG002 - API
        """Measure the mean IoU over the classes that either side has, from summed counts."""
        counts = scores.sum(0)
        hits = np.diagonal(counts)
        union = counts.sum(0) + counts.sum(1) - hits
        return float(np.mean(hits[union > 0] / union[union > 0])) if union.any() else 0.0


def _dice(scores: Tensor, codes: Tensor, counted: Tensor) -> Tensor:
    """Compute one minus the mean Dice of the classes that the batch holds."""
    kept = counted[:, None]
    shares = scores.softmax(1) * kept
    true = F.one_hot(codes.where(counted, 0), scores.shape[1]).movedim(-1, 1) * kept
    both, total = (shares * true).sum((0, 2, 3)), (shares + true).sum((0, 2, 3))
    present = true.sum((0, 2, 3)) > 0
    if not bool(present.any()):
        return scores.sum((1, 2, 3)) * 0
    return (1 - (2 * both / total.clamp(min=1e-6))[present].mean()).expand(len(codes))


def _lovasz(scores: Tensor, codes: Tensor, counted: Tensor) -> Tensor:
    """Compute the Lovasz extension of one minus IoU, averaged over the classes of the batch [1]_.

    References
    ----------
    .. [1] Berman, Rannen Triki, Blaschko, "The Lovasz-softmax loss", CVPR 2018, equation 12.
    """
    shares, labels = scores.softmax(1).movedim(1, -1)[counted], codes[counted]
    losses = []
    for label in np.unique(labels.cpu().numpy()).tolist():
        true = (labels == label).float()
        errors, order = (true - shares[:, label]).abs().sort(descending=True)
        true = true[order]
        union = true.sum() + (1 - true).cumsum(0)
        jaccard = 1 - (true.sum() - true.cumsum(0)) / union
        losses.append(errors @ torch.diff(jaccard, prepend=jaccard.new_zeros(1)))
    if not losses:
        return scores.sum((1, 2, 3)) * 0
    return torch.stack(losses).mean().expand(len(codes))
