"""Build: a backbone and a decoder become one network, ready to be trained."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch

from sktransfer.randomness import seeded
from sktransfer.segmentation.decoders import make_decoder
from sktransfer.segmentation.grids import Grid, layer_grids
from sktransfer.segmentation.network import SegmentationNetwork
from sktransfer.segmentation.whole_images import with_border

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from sktransfer.backbones.weights import LoadedBackbone
    from sktransfer.segmentation.mask_rows import MaskRows
    from sktransfer.training.settings import TrainingSettings

__all__ = ["measure", "new_network", "pyramid"]

_FINEST = 4  # pixels of a cell of the largest map that a pyramid has


def pyramid(loaded: LoadedBackbone, head: object) -> tuple[list[int], list[Grid]]:
    """Choose the last stage of each stride, those of at least 4 for a pyramid if there are two."""
    spec = loaded.spec
    if spec.layout == "tokens":
        raise ValueError(
            f"backbone={spec.name!r} makes tokens of one size instead of a pyramid of maps, which "
            "decoders need. Choose a convolutional network, such as 'resnet50'."
        )
    paths = [stage.modules[-1] for stage in spec.stages]
    grids = layer_grids(loaded.module, spec, paths)
    last = {grid.stride: stage for stage, grid in enumerate(grids)}
    stages = sorted(last.values())
    coarse = [stage for stage in stages if grids[stage].stride >= _FINEST]
    if head != "unet" and len(coarse) > 1:
        stages = coarse
    return stages, [grids[stage] for stage in stages]


def new_network(
    loaded: LoadedBackbone,
    settings: TrainingSettings,
    head: str | Callable[..., nn.Module],
    pyramid: tuple[list[int], list[Grid], int],
    n_out_and_seed: tuple[int, int],
) -> SegmentationNetwork:
    """Copy a backbone and put a new decoder on it."""
    stages, grids, first = pyramid
    with seeded(n_out_and_seed[1], settings.device):
        widths = [loaded.spec.widths[stage] for stage in stages]
        decoder = make_decoder(head, widths, grids, n_out_and_seed[0])
    return SegmentationNetwork(
        copy.deepcopy(loaded.module),
        loaded.spec,
        loaded.preprocessing,
        decoder,
        stages,
        first,
        settings.network.freeze_batchnorm and not settings.network.from_scratch,
    )


def measure(network: SegmentationNetwork, rows: MaskRows, n_rows: int = 16) -> None:
    """Let a head standardise by the maps of some rows, one after the other."""
    network.eval()
    maps = []
    for row in range(min(n_rows, len(rows))):
        some = rows.inputs_of(row)
        with torch.inference_mode():
            if isinstance(some, np.ndarray):
                pixels = torch.from_numpy(np.array(with_border(some)))[None]
                levels = network.maps_of_pixels(pixels)
            else:
                levels = network.maps_of_maps([torch.from_numpy(np.array(m))[None] for m in some])
        maps.append([level.flatten(2).float() for level in levels])
    network.head.measure([torch.cat(level, 2)[..., None] for level in zip(*maps, strict=True)])
