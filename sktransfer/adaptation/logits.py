"""Logits of classes or domains: one for the second of two, or one for each; and their entropy."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["entropy_loss", "mean_prediction_entropy", "two_or_more"]


def entropy_loss(scores: Tensor) -> Tensor:
    """Compute the mean entropy of the predictions, in nats: 0 where all are certain.

    Minimised on unlabelled rows it moves the boundary of the classes to where there are few of them [1]_.

    Parameters
    ----------
    scores : Tensor of shape (batch, 1) or (batch, n_classes)
        One logit for two classes, or one for each.

    Returns
    -------
    Tensor of shape (), dtype float32

    References
    ----------
    .. [1] Grandvalet, Bengio, "Semi-supervised learning by entropy minimization", NeurIPS 2004,
       equation 4.

    Examples
    --------
    >>> float(entropy_loss(torch.zeros(3, 2))), float(entropy_loss(torch.tensor([[0.0], [99.0]])))
    (0.693..., 0.346...)
    """
    logarithms = F.log_softmax(two_or_more(scores.float()), 1)
    return -(logarithms.exp() * logarithms).sum(1).mean()


def mean_prediction_entropy(scores: Tensor) -> Tensor:
    """Compute the entropy of the mean prediction, in nats: 0 where all rows are given to one class.

    Kept high while the entropy of each prediction is brought down, it keeps all rows from falling to
    one class [1]_, [2]_.

    Parameters
    ----------
    scores : Tensor of shape (batch, 1) or (batch, n_classes)
        One logit for two classes, or one for each.

    Returns
    -------
    Tensor of shape (), dtype float32

    References
    ----------
    .. [1] Krause, Perona, Gomes, "Discriminative clustering by regularized information
       maximization", NeurIPS 2010, equation 3.
    .. [2] Liang, Hu, Feng, "Do we really need to access the source data? Source hypothesis transfer
       for unsupervised domain adaptation", ICML 2020, equation 4.

    Examples
    --------
    >>> float(mean_prediction_entropy(torch.tensor([[-99.0], [99.0]])))
    0.693...
    """
    mean = two_or_more(scores.float()).softmax(1).mean(0)
    entropy: Tensor = -torch.special.xlogy(mean, mean).sum()
    return entropy


def two_or_more(logits: Tensor) -> Tensor:
    """Return one logit for each of two classes, where there is one for the second alone.

    Examples
    --------
    >>> two_or_more(torch.tensor([[3.0]]))
    tensor([[0., 3.]])
    """
    return torch.cat([torch.zeros_like(logits), logits], 1) if logits.shape[1] == 1 else logits
