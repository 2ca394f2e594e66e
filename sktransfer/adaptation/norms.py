"""BatchNorm where a batch holds two domains: joint, separate, or with statistics for each."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch import Tensor, nn

from sktransfer.torch_internals import is_batchnorm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sktransfer.torch_internals import BatchNorm

__all__ = [
    "BatchNormMode",
    "DomainNorm",
    "DomainSwitch",
    "NormStatistics",
    "join_batchnorms",
    "set_source_statistics",
    "set_statistics",
    "split_batchnorms",
    "statistics_kept",
]

BatchNormMode: TypeAlias = Literal["joint", "separate", "per_domain"]
NormStatistics: TypeAlias = dict[str, tuple[Tensor, Tensor]]
"""Running mean and variance by the path of a BatchNorm."""


@dataclass
class DomainSwitch:
    """Which rows of the batch are of which domain, for all norms of one network.

    Parameters
    ----------
    n_source : int or None, default=None
        Number of rows, the first ones, that are of the source in training; None takes the batch for
        one.
    domain : {"source", "target"}, default="target"
        Domain of a batch that is one, for norms with statistics for each domain.
    """

    n_source: int | None = None
    domain: Literal["source", "target"] = "target"


class DomainNorm(nn.Module):
    """A BatchNorm that normalises each domain of a batch by itself, while a network is trained.

    Parameters
    ----------
    norm : BatchNorm of any number of axes, or of a class derived from it
        The norm of the target. Its weight and bias belong to both domains.
    switch : DomainSwitch
        Shared by all norms of the network.
    per_domain : bool
        Whether the source has a norm with running statistics of its own, after Chang et al. [1]_.
        Otherwise both domains go through `norm` in turn, and its statistics become as they do where
        a network sees first one half and then the other.

    References
    ----------
    .. [1] Chang, You, Seo, Kwak, Han, "Domain-specific batch normalization for unsupervised domain
       adaptation", CVPR 2019.
    """

    def __init__(self, norm: BatchNorm, switch: DomainSwitch, *, per_domain: bool) -> None:
        super().__init__()
        self.norm, self.switch, self.per_domain = norm, switch, per_domain
        self.source_norm = copy.deepcopy(norm) if per_domain else norm
        self.source_norm.weight, self.source_norm.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        """Normalise a batch; see `DomainSwitch` for which rows are of which domain."""
        n_source = self.switch.n_source
        if n_source is None or not (self.per_domain or self.norm.training):
            norm = self.source_norm if self.switch.domain == "source" else self.norm
            return norm(x)  # type: ignore[no-any-return]
        return torch.cat([self.source_norm(x[:n_source]), self.norm(x[n_source:])])


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
                if is_batchnorm(child) and child.running_mean is not None:
                    norm = DomainNorm(child, switch, per_domain=mode == "per_domain")
                    setattr(parent, name, norm)
    return switch


def join_batchnorms(module: nn.Module) -> NormStatistics:
    """Take every BatchNorm out of its `DomainNorm`, in place, and return the source's statistics.

    The network is then the plain one again, with the statistics of the target where each domain has
    its own.
    """
    found: NormStatistics = {}
    for path, part in list(module.named_modules()):
        if isinstance(part, DomainNorm):
            parent, _, name = path.rpartition(".")
            setattr(module.get_submodule(parent), name, part.norm)
            if part.per_domain:
                mean, var = part.source_norm.running_mean, part.source_norm.running_var
                assert mean is not None
                assert var is not None
                found[path] = (mean.detach().cpu(), var.detach().cpu())
    return found


def set_statistics(module: nn.Module, statistics: NormStatistics) -> None:
    """Give the BatchNorms of a plain network other running statistics, in place."""
    for path, (mean, var) in statistics.items():
        norm = module.get_submodule(path)
        norm.load_state_dict({"running_mean": mean, "running_var": var}, strict=False)


def set_source_statistics(module: nn.Module, statistics: NormStatistics) -> None:
    """Give the norms of the source other running statistics, in place, where they have their own."""
    for path, (mean, var) in statistics.items():
        norm = module.get_submodule(path)
        if isinstance(norm, DomainNorm) and norm.per_domain:
            state = {"running_mean": mean, "running_var": var}
            norm.source_norm.load_state_dict(state, strict=False)


@contextmanager
def statistics_kept(module: nn.Module) -> Iterator[None]:
    """Leave the running statistics of all BatchNorms as they are, though they train."""
    norms = [part for part in module.modules() if is_batchnorm(part) and part.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
