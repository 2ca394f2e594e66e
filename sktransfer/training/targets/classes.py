"""One label an image: a logit for the second of two classes, or a softmax over more."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from sktransfer.training.targets.target import Target

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["BinaryTarget", "ClassTarget", "MulticlassTarget"]


@dataclass(frozen=True)
class ClassTarget(Target):
    """Classes, in the order of their scores.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted labels.
    dtype : dtype
        Dtype of the labels that were given.
    label_smoothing : float in [0, 1), default=0.0
        Part of the probability that is spread evenly over the classes [1]_.

    References
    ----------
    .. [1] Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016,
       section 7.
    """

    classes: NDArray[np.generic]
    dtype: Any
    label_smoothing: float = 0.0

    @abstractmethod
    def probabilities(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map scores to probabilities (n_rows, n_classes); a NaN stays one."""

    def labels(self, probabilities: NDArray[np.float64]) -> NDArray[np.generic]:
        """Map probabilities (n_rows, n_classes) to the most probable label."""
        labels: NDArray[np.generic] = self.classes[probabilities.argmax(1)]
        return labels

    def decode(self, scores: NDArray[np.float64]) -> NDArray[np.generic]:
        """Map scores to the most probable label."""
        return self.labels(self.probabilities(scores))

    def codes(self, y: NDArray[np.generic]) -> NDArray[np.intp]:
        """Map labels to their places among the classes.

        Raises
        ------
        ValueError
            If a label is not among the classes.
        """
        codes = np.searchsorted(self.classes, y).clip(0, len(self.classes) - 1)
        unknown = self.classes[codes] != y
        if np.any(unknown):
            raise ValueError(
                f"y holds {np.unique(y[unknown])[:3].tolist()}, which is not among the classes "
                f"{self.classes.tolist()} of the first call. Pass `classes` with all of them then."
            )
        return codes

    def _shares(self, encoded: Tensor, weights: Tensor, n_values: int) -> Tensor:
        """Compute the share of each column, as if one more row were of all classes alike."""
        totals = (encoded * weights[:, None]).sum(0)
        return (totals + 1 / n_values) / (len(encoded) + 1)


@dataclass(frozen=True)
class BinaryTarget(ClassTarget):
    """Two classes: one logit, that of the second, and binary cross-entropy.

    Examples
    --------
    >>> target = BinaryTarget(np.array(["ant", "bee"]), np.dtype("<U3"))
    >>> target.encode(np.array(["bee", "ant"])).tolist()
    [[1.0], [0.0]]
    >>> targets = torch.tensor([[1.0], [1.0], [1.0], [0.0]])
    >>> target.prior_scores(targets, torch.ones(4)).sigmoid().round(decimals=2)
    tensor([0.7000])
    >>> target.quality(np.array([[2.0], [-1.0]]), np.array([[1.0], [1.0]]))
    0.5
    """

    @property
    def n_outputs(self) -> int:
        """One logit."""
        return 1

    def encode(self, y: NDArray[np.generic]) -> NDArray[np.float32]:
        """Map labels to the probability of the second class, (n_rows, 1)."""
        return self.codes(y)[:, None].astype(np.float32)

    def restore(self, encoded: NDArray[np.float32]) -> NDArray[np.generic]:
        """Map probabilities of the second class to labels."""
        return self.classes[(encoded[:, 0] > 0.5).astype(int)]  # type: ignore[no-any-return]

    def probabilities(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map logits (n_rows, 1) to probabilities (n_rows, 2)."""
        with np.errstate(over="ignore"):
            positive = 1 / (1 + np.exp(-scores))
        return np.hstack([1 - positive, positive])

    def row_losses(self, scores: Tensor, encoded: Tensor) -> Tensor:
        """Compute the binary cross-entropy of each row."""
        encoded = torch.lerp(encoded, torch.full_like(encoded, 0.5), self.label_smoothing)
        return F.binary_cross_entropy_with_logits(scores, encoded, reduction="none").mean(1)

    def prior_scores(self, encoded: Tensor, weights: Tensor) -> Tensor:
        """Compute the logit of the share of the second class."""
        return torch.logit(self._shares(encoded, weights, 2))

    def quality(self, scores: NDArray[np.float32], encoded: NDArray[np.float32]) -> float:
        """Measure the accuracy."""
        return float(np.mean((scores > 0) == (encoded > 0.5)))

    def strata(self, encoded: NDArray[np.float32]) -> NDArray[np.generic]:
        """Name the class of each row."""
        return encoded[:, 0]


@dataclass(frozen=True)
class MulticlassTarget(ClassTarget):
    """Three classes or more: a softmax over one score each, and cross-entropy."""

    @property
    def n_outputs(self) -> int:
        """One score for each class."""
        return len(self.classes)

    def encode(self, y: NDArray[np.generic]) -> NDArray[np.float32]:
        """Map labels to a row with a one in the column of the class."""
        return np.eye(len(self.classes), dtype=np.float32)[self.codes(y)]

    def restore(self, encoded: NDArray[np.float32]) -> NDArray[np.generic]:
        """Map rows to the label of their largest column."""
        return self.classes[encoded.argmax(1)]  # type: ignore[no-any-return]

    def probabilities(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map scores to a softmax, (n_rows, n_classes)."""
        exp: NDArray[np.float64] = np.exp(scores - scores.max(1, keepdims=True))
        shares: NDArray[np.float64] = exp / exp.sum(1, keepdims=True)
        return shares

    def row_losses(self, scores: Tensor, encoded: Tensor) -> Tensor:
        """Compute the cross-entropy of each row."""
        even = torch.full_like(encoded, 1 / encoded.shape[1])
        encoded = torch.lerp(encoded, even, self.label_smoothing)
        return F.cross_entropy(scores, encoded, reduction="none")

    def prior_scores(self, encoded: Tensor, weights: Tensor) -> Tensor:
        """Compute the logarithm of the share of each class."""
        return self._shares(encoded, weights, encoded.shape[1]).log()

    def quality(self, scores: NDArray[np.float32], encoded: NDArray[np.float32]) -> float:
        """Measure the accuracy."""
        return float(np.mean(scores.argmax(1) == encoded.argmax(1)))

    def strata(self, encoded: NDArray[np.float32]) -> NDArray[np.generic]:
        """Name the class of each row."""
        classes: NDArray[np.generic] = encoded.argmax(1)
        return classes
