"""Grids: at which pixel each cell of a layer lies, measured, and maps sampled at other places.

A 3x3 convolution of stride 2 and padding 1 centres cell i at pixel 2 * i, and a pooling of 2 at 2 * i
+ 0.5. Half-pixel upsampling supposes (stride - 1) / 2 of every layer, which is up to 15 pixels off at
stride 32, so each layer's own place is measured.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules import activation, conv

from sktransfer.features.states import as_map
from sktransfer.features.taps import run_tapped
from sktransfer.segmentation.measured import measured_once

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sktransfer.backbones.spec import BackboneSpec

__all__ = [
    "Grid",
    "interpolation",
    "layer_grids",
    "linearised",
    "maps_of",
    "resample",
    "weights_at",
]

_STILL = (
    "BatchNorm", "FrozenBatchNorm", "GroupNorm", "InstanceNorm", "LayerNorm", "LocalResponseNorm",
    "RMSNorm", "SEModule", "SqueezeExcit",
)  # fmt: skip
_STRIP = (64, 1024)  # height and width of what is sent through
_DENSE = 1024  # rows or columns up to which cells are mixed by a product of matrices


@dataclass(frozen=True)
class Grid:
    """Places of cells: the centre of cell i is pixel ``offset + stride * i``, along both axes.

    Parameters
    ----------
    stride : float
        Pixels from cell to cell.
    offset : float, default=0.0
        Centre of the first cell.
    """

    stride: float
    offset: float = 0.0


@measured_once
def layer_grids(module: nn.Module, spec: BackboneSpec, paths: Sequence[str]) -> list[Grid]:
    """Measure where the cells of layers lie.

    A copy of the network whose convolutions and poolings average and whose other layers do nothing
    is linear, so that of an image whose pixels are their own columns each cell gives its centre.

    Parameters
    ----------
    module : nn.Module
        The network; stays as it is.
    spec : BackboneSpec
        Description of the network.
    paths : sequence of str
        Paths of the modules whose outputs are the maps.

    Examples
    --------
    >>> from sktransfer.backbones import load_backbone
    >>> tiny = load_backbone("tiny")
    >>> layer_grids(tiny.module, tiny.spec, ["stem", "layer4"])
    [Grid(stride=2.0, offset=0.0), Grid(stride=16.0, offset=0.0)]
    """
    linear = linearised(module)
    columns = torch.arange(_STRIP[1], dtype=torch.float32).expand(3, *_STRIP)
    images = torch.stack([torch.ones(3, *_STRIP), columns])
    return [_grid_of(maps.mean((1, 2))) for maps in maps_of(linear, spec, paths, images)]


def resample(
    maps: Tensor,
    grid: Grid,
    to: Grid | tuple[Grid, Grid],
    size: tuple[int, int],
    scale: tuple[float, float] = (1, 1),
) -> Tensor:
    """Sample maps at the places of another grid, bilinearly; beyond the last cell its value holds.

    Parameters
    ----------
    maps : Tensor of shape (batch, channels, height, width)
        Values at the places of `grid`.
    grid : Grid
        Places of the values.
    to : Grid or (Grid, Grid)
        Places that are asked for; or those down and those across.
    size : (int, int)
        Numbers of rows and columns that are asked for.
    scale : (float, float), default=(1, 1)
        Pixels of the network's input in one pixel of `to`, down and across, where the image was
        resized.

    Returns
    -------
    Tensor of shape (batch, channels, *size)

    Examples
    --------
    >>> cells = torch.tensor([[[[0.0, 2.0, 4.0]]]])
    >>> resample(cells, Grid(2), Grid(1), (1, 6)).flatten().tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0, 4.0]
    """
    if grid == to and tuple(maps.shape[2:]) == tuple(size) and scale == (1, 1):
        return maps
    to_rows, to_columns = to if isinstance(to, tuple) else (to, to)
    rows = (maps.shape[2], grid, to_rows, size[0], scale[0])
    columns = (maps.shape[3], grid, to_columns, size[1], scale[1])
    compute: Callable[..., Tensor] = interpolation
    if any(isinstance(n, torch.SymInt) for n in (*maps.shape, *size)):  # not hashable
        compute = interpolation.__wrapped__
    elif max(size) > _DENSE:  # a matrix of weights would hold little but zeros
        return _mixed(_mixed(maps, 3, *columns), 2, *rows)
    down, across = (compute(*axis).to(maps.device, maps.dtype) for axis in (rows, columns))
    return down @ (maps @ across.T)  # rows last: the smaller product first


def weights_at(pixels: Tensor, grid: Grid, n_cells: int) -> Tensor:
    """Compute weights (n_pixels, n_cells) by which cells are mixed along one axis.

    Parameters
    ----------
    pixels : Tensor of shape (n_pixels,), float64
        Places along the axis, in pixels of the network's input.
    grid : Grid
        Places of the cells.
    n_cells : int
        Number of cells.
    """
    places = _in_cells(pixels, grid, n_cells)
    cells = torch.arange(n_cells, dtype=torch.float64)
    return (1 - (places[:, None] - cells).abs()).clamp(min=0).float()


@lru_cache(256)
def interpolation(n_cells: int, grid: Grid, to: Grid, n_wanted: int, scale: float = 1) -> Tensor:
    """Compute weights (n_wanted, n_cells) by which cells of one grid become those of another."""
    return weights_at(_pixels(to, n_wanted, scale), grid, n_cells)


def _in_cells(pixels: Tensor, grid: Grid, n_cells: int) -> Tensor:
    """Turn places in pixels into places in cells; what is beyond the last cell is at it."""
    return ((pixels - grid.offset) / grid.stride).clamp(0, n_cells - 1)


def _pixels(to: Grid, n_wanted: int, scale: float) -> Tensor:
    """List the places that are asked for, in pixels of the network's input."""
    pixels = to.offset + to.stride * torch.arange(n_wanted, dtype=torch.float64)
    if scale != 1:  # centres of resized pixels, as Pillow places them
        pixels = (pixels + 0.5) * scale - 0.5
    return pixels


def _places(
    n_cells: int, grid: Grid, to: Grid, n_wanted: int, scale: float
) -> tuple[Tensor, Tensor]:
    """Find the cell before each place, and the share that the next one has in it."""
    places = _in_cells(_pixels(to, n_wanted, scale), grid, n_cells)
    lower = places.floor().long().clamp(max=max(0, n_cells - 2))
    return lower, places - lower


def _mixed(
    maps: Tensor, axis: int, n_cells: int, grid: Grid, to: Grid, n_wanted: int, scale: float
) -> Tensor:
    """Mix neighbouring cells along one axis."""
    lower, share = (part.to(maps.device) for part in _places(n_cells, grid, to, n_wanted, scale))
    upper = (lower + 1).clamp(max=n_cells - 1)
    share = share.to(maps.dtype).view(-1, *[1] * (3 - axis))
    return torch.lerp(maps.index_select(axis, lower), maps.index_select(axis, upper), share)


def maps_of(
    module: nn.Module, spec: BackboneSpec, paths: Sequence[str], images: Tensor
) -> list[Tensor]:
    """Send images (batch, 3, height, width) through a network, and keep the maps of some layers."""
    found: dict[str, Tensor] = {}
    taps = {
        path: (lambda output, path=path: found.__setitem__(path, as_map(output, spec).clone()))
        for path in paths
    }
    with torch.no_grad():
        run_tapped(module, images, taps)
    return [found[path] for path in paths]


def _grid_of(rows: Tensor) -> Grid:
    """Read a grid from the answers (2, cells) to ones and to columns."""
    centres = (rows[1] / rows[0]).double()
    middle = len(centres) // 2
    stride = round(_STRIP[1] / len(centres))
    steps = centres[middle + 1] - centres[middle] if len(centres) > middle + 1 else math.nan
    offset = round(2 * (float(centres[middle]) - stride * middle)) / 2
    if not abs(float(steps) - stride) < 0.05 or not abs(offset) <= 2 * stride:
        return Grid(float(stride), (stride - 1) / 2)  # not linear: what upsampling usually supposes
    return Grid(float(stride), offset)


def linearised(module: nn.Module) -> nn.Module:
    """Copy a network such that convolutions and poolings average and all else does nothing."""
    linear = copy.deepcopy(module).cpu().float().eval()
    for name, part in list(linear.named_modules()):
        if isinstance(part, conv._ConvNd):
            nn.init.constant_(part.weight, 1 / part.weight[0].numel())
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.MaxPool2d):
            average = nn.AvgPool2d(part.kernel_size, part.stride, part.padding, part.ceil_mode)
            _replace(linear, name, average)
        elif _does_nothing(part):
            _replace(linear, name, nn.Identity())
    return linear


def _replace(module: nn.Module, path: str, by: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    if name:
        setattr(module.get_submodule(parent), name, by)


def _does_nothing(part: nn.Module) -> bool:
    """Tell activations, norms and gates, which move nothing, from layers that mix places."""
    kind = type(part).__name__
    is_activation = type(part).__module__ == activation.__name__
    return (is_activation and not isinstance(part, nn.MultiheadAttention)) or kind.startswith(
        _STILL
    )
