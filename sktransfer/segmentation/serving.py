"""Serving: a trained network scores images; maps come from the engine, frozen ones from the store."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from sktransfer.backbones.registry import WeightsSource
from sktransfer.backbones.weights import finished
from sktransfer.segmentation.frozen_maps import FrozenMaps
from sktransfer.training.network import can_resume
from sktransfer.training.serving import TUNED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from sktransfer.backbones.weights import LoadedBackbone
    from sktransfer.features.run_parameters import RunSettings
    from sktransfer.segmentation.network import SegmentationNetwork

__all__ = ["MaskServer"]


class MaskServer:
    """A trained network at work.

    Parameters
    ----------
    network : SegmentationNetwork
        The network; must not be trained any more.
    loaded : LoadedBackbone or None
        The backbone before it was trained, whose frozen stages are those of `network`: what was
        stored of it is found again.
    run : RunSettings
        Device, precision and store.
    """

    def __init__(
        self, network: SegmentationNetwork, loaded: LoadedBackbone | None, run: RunSettings
    ) -> None:
        self._network, self._run = network.eval(), run
        frozen = network.resumes_at > max(network.stages)
        self._resumes = frozen or (network.resumes_at > 0 and can_resume(network.spec))
        if not self._resumes:  # maps of tuned stages are of no use to others
            own = replace(run, cache=None)
            self._maps = FrozenMaps(_as_it_is(network), network.stages, own, exact=True)
        else:
            loaded = _as_it_is(network) if loaded is None else loaded
            self._maps = FrozenMaps(loaded, network.stored_stages, run, exact=True)

    def suits(self, run: RunSettings) -> bool:
        """Tell whether other settings would not make another server."""
        return (run.device, run.precision, run.cache) == (
            self._run.device, self._run.precision, self._run.cache,
        )  # fmt: skip

    def scores(self, images: Sequence[NDArray[np.uint8]]) -> Iterator[Tensor]:
        """Score images (height, width, 3): (1, n_classes, height, width) at the places of the head."""
        device = next(self._network.parameters()).device
        for maps in self._maps.of(images):
            levels = [
                torch.from_numpy(np.array(level, np.float32))[None].to(device) for level in maps
            ]
            with torch.inference_mode():
                last_axis = torch.channels_last
                levels = [level.contiguous(memory_format=last_axis) for level in levels]
                scores = self._network(levels) if self._resumes else self._network.head(levels)
                yield scores.float().cpu()


def _as_it_is(network: SegmentationNetwork) -> LoadedBackbone:
    """Copy the backbone with its weights as they are now."""
    source = WeightsSource(preprocessing=network.preprocessing)
    return finished(copy.deepcopy(network.backbone), network.spec, TUNED, source)
