"""Gradient reversal: the identity forwards, minus lambda times the gradient backwards."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

__all__ = ["reversal_strength", "reverse_gradient"]


def reverse_gradient(features: Tensor, strength: float) -> Tensor:
    """Pass features on unchanged, and their gradient back with the sign turned.

    What comes after this, the domain head, learns at its full rate; only what comes before, the
    features, feels `strength` (the pseudo-function of equations 16 and 17 of [1]_).

    Parameters
    ----------
    features : Tensor of any shape and floating dtype
        What the domain head reads.
    strength : float
        Lambda; 0 keeps every gradient of the domain head from the features.

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
        What lambda rises to.
    gamma : float, default=10.0
        How early it rises; with 0 it stays 0. Infinity gives `lambda_max` from the second step on.

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
