"""Reach: how far from its centre a cell sees, so that large images can go through in tiles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from sktransfer.segmentation.grids import Grid, layer_grids, linearised, maps_of
from sktransfer.segmentation.measured import measured_once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from sktransfer.backbones.spec import BackboneSpec

__all__ = ["layer_reach"]

_HEIGHT = 64  # of the strips that are sent through
_WIDTHS = (1024, 4096)  # of strips, the wider one where cells see further
_EQUAL = 1e-4  # largest difference of maps of tiles and of the whole, relative to the largest value


@measured_once
def layer_reach(module: nn.Module, spec: BackboneSpec, paths: Sequence[str]) -> int | None:
    """Measure how many pixels from its centre the cells of layers see, as a multiple of all strides.

    What convolutions and poolings reach is measured by a network that averages; then the maps of a
    part of an image are compared with those of the whole one. They differ where a layer sees
    everything: attention, gates such as those of squeeze and excitation, norms over an image.

    Parameters
    ----------
    module : nn.Module
        The network; stays as it is.
    spec : BackboneSpec
        Description of the network.
    paths : sequence of str
        Paths of the modules whose outputs are the maps.

    Returns
    -------
    int or None
        None if a cell sees the whole image, or maps move otherwise than their image.

    Examples
    --------
    >>> from sktransfer.backbones import load_backbone
    >>> tiny = load_backbone("tiny")
    >>> layer_reach(tiny.module, tiny.spec, ["layer4"])
    112
    """
    grids = layer_grids(module, spec, paths)
    step = math.lcm(*(round(grid.stride) for grid in grids))
    linear = linearised(module)
    for width in _WIDTHS:
        seen = [
            _farthest(maps, grid, width)
            for maps, grid in zip(maps_of(linear, spec, paths, _impulse(width)), grids, strict=True)
        ]
        if None not in seen:
            reach = step * math.ceil(max(part for part in seen if part is not None) / step)
            return reach if _moves_with_image(module, spec, paths, grids, reach, step) else None
    return None


def _impulse(width: int) -> Tensor:
    image = torch.zeros(1, 3, _HEIGHT, width)
    image[..., width // 2] = 1
    return image


def _farthest(maps: Tensor, grid: Grid, width: int) -> float | None:
    """Find how far from the impulse a cell still sees it; None if that is as far as there are cells."""
    cells = maps.abs().amax((0, 1, 2)).nonzero().flatten()
    if not len(cells) or cells[0] == 0 or cells[-1] == maps.shape[3] - 1:
        return None
    ends = grid.offset + grid.stride * cells[[0, -1]].double()
    return float((ends - width // 2).abs().max()) + grid.stride  # impulses elsewhere in a cell


def _moves_with_image(
    module: nn.Module,
    spec: BackboneSpec,
    paths: Sequence[str],
    grids: Sequence[Grid],
    reach: int,
    step: int,
) -> bool:
    """Compare the maps of a tile with those of the image that it was cut from."""
    start, core = step, 2 * step
    width = start + 2 * reach + core + 3 * step
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, _HEIGHT, width, generator=generator)
    image = image + torch.linspace(-2, 2, width)  # so that its parts have other means
    whole = maps_of(module, spec, paths, image)
    tile = maps_of(module, spec, paths, image[..., start : start + 2 * reach + core])
    for one, other, grid in zip(whole, tile, grids, strict=True):
        stride = round(grid.stride)
        first, n_cells = (start + reach) // stride, core // stride
        expected = one[..., first : first + n_cells]
        given = other[..., reach // stride : reach // stride + n_cells]
        if expected.shape != given.shape:
            return False
        if not float((expected - given).abs().max()) <= _EQUAL * float(expected.abs().max()):
            return False
    return True
