"""Heads for two tasks: a bottleneck from which one head tells classes and another tells domains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from sktransfer.adaptation.alignments.domain_classification import (
    conditional_map,
    conditional_width,
)
from sktransfer.adaptation.logits import two_or_more
from sktransfer.parameters import check_integer
from sktransfer.training.heads import check_head, make_head

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["AdaptationHead", "TwoHeads", "check_domain_head"]


@dataclass(frozen=True)
class TwoHeads:
    """Builds an `AdaptationHead`; small and plain, so that it can travel in a pickle.

    Parameters
    ----------
    head : str or callable
        Head of the classes, see `training.heads.make_head`.
    bottleneck : int or None
        Width of the layer that both heads read; None lets them read the features themselves.
    dropout : float
        Dropout before the class head.
    domain_head : tuple of int, callable or None
        Widths of the hidden layers; or a function (in_features, out_features); or no such head.
    n_domains : int
        Number of domains.
    conditional : bool
        Whether the domain classifier sees the prediction, too.
    batch_norm : bool
        Whether the bottleneck has a BatchNorm.
    """

    head: str | Callable[[int, int], nn.Module]
    bottleneck: int | None
    dropout: float
    domain_head: tuple[int, ...] | Callable[[int, int], nn.Module] | None
    n_domains: int
    conditional: bool = False
    batch_norm: bool = True

    def __call__(self, in_features: int, out_features: int) -> AdaptationHead:
        """Build it with weights from torch's own random numbers."""
        narrow, width = nn.Sequential(), in_features
        if self.bottleneck is not None:
            width = self.bottleneck
            narrow.append(nn.Linear(in_features, width))
            if self.batch_norm:
                narrow.append(nn.BatchNorm1d(width))
            narrow.append(nn.ReLU())
        label = nn.Sequential(nn.Dropout(self.dropout), make_head(self.head, width, out_features))
        seen = conditional_width(width, max(2, out_features)) if self.conditional else width
        return AdaptationHead(narrow, label, self._domain_head(seen), width, self.conditional)

    def _domain_head(self, width: int) -> nn.Module | None:
        n_outputs = 1 if self.n_domains == 2 else self.n_domains
        if self.domain_head is None:
            return None
        if not isinstance(self.domain_head, tuple):
            return make_head(self.domain_head, width, n_outputs)
        layers: list[nn.Module] = []
        for hidden in self.domain_head:
            layers += [nn.Linear(width, hidden), nn.ReLU()]
            width = hidden
        return nn.Sequential(*layers, nn.Linear(width, n_outputs))


class AdaptationHead(nn.Module):
    """From features to what both heads read, and from there to scores of classes and of domains.

    Parameters
    ----------
    bottleneck, label : nn.Module
        From features to `width` columns, and from there to scores of classes.
    domain : nn.Module or None
        From what `joined` returns to scores of domains.
    width : int
        Number of columns that the heads read.
    conditional : bool, default=False
        Whether the domain classifier sees the prediction, too.

    Examples
    --------
    >>> import torch
    >>> head = TwoHeads("linear", 8, 0.5, (16,), n_domains=2)(4, 3).eval()
    >>> hidden = head.hidden(torch.zeros(5, 4))
    >>> hidden.shape, head.label(hidden).shape, head.domain(hidden).shape
    (torch.Size([5, 8]), torch.Size([5, 3]), torch.Size([5, 1]))
    """

    bottleneck: nn.Module
    label: nn.Module

    def __init__(
        self,
        bottleneck: nn.Module,
        label: nn.Module,
        domain: nn.Module | None,
        width: int,
        conditional: bool = False,
    ) -> None:
        super().__init__()
        self.bottleneck, self.label, self.domain = bottleneck, label, domain
        self.width, self.conditional = width, conditional

    def hidden(self, features: Tensor) -> Tensor:
        """Compute what both heads read: (batch, width)."""
        hidden: Tensor = self.bottleneck(features)
        return hidden

    def joined(self, hidden: Tensor, scores: Tensor) -> Tensor:
        """Compute what the domain head reads: `hidden`, or `conditional_map` with the prediction."""
        if not self.conditional:
            return hidden
        return conditional_map(hidden, two_or_more(scores).softmax(1))

    def forward(self, features: Tensor) -> Tensor:
        """Compute scores of classes: (batch, scores)."""
        scores: Tensor = self.label(self.hidden(features))
        return scores


def check_domain_head(domain_head: object) -> tuple[int, ...] | Callable[[int, int], nn.Module]:
    """Refuse what is neither widths of hidden layers nor callable.

    Raises
    ------
    TypeError, ValueError
        Saying what is possible.

    Examples
    --------
    >>> check_domain_head([64, 64])
    (64, 64)
    """
    if callable(domain_head):
        check_head(domain_head)
        given: Callable[[int, int], nn.Module] = domain_head
        return given
    if isinstance(domain_head, str) or not hasattr(domain_head, "__iter__"):
        raise TypeError(
            f"domain_head={domain_head!r} is of type {type(domain_head).__name__}. Pass the widths of its "
            "hidden layers, such as (100,), or a function (in_features, out_features) that returns "
            "an nn.Module which gives logits."
        )
    widths: Sequence[object] = tuple(domain_head)
    return tuple(
        check_integer("domain_head", width, 1, "the width of a hidden layer") for width in widths
    )
