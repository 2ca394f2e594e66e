"""Whether weights are on this machine, found out without a network."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sktransfer.backbones.hub import cached
from sktransfer.backbones.registry import get_backbone
from sktransfer.backbones.weight_files import cached_file

if TYPE_CHECKING:
    import os

    from sktransfer.backbones.spec import BackboneLike, WeightsSource

__all__ = ["weights_are_here"]


def weights_are_here(backbone: BackboneLike, weights: str | os.PathLike[str]) -> bool:
    """Tell whether using these weights would download nothing.

    Parameters
    ----------
    backbone : str, nn.Module, callable or BackboneSpec
        See `get_backbone`.
    weights : str or path
        "default", another published name, a path or "random".

    Examples
    --------
    >>> weights_are_here("tiny", "default"), weights_are_here("resnet50", "random")
    (True, True)
    """
    if weights == "random":
        return True
    spec = get_backbone(backbone)
    name = spec.default_weights or next(iter(spec.weights), "") if weights == "default" else weights
    source = spec.weights.get(str(name))
    return source is None or _is_here(source)  # a path is here, or nowhere


def _is_here(source: WeightsSource) -> bool:
    if source.url is not None:
        return cached_file(source.url).exists()
    if isinstance(source.load, partial) and "repository" in source.load.keywords:
        repository = source.load.keywords["repository"]
        return repository is not None and cached(repository)
    return True
