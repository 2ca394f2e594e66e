"""Alternating alignment: the domain classifier learns first, then the features against it."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import nn

from sktransfer.adaptation.alignments.adversarial import Adversarial
from sktransfer.adaptation.alignments.domain_classification import (
    domain_loss,
    domain_records,
    inverted_domain_loss,
)
from sktransfer.adaptation.alignments.reversal import reverse_gradient
from sktransfer.adaptation.norms import statistics_kept
from sktransfer.training.freezing import head_groups

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import Tensor

    from sktransfer.adaptation.alignments.alignment import AlignedBatch
    from sktransfer.training.settings import TrainingSettings

__all__ = ["Alternating"]


class Alternating(Adversarial):
    """Two steps in turn: the classifier learns the domains, then the features the inverted ones."""

    def start(self, classifier: nn.Module | None, settings: TrainingSettings) -> None:
        """Make the optimiser of the domain classifier."""
        super().start(classifier, settings)
        assert classifier is not None
        groups = head_groups(classifier, settings.lr, settings.weight_decay)
        self._optimizer = settings.make_optimizer(groups, lr=settings.lr)
        self._max_norm = math.inf if settings.max_grad_norm is None else settings.max_grad_norm

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Return the optimiser of the domain classifier."""
        return [self._optimizer]

    def loss(self, batch: AlignedBatch) -> tuple[Tensor, dict[str, float]]:
        """Train the classifier on the features as they are; then take it as given, inverted."""
        classifier = batch.classifier
        assert classifier is not None
        logits = classifier(batch.features.detach())
        loss = domain_loss(logits, batch.domains, batch.n_source)
        for group in self._optimizer.param_groups:
            group["lr"] = batch.rate
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(classifier.parameters(), self._max_norm)
        self._optimizer.step()
        with statistics_kept(classifier), _without_gradients(classifier):
            # Reversed with minus lambda, the gradient passes with plus lambda.
            given = classifier(self.watched(reverse_gradient(batch.features, -batch.strength)))
        inverted = inverted_domain_loss(given, batch.n_source, batch.n_sources)
        return inverted, domain_records(loss, logits, batch.domains)


@contextmanager
def _without_gradients(module: nn.Module) -> Iterator[None]:
    """Compute no gradients of a module's parameters, only those that pass through it."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
