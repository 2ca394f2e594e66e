"""Losses between two domains: of a domain head on logits, CORAL, MMD, entropy, and the map of CDAN."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "conditional_map",
    "conditional_width",
    "coral_loss",
    "domain_accuracy",
    "domain_loss",
    "entropy_loss",
    "mmd_loss",
    "two_or_more",
]

_BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the kernels of MMD, in medians of the distance


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
        How many rows, the first ones, are of the source; the rest is of the target. Both are at
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
    >>> x = torch.tensor([[0.0, 1.0], [2.0, 5.0], [4.0, 3.0]])
    >>> float(coral_loss(x, x + 7)), float(coral_loss(x, 2 * x))
    (0.0, 22.5)
    """
    difference = _covariance(source) - _covariance(target)
    return difference.square().sum() / (4 * source.shape[1] ** 2)


def mmd_loss(source: Tensor, target: Tensor) -> Tensor:
    """Compute the squared maximum mean discrepancy of the features of both domains.

    The unbiased estimate of equation 3 of [1]_, with the mean of five Gaussian kernels whose widths
    are a quarter to four times the median distance of the rows, as in deep adaptation networks [2]_.
    It may be slightly negative where the domains are alike.

    Parameters
    ----------
    source, target : Tensor of shape (batch, d)
        At least two rows each; the numbers of rows may differ.

    Returns
    -------
    Tensor of shape (), dtype float32

    References
    ----------
    .. [1] Gretton et al., "A kernel two-sample test", JMLR 13, 2012.
    .. [2] Long, Cao, Wang, Jordan, "Learning transferable features with deep adaptation networks",
       ICML 2015.

    Examples
    --------
    >>> x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    >>> abs(mmd_loss(x[:100], x[100:])) < 0.02 < 0.5 < mmd_loss(x[:100], x[100:] + 5)
    tensor(True)
    """
    rows = torch.cat([source, target]).float()
    squared = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").square()
    n, m = len(source), len(target)
    off_diagonal = ~torch.eye(n + m, dtype=torch.bool, device=rows.device)
    median = squared.detach()[off_diagonal].median().clamp_min(1e-12)
    kernel = torch.stack([torch.exp(-squared / (2 * w * w * median)) for w in _BANDWIDTHS]).mean(0)
    kernel = kernel * off_diagonal  # (n + m, n + m)
    within_source = kernel[:n, :n].sum() / (n * (n - 1))
    within_target = kernel[n:, n:].sum() / (m * (m - 1))
    return within_source + within_target - 2 * kernel[:n, n:].mean()


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


def two_or_more(logits: Tensor) -> Tensor:
    """Return one logit for each of two classes, where there is one for the second alone.

    Examples
    --------
    >>> two_or_more(torch.tensor([[3.0]]))
    tensor([[0., 3.]])
    """
    return torch.cat([torch.zeros_like(logits), logits], 1) if logits.shape[1] == 1 else logits


def _covariance(rows: Tensor) -> Tensor:
    centred = rows.float() - rows.float().mean(0)
    return centred.T @ centred / (len(rows) - 1)


def _projection(n_in: int, n_out: int) -> Tensor:
    """Return the same random directions in every call: (n_in, n_out)."""
    return torch.randn(n_in, n_out, generator=torch.Generator().manual_seed(n_in))
