"""Pooling: from the spatial map of a layer to one vector per image.

All that the package knows of a pooling is in its one object here; a new one is added to `POOLINGS`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from sktransfer.exceptions import UnknownPoolingError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "POOLINGS",
    "WHOLE_MAP",
    "WHOLE_STATE",
    "Pooling",
    "PoolingName",
    "check_pooling",
    "pool_map",
    "pooled_width",
]

PoolingName: TypeAlias = Literal["avg", "max", "avgmax", "gem", "flatten", "token", "tokenavg"]
"""What users call the entries of `POOLINGS`."""

WHOLE_MAP: Final = "flatten"
"""Name of the pooling that loses nothing: every cell, channel by channel."""

WHOLE_STATE: Final = "state"
"""Name of what is no pooling for users: all that the next stage needs, tokens of no place included."""

_GEM_EXPONENT = 3
_GEM_FLOOR = 1e-6


@dataclass(frozen=True)
class Pooling:
    """A way of making one vector of a map.

    Parameters
    ----------
    name : str
        As users call it.
    reduce : callable
        Maps (batch, channels, height, width) to a new tensor (batch, number of columns).
    factor : int, default=1
        Number of columns for each channel; with `keeps_cells` for each cell of each channel.
    keeps_cells : bool, default=False
        Whether the number of columns grows with the map.
    stored : {"every stage", "last stages", "if asked for"}, default="if asked for"
        Passes that fill a store with it whatever is asked for: "every stage" suits one
        that costs next to nothing, "last stages" one that costs time on large maps.
    share : callable or None, default=None
        Maps weights (batch, number of columns) and a map (batch, channels, height, width) to what
        each cell adds to the weighted sum of the columns, (batch, height, width). None if the
        columns are no sums over cells.
    of_token : bool, default=False
        Whether it reads the class token of a transformer, in the place of a map of one cell, and not
        the cells.
    joins : tuple of Pooling, default=()
        Simple poolings whose columns it puts side by side.
    """

    name: str
    reduce: Callable[[Tensor], Tensor]
    factor: int = 1
    keeps_cells: bool = False
    stored: Literal["every stage", "last stages", "if asked for"] = "if asked for"
    share: Callable[[Tensor, Tensor], Tensor] | None = None
    of_token: bool = False
    joins: tuple[Pooling, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the simple poolings that it consists of."""
        return tuple(part.name for part in self.joins) or (self.name,)

    def width(self, channels: int, height: int = 1, width: int = 1) -> int:
        """Count the columns that it makes of a map of one image."""
        return channels * self.factor * (height * width if self.keeps_cells else 1)


def pool_map(feature_map: Tensor, how: str = "avg") -> Tensor:
    """Reduce the spatial map of one layer to one vector per image.

    Parameters
    ----------
    feature_map : Tensor of shape (batch, channels, height, width)
        Activations of any floating dtype; height and width count cells of the layer's grid, not
        pixels of the image.
    how : {"avg", "max", "avgmax", "gem", "flatten"}, default="avg"
        "max" suits a pattern that fills a small part of the image, "avg" one that fills most of
        it. "gem" is the generalised mean, exponent 3 [1]_. "avgmax" puts both side by side and so
        doubles the width. "flatten" keeps every cell, channel by channel. "token" and "tokenavg" read
        the class token of a transformer, which no map holds, see `sktransfer.features.states.pool_output`.

    Returns
    -------
    Tensor of shape (batch, pooled_width(how, channels, height, width))
        Same dtype and device; a new tensor, so later in-place layers of the network cannot change
        it. Sums are accumulated in float32 or better.

    Raises
    ------
    ValueError
        If the map is not four-dimensional, or `how` reads a class token.
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
    if any(POOLINGS[part].of_token for part in POOLINGS[how].parts):
        raise ValueError(
            f"how={how!r} reads a class token, and a map holds cells. Choose another pooling."
        )
    return POOLINGS[how].reduce(feature_map)


def pooled_width(how: str, channels: int, height: int = 1, width: int = 1) -> int:
    """Count the values that `pool_map` makes of a map of one image.

    Examples
    --------
    >>> pooled_width("avgmax", 512), pooled_width("flatten", 512, 7, 7)
    (1024, 25088)
    """
    return POOLINGS[how].width(channels, height, width)


def check_pooling(how: object) -> None:
    """Refuse what is no pooling.

    Raises
    ------
    UnknownPoolingError
        Naming the nearest one.
    """
    if isinstance(how, str) and how in POOLINGS:
        return
    near = difflib.get_close_matches(str(how).lower(), POOLINGS, n=1)
    nearest = f" Nearest: {near[0]!r}." if near else ""
    possible = ", ".join(map(repr, POOLINGS))
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


def _only_cell(feature_map: Tensor) -> Tensor:
    return feature_map[:, :, 0, 0].clone()


def _share_average(weights: Tensor, feature_map: Tensor) -> Tensor:
    n_cells = feature_map.shape[2] * feature_map.shape[3]
    return torch.einsum("nc,nchw->nhw", weights, feature_map) / n_cells


def _share_maximum(weights: Tensor, feature_map: Tensor) -> Tensor:
    # Cells that share the maximum, share its value.
    largest = feature_map.amax((2, 3), keepdim=True)
    is_largest = (feature_map == largest).to(feature_map.dtype)
    parts = is_largest / is_largest.sum((2, 3), keepdim=True)
    return torch.einsum("nc,nchw->nhw", weights * largest[:, :, 0, 0], parts)


def _share_cells(weights: Tensor, feature_map: Tensor) -> Tensor:
    return (weights.reshape(feature_map.shape) * feature_map).sum(1)


def _side_by_side(name: str, *joins: Pooling) -> Pooling:
    def reduce(feature_map: Tensor) -> Tensor:
        return torch.cat([part.reduce(feature_map) for part in joins], 1)

    return Pooling(name, reduce, sum(part.factor for part in joins), joins=joins)


_AVERAGE = Pooling("avg", _average, stored="every stage", share=_share_average)
_MAXIMUM = Pooling("max", _maximum, stored="every stage", share=_share_maximum)
_MEAN = Pooling("gem", _generalised_mean, stored="last stages")
_TOKEN = Pooling("token", _only_cell, stored="every stage", of_token=True)
_CELLS = Pooling(WHOLE_MAP, _every_cell, keeps_cells=True, share=_share_cells)

POOLINGS: Final[dict[str, Pooling]] = {
    pooling.name: pooling
    for pooling in (
        _AVERAGE,
        _MAXIMUM,
        _side_by_side("avgmax", _AVERAGE, _MAXIMUM),
        _MEAN,
        _CELLS,
        _TOKEN,
        _side_by_side("tokenavg", _TOKEN, _AVERAGE),
    )
}
"""All poolings by their names, in the order in which messages list them."""
