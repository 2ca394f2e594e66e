"""BatchNorm where a batch holds two domains: joint, separate, or with statistics for each."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "BatchNormMode",
    "DomainNorm",
    "DomainSwitch",
    "SourceStatistics",
    "join_batchnorms",
    "kept_statistics",
    "set_statistics",
    "split_batchnorms",
]

BatchNormMode: TypeAlias = Literal["joint", "separate", "per_domain"]
SourceStatistics: TypeAlias = dict[str, tuple[Tensor, Tensor]]
"""Running mean and variance of the source, by the path of a BatchNorm."""


@dataclass
class DomainSwitch:
    """What the norms of one network share: which rows of the batch are of which domain.

    Parameters
    ----------
    n_source : int or None, default=None
        In training, how many rows, the first ones, are of the source; None takes the batch for one.
    domain : {"source", "target"}, default="target"
        Of a batch that is one: whose statistics a norm with statistics for each domain takes.
    """

    n_source: int | None = None
    domain: Literal["source", "target"] = "target"


class DomainNorm(nn.Module):
    """A BatchNorm that normalises each domain of a batch by itself, while a network is trained.

    Parameters
    ----------
    norm : BatchNorm of any number of axes, or of a class derived from it
        Whose weight and bias belong to both domains. Its running statistics are those of the target,
        or with `per_domain` False of both domains in turn, as they become where a network sees first
        one half and then the other.
    switch : DomainSwitch
        Shared by all norms of the network.
    per_domain : bool
        Whether the source has running statistics of its own, after Chang et al. [1]_.

    References
    ----------
    .. [1] Chang, You, Seo, Kwak, Han, "Domain-specific batch normalization for unsupervised domain
       adaptation", CVPR 2019.
    """

    def __init__(self, norm: _BatchNorm, switch: DomainSwitch, *, per_domain: bool) -> None:
        super().__init__()
        self.norm, self.switch, self.per_domain = norm, switch, per_domain
        if per_domain:
            for name in ("running_mean", "running_var"):
                value = getattr(norm, name)
                self.register_buffer(f"source_{name}", value.clone())

    def forward(self, x: Tensor) -> Tensor:
        """Normalise a batch; see `DomainSwitch` for which rows are of which domain."""
        n_source = self.switch.n_source
        if n_source is None or not self.norm.training:
            return self._normalised(x, of_source=self.switch.domain == "source")
        source = self._normalised(x[:n_source], of_source=True)
        return torch.cat([source, self._normalised(x[n_source:], of_source=False)])

    def _normalised(self, x: Tensor, *, of_source: bool) -> Tensor:
        if not (self.per_domain and of_source):
            normalised: Tensor = self.norm(x)
            return normalised
        buffers = self.norm._buffers
        own = {name: buffers[name] for name in ("running_mean", "running_var")}
        try:
            buffers.update({name: self._buffers[f"source_{name}"] for name in own})
            normalised = self.norm(x)
        finally:
            buffers.update(own)
        return normalised


def split_batchnorms(module: nn.Module, mode: BatchNormMode) -> DomainSwitch:
    """Put every BatchNorm into a `DomainNorm`, in place, unless `mode` is "joint".

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
    >>> type(net[1]).__name__
    'DomainNorm'
    >>> list(join_batchnorms(net)), type(net[1]).__name__
    (['1'], 'BatchNorm1d')
    """
    switch = DomainSwitch()
    if mode != "joint":
        for parent in list(module.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, _BatchNorm) and child.running_mean is not None:
                    norm = DomainNorm(child, switch, per_domain=mode == "per_domain")
                    setattr(parent, name, norm)
    return switch


def join_batchnorms(module: nn.Module) -> SourceStatistics:
    """Take every BatchNorm out of its `DomainNorm`, in place, and return the source's statistics.

    The network is then the plain one again, with the statistics of the target where each domain has
    its own.
    """
    found: SourceStatistics = {}
    for path, part in list(module.named_modules()):
        if isinstance(part, DomainNorm):
            parent, _, name = path.rpartition(".")
            setattr(module.get_submodule(parent), name, part.norm)
            if part.per_domain:
                mean, var = (
                    part._buffers["source_running_mean"],
                    part._buffers["source_running_var"],
                )
                assert mean is not None
                assert var is not None
                found[path] = (mean.detach().cpu(), var.detach().cpu())
    return found


def set_statistics(module: nn.Module, statistics: SourceStatistics) -> None:
    """Give the BatchNorms of a plain network other running statistics, in place."""
    for path, (mean, var) in statistics.items():
        norm = module.get_submodule(path)
        norm.load_state_dict({"running_mean": mean, "running_var": var}, strict=False)


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
