"""The alignment of two domains: a loss beside that of the labels, and what it records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from sktransfer.training.settings import TrainingSettings

__all__ = ["AlignedBatch", "Alignment"]


@dataclass(frozen=True)
class AlignedBatch:
    """The features of one batch of both domains.

    Parameters
    ----------
    features : Tensor of shape (batch, width)
        Input of the domain classifier, or of the distance between domains; gradients pass.
    domains : Tensor of shape (batch,), dtype int64
        Index of each row's domain.
    n_source : int
        Number of rows, the first ones, that are of a source.
    n_sources : int
        Number of domains, the first ones, that are sources.
    strength : float
        Current weight (lambda) of the alignment.
    rate : float
        Current learning rate of the heads.
    classifier : nn.Module or None
        Domain classifier, from features to logits.
    """

    features: Tensor
    domains: Tensor
    n_source: int
    n_sources: int
    strength: float
    rate: float
    classifier: nn.Module | None

    @property
    def halves(self) -> tuple[Tensor, Tensor]:
        """Features of the source and of the target."""
        return self.features[: self.n_source], self.features[self.n_source :]


class Alignment(ABC):
    """Brings the features of two domains together; a new way is a subclass in a file of its own."""

    has_domain_classifier: ClassVar[bool] = False

    @abstractmethod
    def loss(self, batch: AlignedBatch) -> tuple[Tensor, dict[str, float]]:
        """Compute what is added to the label loss, and records for the history of the step."""

    def start(  # noqa: B027 - most have nothing to prepare
        self, classifier: nn.Module | None, settings: TrainingSettings
    ) -> None:
        """Prepare for a training; called once, when the network is on its device."""

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Return the optimisers of parameters that the training's own optimiser leaves alone."""
        return []

    def check_gradient(  # noqa: B027 - only a domain classifier can be dead
        self, features: Tensor, strength: float
    ) -> None:
        """Refuse, after a backward pass, an alignment from which features cannot learn."""
