"""Pooling: from the spatial map of a layer to one vector per image."""

from __future__ import annotations

import difflib
from typing import Final, Literal, TypeAlias, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from sktransfer.exceptions import UnknownPoolingError

__all__ = ["PARTS", "Pooling", "check_pooling", "pool_map", "pooled_width"]

Pooling: TypeAlias = Literal["avg", "max", "avgmax", "gem", "flatten"]

PARTS: Final[dict[str, tuple[str, ...]]] = {
    "avg": ("avg",),
    "max": ("max",),
    "avgmax": ("avg", "max"),
    "gem": ("gem",),
    "flatten": ("flatten",),
}
"""The simple poolings that each pooling puts side by side."""

_GEM_EXPONENT = 3
_GEM_FLOOR = 1e-6


def pool_map(feature_map: Tensor, how: Pooling | str = "avg") -> Tensor:
    """Reduce the spatial map of one layer to one vector per image.

    Parameters
    ----------
    feature_map : Tensor of shape (batch, channels, height, width)
        Activations of any floating dtype; height and width count cells of the layer's grid, not
        pixels of the image.
    how : {"avg", "max", "avgmax", "gem", "flatten"}, default="avg"
        "max" suits a pattern that fills a small part of the image, "avg" one that fills most of
        it. "gem" is the generalised mean, exponent 3 [1]_. "avgmax" puts both side by side and so
        doubles the width. "flatten" keeps every cell, channel by channel.

    Returns
    -------
    Tensor of shape (batch, pooled_width(how, channels, height, width))
        Same dtype and device; a new tensor, so later in-place layers of the network cannot change
        it. Sums are accumulated in float32 or better.

    Raises
    ------
    ValueError
        If the map is not four-dimensional.
    UnknownPoolingError
        If `how` is unknown.

    References
    ----------
    .. [1] Radenovic, Tolias, Chum, "Fine-tuning CNN image retrieval with no human annotation",
       IEEE TPAMI, 2019, equation 3.

    Examples
    --------
    >>> pool_map(torch.ones(2, 5, 7, 7), "avgmax").shape
    torch.Size([2, 10])
    >>> pool_map(torch.arange(4.0).reshape(1, 1, 2, 2), "max")
    tensor([[3.]])
    """
    if feature_map.dim() != 4:
        raise ValueError(
            f"feature_map has the shape {tuple(feature_map.shape)}. Pass a map of the shape "
            "(batch, channels, height, width)."
        )
    check_pooling(how)
    parts = [_REDUCTIONS[part](feature_map) for part in PARTS[how]]
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def pooled_width(how: Pooling | str, channels: int, height: int = 1, width: int = 1) -> int:
    """Count the values that `pool_map` makes of a map of one image.

    Examples
    --------
    >>> pooled_width("avgmax", 512), pooled_width("flatten", 512, 7, 7)
    (1024, 25088)
    """
    return channels * (height * width if how == "flatten" else len(PARTS[how]))


def check_pooling(how: object) -> None:
    """Refuse what is no pooling.

    Raises
    ------
    UnknownPoolingError
        Naming the nearest one.
    """
    if isinstance(how, str) and how in PARTS:
        return
    near = difflib.get_close_matches(str(how).lower(), PARTS, n=1)
    nearest = f" Nearest: {near[0]!r}." if near else ""
    possible = ", ".join(map(repr, get_args(Pooling)))
    raise UnknownPoolingError(
        f"pooling={how!r} is not a way of pooling. Choose one of: {possible}, or a list of these "
        f"with one for each layer.{nearest}"
    )


def _average(feature_map: Tensor) -> Tensor:
    # Several times faster on the CPU than an adaptive average or a mean, and summed in float32.
    height, width = feature_map.shape[2:]
    return F.avg_pool2d(feature_map, (height, width)).flatten(1)  # (batch, channels)


def _maximum(feature_map: Tensor) -> Tensor:
    return F.adaptive_max_pool2d(feature_map, 1).flatten(1)  # (batch, channels)


def _generalised_mean(feature_map: Tensor) -> Tensor:
    dtype = feature_map.dtype
    if dtype == torch.float16:  # which has no room for third powers
        feature_map = feature_map.float()
    positive = feature_map.clamp(min=_GEM_FLOOR)
    mean = _average((positive * positive).mul_(positive))  # exponent 3, much faster than pow
    return mean.float().pow(1 / _GEM_EXPONENT).to(dtype)


def _every_cell(feature_map: Tensor) -> Tensor:
    # In the order of the channels, whatever the memory format, and never a view.
    return feature_map.flatten(1).clone(memory_format=torch.contiguous_format)


_REDUCTIONS = {
    "avg": _average,
    "max": _maximum,
    "gem": _generalised_mean,
    "flatten": _every_cell,
}
