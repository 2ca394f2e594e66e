"""Gradient reversal: the identity forwards, minus lambda times the gradient backwards."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sktransfer.adaptation.alignments.adversarial import Adversarial
from sktransfer.adaptation.alignments.domain_classification import domain_loss, domain_records

if TYPE_CHECKING:
    from sktransfer.adaptation.alignments.alignment import AlignedBatch

__all__ = ["Reversal", "reversal_strength", "reverse_gradient"]


class Reversal(Adversarial):
    """One step for all, in which the gradient of the domain classifier is reversed [1]_.

    References
    ----------
    .. [1] Ganin et al., "Domain-adversarial training of neural networks", JMLR 17(59), 2016.
    """

    def loss(self, batch: AlignedBatch) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss of the domain classifier behind the reversal."""
        assert batch.classifier is not None
        reversed_ = self.watched(reverse_gradient(batch.features, batch.strength))
        logits = batch.classifier(reversed_)
        loss = domain_loss(logits, batch.domains, batch.n_source)
        return loss, domain_records(loss, logits, batch.domains)


def reverse_gradient(features: Tensor, strength: float) -> Tensor:
    """Pass features on unchanged, and their gradient back with the sign turned.

    The domain classifier, which comes after this, learns at its full rate; only what comes before, the
    features, feels `strength` (the pseudo-function of equations 16 and 17 of [1]_).

    Parameters
    ----------
    features : Tensor of any shape and floating dtype
        Input of the domain classifier.
    strength : float
        Lambda; 0 keeps every gradient of the domain classifier from the features.

    Returns
    -------
    Tensor
        Equal to `features`.

    References
    ----------
    .. [1] Ganin et al., "Domain-adversarial training of neural networks", JMLR 17(59), 2016.

    Examples
    --------
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> (3 * reverse_gradient(x, 0.5)).sum().backward()
    >>> x.grad
    tensor([-1.5000, -1.5000])
    """
    reversed_: Tensor = _Reverse.apply(features, strength)
    return reversed_


def reversal_strength(progress: float, lambda_max: float = 1.0, gamma: float = 10.0) -> float:
    """Compute lambda for a moment of the training.

    ``lambda_max * (2 / (1 + exp(-gamma * p)) - 1)``, section 5.2.2 of [1]_, where `lambda_max` is 1.

    Parameters
    ----------
    progress : float
        p: the share of the optimisation steps of the whole run that have been made, 0 to 1.
    lambda_max : float, default=1.0
        Final lambda.
    gamma : float, default=10.0
        Steepness of the rise; with 0 it stays 0. Infinity gives `lambda_max` from the second step on.

    Returns
    -------
    float
        0 at the start.

    References
    ----------
    .. [1] Ganin et al., "Domain-adversarial training of neural networks", JMLR 17(59), 2016.

    Examples
    --------
    >>> [round(reversal_strength(p), 3) for p in (0, 0.1, 0.5, 1)]
    [0.0, 0.462, 0.987, 1.0]
    """
    if progress <= 0:
        return 0.0
    return lambda_max * math.tanh(gamma * progress / 2)  # the same function, and never overflows


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradient, None
