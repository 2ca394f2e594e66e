"""The network that trains: backbone, pooling and head as one, fed at any of three places."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sktransfer.features.states import as_state, pool_state
from sktransfer.features.taps import run_tapped
from sktransfer.training.freezing import freeze, set_modes
from sktransfer.training.heads import Standardizer

if TYPE_CHECKING:
    from sktransfer.backbones.side_inputs import GivenTo
    from sktransfer.backbones.spec import BackboneSpec
    from sktransfer.preprocessing import Preprocessing

__all__ = ["TransferNetwork", "can_resume"]


class TransferNetwork(nn.Module):
    """A backbone whose last stage is pooled and goes into a head.

    Parameters
    ----------
    backbone : nn.Module
        The network's own copy, which is trained.
    spec : BackboneSpec
        Description of the backbone.
    preprocessing : Preprocessing
        Normalisation of pixels.
    pooling : str
        Pooling of the last map.
    head : nn.Module
        Map from standardised features (batch, features) to (batch, scores), in float32.
    n_features : int
        Width of the features.
    first_trained : int
        First stage that trains; ``len(spec.stages)`` if none does.
    freeze_batchnorm : bool
        Whether BatchNorm of the backbone keeps its statistics wherever it is.

    Examples
    --------
    >>> from sktransfer.backbones import load_backbone
    >>> tiny = load_backbone("tiny")
    >>> head = nn.Linear(256, 10)
    >>> net = TransferNetwork(tiny.module, tiny.spec, tiny.preprocessing, "avg", head, 256, 5, True)
    >>> net(torch.zeros(2, 64, 64, 3, dtype=torch.uint8)).shape  # pixels
    torch.Size([2, 10])
    >>> net(torch.zeros(2, 256)).shape  # pooled vectors
    torch.Size([2, 10])
    """

    def __init__(
        self,
        backbone: nn.Module,
        spec: BackboneSpec,
        preprocessing: Preprocessing,
        pooling: str,
        head: nn.Module,
        n_features: int,
        first_trained: int,
        freeze_batchnorm: bool,
    ) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.standardize = Standardizer(n_features)
        self.spec, self.preprocessing, self.pooling = spec, preprocessing, pooling
        self.freeze_batchnorm = freeze_batchnorm
        self.resumes_at = first_trained
        self._modes: tuple[bool, int, bool] | None = None
        self._given: tuple[tuple[torch.device, int], GivenTo] | None = None
        self.set_trained(first_trained)

    def set_trained(self, first: int) -> None:
        """Let the stages from `first` on train, from now on; what comes before is frozen."""
        self.first_trained = first
        freeze(self.backbone, self.spec, first)
        self._modes = self._given = None
        self.train(self.training)

    def train(self, mode: bool = True) -> TransferNetwork:
        """Put head and trained stages in training mode; frozen stages stay in inference mode."""
        wanted = (mode, self.first_trained, self.freeze_batchnorm)
        if wanted == self._modes:  # skorch asks before every batch
            return self
        self._modes = wanted
        super().train(mode)
        if mode:
            set_modes(
                self.backbone,
                self.spec,
                self.first_trained,
                freeze_batchnorm=self.freeze_batchnorm,
            )
        return self

    def features(self, inputs: Tensor) -> Tensor:
        """Compute pooled features (batch, features), float32, from any of three kinds of inputs.

        Parameters
        ----------
        inputs : Tensor
            Pixels (batch, height, width, 3), uint8; or the map at the end of the last frozen stage
            (batch, channels, height, width), floating; or pooled features (batch, features).
        """
        if inputs.dim() == 2:
            return inputs
        if inputs.dtype == torch.uint8:
            return self.pooled(self.map_of_pixels(inputs))
        return self.pooled(self.map_of_map(inputs))

    def map_of_pixels(self, pixels: Tensor) -> Tensor:
        """Run the backbone on pixels (batch, height, width, 3), uint8, to its last map."""
        return self.map_of_images(self.normalized(pixels))

    def map_of_images(self, images: Tensor) -> Tensor:
        """Run the backbone on normalised images (batch, 3, height, width) to its last map."""
        found: list[Tensor] = []
        taps = {self.spec.stages[-1].modules[-1]: found.append}
        run_tapped(self.backbone, images, taps)
        return as_state(found[0], self.spec)

    def map_of_map(self, feature_map: Tensor) -> Tensor:
        """Run what is left of the backbone after the map of the last frozen stage."""
        return self.map_after(feature_map, self.resumes_at)

    def map_after(self, feature_map: Tensor, start: int) -> Tensor:
        """Run the stages from `start` on, on the map at the end of the stage before; none leave it as it is."""
        if start == len(self.spec.stages):
            return feature_map
        tail = self.spec.sequence(self.backbone, start=start, given=self._side_inputs())
        output: Tensor = tail(_from_map(feature_map, self.spec))
        return as_state(output, self.spec)

    def _side_inputs(self) -> GivenTo:
        """Find what the backbone gives its stages besides maps, once for a device and a size."""
        if not self.spec.with_side_inputs:
            return {}
        place = next(self.backbone.parameters()).device, self.preprocessing.crop
        if self._given is None or self._given[0] != place:
            self._given = place, self.spec.side_inputs(self.backbone, place[1])
        return self._given[1]

    def pooled(self, feature_map: Tensor) -> Tensor:
        """Pool the last map to features (batch, features), float32."""
        with torch.autocast(feature_map.device.type, enabled=False):
            return pool_state(feature_map.float(), self.spec, self.pooling)

    def normalized(self, pixels: Tensor) -> Tensor:
        """Normalise pixels (batch, height, width, 3), uint8, as the weights were trained."""
        return self.preprocessing.normalize(pixels)

    def scores(self, features: Tensor) -> Tensor:
        """Compute scores (batch, scores), float32, from pooled features."""
        with torch.autocast(features.device.type, enabled=False):
            scores: Tensor = self.head(self.standardize(features.float()))
        return scores

    def forward(self, inputs: Tensor, weight: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Compute scores from any of the kinds of inputs; `weight` is for the loss."""
        return self.scores(self.features(inputs))


def can_resume(spec: BackboneSpec) -> bool:
    """Tell whether the map of a stage is all that the later stages need.

    A network that does more than running its stages one after another has to run from the pixels.
    """
    return spec.resumable


def _from_map(feature_map: Tensor, spec: BackboneSpec) -> Tensor:
    """Undo `as_state`: give a stored map the axes that the next stage expects."""
    if spec.layout == "tokens":
        return feature_map[..., 0].mT.contiguous()  # (batch, tokens, channels)
    if spec.layout == "nhwc":
        return feature_map.permute(0, 2, 3, 1).contiguous()
    return feature_map.contiguous(memory_format=torch.channels_last)
