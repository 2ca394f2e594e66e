"""Heads: what turns the features of a backbone into scores, after they have been standardised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sktransfer.parameters import check_choice

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HEADS", "Standardizer", "check_head", "make_head", "start_at_prior"]

HEADS = ("linear", "mlp")
"""The heads that have a name."""

_HIDDEN = 256
_DROPOUT = 0.3
_LEAST_VARIANCE = 0.01  # of the mean variance, added to each


class Standardizer(nn.Module):
    """Shift and scale features by the mean and deviation that they had before training.

    Features of one network are a hundred times as large as those of another; with this before it, a
    head learns at the same rate on all of them. It is the identity until `fit`.

    Parameters
    ----------
    n_features : int
        Width of the features.

    Examples
    --------
    >>> standardize = Standardizer(2)
    >>> standardize.fit(torch.tensor([[0.0, 10.0], [2.0, 30.0]]))
    >>> standardize(torch.tensor([[1.0, 20.0]])).tolist()
    [[0.0, 0.0]]
    """

    mean: Tensor
    inverse: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("inverse", torch.ones(n_features))

    def fit(self, features: Tensor) -> None:
        """Measure features of shape (n_images, n_features); those that hardly vary are not blown up."""
        variance, mean = torch.var_mean(features.float(), 0, correction=0)
        floor = _LEAST_VARIANCE * variance.mean()
        scale = torch.where(variance + floor > 0, variance + floor, 1.0)
        self.mean.copy_(mean)
        self.inverse.copy_(scale.rsqrt())

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, n_features) to the same."""
        return (features - self.mean) * self.inverse


def check_head(head: object) -> None:
    """Refuse what is neither the name of a head nor callable.

    Raises
    ------
    ValueError
        If it is another string.
    TypeError
        If it is something else.
    """
    if isinstance(head, str):
        check_choice("head", head, HEADS)
    elif not callable(head) or isinstance(head, nn.Module):
        raise TypeError(
            f"head={head!r} is of type {type(head).__name__}. Pass 'linear', 'mlp', or a function "
            "(in_features, out_features) that returns an nn.Module."
        )


def make_head(
    head: str | Callable[[int, int], nn.Module], in_features: int, out_features: int
) -> nn.Module:
    """Build a head with weights from torch's own random numbers.

    Parameters
    ----------
    head : {"linear", "mlp"} or callable
        "linear" is one layer that starts at zero: its first scores are those of no knowledge, and
        the first step leaves the backbone alone. "mlp" is a layer of 256 ReLUs, dropout of 0.3, and
        a layer that starts at zero. A callable takes the two widths and returns a module.
    in_features, out_features : int
        Widths of the features and of the scores.

    Raises
    ------
    TypeError
        If a callable returns no module.
    ValueError
        If the module does not give the scores that are needed.

    Examples
    --------
    >>> make_head("linear", 8, 3)
    Linear(in_features=8, out_features=3, bias=True)
    """
    if not isinstance(head, str):
        try:
            module = head(in_features, out_features)
        except TypeError as exc:
            raise TypeError(
                f"head(in_features={in_features}, out_features={out_features}) failed: {exc}. Pass "
                "'linear', 'mlp', or a function of these two widths that returns an nn.Module."
            ) from exc
        return _checked(module, in_features, out_features)
    last = nn.Linear(in_features if head == "linear" else _HIDDEN, out_features)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    if head == "linear":
        return last
    return nn.Sequential(nn.Linear(in_features, _HIDDEN), nn.ReLU(), nn.Dropout(_DROPOUT), last)


def start_at_prior(head: nn.Module, prior: Tensor) -> None:
    """Let a head that starts at zero give the scores of what is known before any image is seen.

    Unbalanced classes, or weights of classes, then need not be learned step by step.

    Parameters
    ----------
    head : nn.Module
        Head that `make_head` made. Somebody's own is left alone.
    prior : Tensor of shape (n_scores,)
        Logits, see `losses.prior_scores`.
    """
    last = head[-1] if isinstance(head, nn.Sequential) and len(head) else head
    if isinstance(last, nn.Linear) and last.bias is not None and not last.weight.any():
        with torch.no_grad():
            last.bias.copy_(prior)


def _checked(module: object, in_features: int, out_features: int) -> nn.Module:
    """Try somebody's head once, so that a wrong width is an error before any training."""
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"head returned an object of type {type(module).__name__}. It must return an nn.Module that maps "
            f"(batch, {in_features}) to (batch, {out_features})."
        )
    was_training = module.training
    try:
        with torch.no_grad():
            given = tuple(module.eval()(torch.zeros(2, in_features)).shape)
    except RuntimeError as exc:
        raise ValueError(
            f"head(in_features={in_features}, out_features={out_features}) does not take features of "
            f"the shape (2, {in_features}): {exc}. Let its first layer have {in_features} inputs."
        ) from exc
    finally:
        module.train(was_training)
    if given != (2, out_features):
        raise ValueError(
            f"head(in_features={in_features}, out_features={out_features}) maps two images to the "
            f"shape {given}. It must give (2, {out_features})."
        )
    return module
