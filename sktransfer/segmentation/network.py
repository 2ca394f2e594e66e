"""The network that trains on masks: a backbone whose maps go into a decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sktransfer.features.states import as_map
from sktransfer.features.taps import run_tapped
from sktransfer.training.freezing import freeze, set_modes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sktransfer.backbones.spec import BackboneSpec
    from sktransfer.preprocessing import Preprocessing
    from sktransfer.segmentation.decoders import Decoder

__all__ = ["SegmentationNetwork"]


class SegmentationNetwork(nn.Module):
    """A backbone, fed by pixels or by maps of its frozen stages, and a decoder.

    Parameters
    ----------
    backbone : nn.Module
        The network's own copy, which is trained.
    spec : BackboneSpec
        Description of the backbone.
    preprocessing : Preprocessing
        Normalisation of pixels.
    head : Decoder
        Map from the maps of `stages` to scores.
    stages : sequence of int
        Stages whose maps the decoder takes, fine to coarse.
    first_trained : int
        First stage that trains; ``len(spec.stages)`` if none does.
    freeze_batchnorm : bool
        Whether BatchNorm of the backbone keeps its statistics wherever it is.
    """

    def __init__(
        self,
        backbone: nn.Module,
        spec: BackboneSpec,
        preprocessing: Preprocessing,
        head: Decoder,
        stages: Sequence[int],
        first_trained: int,
        freeze_batchnorm: bool,
    ) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.spec, self.preprocessing, self.stages = spec, preprocessing, tuple(stages)
        self.freeze_batchnorm, self.resumes_at = freeze_batchnorm, first_trained
        self.set_trained(first_trained)

    @property
    def stored_stages(self) -> tuple[int, ...]:
        """Stages whose maps are stored where frozen stages run once: those used, and the last one."""
        frozen = [stage for stage in self.stages if stage < self.resumes_at]
        rest = any(stage >= self.resumes_at for stage in self.stages)
        last = self.resumes_at - 1
        return (*frozen, last) if rest and last not in frozen else tuple(frozen)

    def set_trained(self, first: int) -> None:
        """Let the stages from `first` on train, from now on; what comes before is frozen."""
        self.first_trained = first
        freeze(self.backbone, self.spec, first)
        self.train(self.training)

    def train(self, mode: bool = True) -> SegmentationNetwork:
        """Put head and trained stages in training mode; frozen stages stay in inference mode."""
        super().train(mode)
        if mode:
            set_modes(
                self.backbone, self.spec, self.first_trained, freeze_batchnorm=self.freeze_batchnorm
            )
        return self

    def maps_of_pixels(self, pixels: Tensor) -> list[Tensor]:
        """Run the backbone on pixels (batch, height, width, 3), uint8, to the maps of `stages`."""
        found: dict[int, Tensor] = {}
        names = {stage: self.spec.stages[stage].modules[-1] for stage in self.stages}
        taps = {
            # cloned where a later layer may overwrite it in place
            path: (lambda output, stage=stage: found.__setitem__(stage, output.clone()))
            for stage, path in names.items()
        }
        run_tapped(self.backbone, self.preprocessing.normalize(pixels), taps)
        return [as_map(found[stage], self.spec) for stage in self.stages]

    def maps_of_maps(self, stored: Sequence[Tensor]) -> list[Tensor]:
        """Run what is left of the backbone after the stored maps of frozen stages."""
        maps = dict(zip(self.stored_stages, (part.float() for part in stored), strict=True))
        if self.resumes_at <= max(self.stages):
            values = maps[self.resumes_at - 1].contiguous(memory_format=torch.channels_last)
            given = self.spec.side_inputs(self.backbone, self.preprocessing.crop)
            for stage in range(self.resumes_at, max(self.stages) + 1):
                values = self.spec.sequence(self.backbone, stage, stage + 1, given)(values)
                maps[stage] = values.clone()
        return [maps[stage] for stage in self.stages]

    def forward(
        self,
        inputs: Tensor | Sequence[Tensor],
        weight: Tensor | None = None,  # noqa: ARG002 - for the loss
    ) -> Tensor:
        """Compute scores (batch, classes, height, width) at the places of the head's grid."""
        pixels = isinstance(inputs, Tensor)
        maps = self.maps_of_pixels(inputs) if pixels else self.maps_of_maps(inputs)  # type: ignore[arg-type]
        scores: Tensor = self.head(maps)
        return scores
