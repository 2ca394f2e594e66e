"""The domain classifier: its loss, its accuracy, and what it sees of features and predictions."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sktransfer.adaptation.logits import two_or_more

__all__ = [
    "conditional_map",
    "conditional_width",
    "domain_accuracy",
    "domain_loss",
    "domain_records",
    "inverted_domain_loss",
]


def domain_loss(logits: Tensor, domains: Tensor, n_source: int) -> Tensor:
    """Compute how badly a head tells domains apart: mean over source rows plus mean over target rows.

    As in equation 9 of [1]_ the means of both halves are added, so a head that guesses has a loss
    of 2 log 2 with two domains. Many programs average instead, which halves what their lambda does.

    Parameters
    ----------
    logits : Tensor of shape (batch, 1) or (batch, n_domains)
        One logit for the probability of the second of two domains, or one for each of several.
    domains : Tensor of shape (batch,), dtype int64
        Index of each row's domain.
    n_source : int
        Number of rows of the source, which come first; the rest is of the target. Both are at
        least 1.

    Returns
    -------
    Tensor of shape (), dtype float32

    References
    ----------
    .. [1] Ganin et al., "Domain-adversarial training of neural networks", JMLR 17(59), 2016.

    Examples
    --------
    >>> float(domain_loss(torch.zeros(4, 1), torch.tensor([0, 0, 0, 1]), n_source=3))
    1.386...
    """
    logits = logits.float()
    if logits.shape[1] == 1:
        losses = F.binary_cross_entropy_with_logits(
            logits[:, 0], domains.to(logits.dtype), reduction="none"
        )
    else:
        losses = F.cross_entropy(logits, domains, reduction="none")
    return losses[:n_source].mean() + losses[n_source:].mean()


def domain_accuracy(logits: Tensor, domains: Tensor) -> Tensor:
    """Compute the share of rows whose domain the logits of `domain_loss` name."""
    named = (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)
    return (named == domains).float().mean()


def inverted_domain_loss(logits: Tensor, n_source: int, n_sources: int) -> Tensor:
    """Compute how far rows of the source are from looking like the target, and the other way round.

    With two domains this is `domain_loss` with exchanged labels.

    Parameters
    ----------
    logits : Tensor of shape (batch, 1) or (batch, n_domains)
        As for `domain_loss`.
    n_source : int
        Number of rows, the first ones, that are of a source.
    n_sources : int
        Number of domains, the first ones, that are sources.
    """
    share = two_or_more(logits.float()).log_softmax(1)
    as_source = share[:, :n_sources].logsumexp(1)
    as_target = share[:, n_sources:].logsumexp(1)
    return -(as_target[:n_source].mean() + as_source[n_source:].mean())


def domain_records(loss: Tensor, logits: Tensor, domains: Tensor) -> dict[str, float]:
    """Return what the history keeps of a domain classifier: its loss and its accuracy."""
    accuracy = domain_accuracy(logits.detach(), domains)
    return {"domain_loss": float(loss.detach()), "domain_accuracy": float(accuracy)}


def conditional_map(features: Tensor, probabilities: Tensor, n_columns: int = 4096) -> Tensor:
    """Join features and predictions for a domain head that sees both.

    The multilinear map of equation 5 of [1]_, each feature times each probability; where this has
    more than `n_columns` columns, the randomised one of equation 6.

    Parameters
    ----------
    features : Tensor of shape (batch, d)
        Gradients pass.
    probabilities : Tensor of shape (batch, n_classes)
        Detached, so that the head cannot change the predictions this way.
    n_columns : int, default=4096
        The most columns that the result may have.

    Returns
    -------
    Tensor of shape (batch, d * n_classes) or (batch, n_columns)

    References
    ----------
    .. [1] Long, Cao, Wang, Jordan, "Conditional adversarial domain adaptation", NeurIPS 2018.

    Examples
    --------
    >>> conditional_map(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.25, 0.75]]))
    tensor([[0.2500, 0.7500, 0.5000, 1.5000]])
    """
    probabilities = probabilities.detach().to(features.dtype)
    if features.shape[1] * probabilities.shape[1] <= n_columns:
        joined: Tensor = torch.einsum("bd,bc->bdc", features, probabilities)
        return joined.flatten(1)
    of_features, of_classes = (
        _projection(part.shape[1], n_columns).to(features) for part in (features, probabilities)
    )
    drawn: Tensor = (features @ of_features) * (probabilities @ of_classes)
    return drawn / math.sqrt(n_columns)


def conditional_width(n_features: int, n_classes: int, n_columns: int = 4096) -> int:
    """Return the number of columns of `conditional_map`."""
    return min(n_features * n_classes, n_columns)


def _projection(n_in: int, n_out: int) -> Tensor:
    """Return the same random directions in every call: (n_in, n_out)."""
    return torch.randn(n_in, n_out, generator=torch.Generator().manual_seed(n_in))
