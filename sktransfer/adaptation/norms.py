"""BatchNorm where a batch holds two domains: joint, separate, or with statistics for each."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "BatchNormMode",
    "DomainBatchNorm",
    "DomainSwitch",
    "kept_statistics",
    "split_batchnorms",
]

BatchNormMode: TypeAlias = Literal["joint", "separate", "per_domain"]


@dataclass
class DomainSwitch:
    """What the norms of one network share: which rows of the batch are of which domain.

    Parameters
    ----------
    n_source : int or None, default=None
        In training, how many rows, the first ones, are of the source; None takes the batch for one.
    domain : {"source", "target"}, default="target"
        In prediction, whose statistics a norm with statistics for each domain takes.
    """

    n_source: int | None = None
    domain: Literal["source", "target"] = "target"


class DomainBatchNorm(_BatchNorm):
    """A BatchNorm of any number of axes that normalises each domain of a batch by itself.

    Weight, bias, running mean and running variance have the names and meaning of the BatchNorm in
    whose place it stands, so a state dict of the plain network loads into it and back. The running
    statistics are those of the target, or with `per_domain` False of both domains in turn, as they
    become where a network sees first one half and then the other.

    Parameters
    ----------
    norm : nn.BatchNorm1d, nn.BatchNorm2d or nn.BatchNorm3d
        Whose parameters and statistics are taken over.
    switch : DomainSwitch
        Shared by all norms of the network.
    per_domain : bool
        Whether the source has running statistics of its own, after Chang et al. [1]_; weight and
        bias belong to both.

    References
    ----------
    .. [1] Chang, You, Seo, Kwak, Han, "Domain-specific batch normalization for unsupervised domain
       adaptation", CVPR 2019.
    """

    def __init__(self, norm: _BatchNorm, switch: DomainSwitch, *, per_domain: bool) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine)
        self.weight, self.bias = norm.weight, norm.bias
        self.load_state_dict(norm.state_dict())
        self.training = norm.training
        self.switch = switch
        self.per_domain = per_domain
        if per_domain:
            self.register_buffer("source_mean", self.running_mean.clone(), persistent=True)  # type: ignore[union-attr]
            self.register_buffer("source_var", self.running_var.clone(), persistent=True)  # type: ignore[union-attr]

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - torch's name
        pass

    def forward(self, x: Tensor) -> Tensor:
        """Normalise a batch; see `DomainSwitch` for which rows are of which domain."""
        n_source = self.switch.n_source
        if self.training and n_source is not None:
            source = self._normalised(x[:n_source], of_source=True)
            return torch.cat([source, self._normalised(x[n_source:], of_source=False)])
        return self._normalised(x, of_source=self.switch.domain == "source")

    def _normalised(self, x: Tensor, *, of_source: bool) -> Tensor:
        own = self.per_domain and of_source
        mean = cast("Tensor", self.source_mean) if own else self.running_mean
        var = cast("Tensor", self.source_var) if own else self.running_var
        momentum = 0.1 if self.momentum is None else self.momentum
        return F.batch_norm(x, mean, var, self.weight, self.bias, self.training, momentum, self.eps)


def split_batchnorms(module: nn.Module, mode: BatchNormMode) -> DomainSwitch:
    """Put a `DomainBatchNorm` in the place of every BatchNorm, in place, unless `mode` is "joint".

    Parameters
    ----------
    module : nn.Module
        Not itself a BatchNorm.
    mode : {"joint", "separate", "per_domain"}
        - "joint": a batch of both domains is normalised as one; prediction takes the statistics of
          the mixture.
        - "separate": each half by its own mean and variance in training; prediction takes running
          statistics to which both halves contribute.
        - "per_domain": the same in training; prediction takes the statistics of the target.

    Returns
    -------
    DomainSwitch
        Of all norms.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    >>> switch = split_batchnorms(net, "per_domain")
    >>> [name for name, _ in net.named_buffers()]
    ['1.running_mean', '1.running_var', '1.num_batches_tracked', '1.source_mean', '1.source_var']
    """
    switch = DomainSwitch()
    if mode != "joint":
        for parent in list(module.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, _BatchNorm) and child.track_running_stats:
                    norm = DomainBatchNorm(child, switch, per_domain=mode == "per_domain")
                    setattr(parent, name, norm)
    return switch


@contextmanager
def kept_statistics(module: nn.Module) -> Iterator[None]:
    """Leave the running statistics of all BatchNorms as they are, though they train."""
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    buffers = [(norm, dict(norm._buffers)) for norm in norms]
    for norm, own in buffers:
        for name, value in own.items():
            norm._buffers[name] = None if value is None else value.clone()
    try:
        yield
    finally:
        for norm, own in buffers:
            norm._buffers.update(own)
