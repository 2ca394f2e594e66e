"""The network that trains: backbone, pooling and head as one, fed at any of three places."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sktransfer.features.pooling import pool_map
from sktransfer.features.taps import as_map, run_tapped
from sktransfer.training.freezing import freeze, set_modes
from sktransfer.training.heads import Standardizer

if TYPE_CHECKING:
    from sktransfer.backbones.spec import BackboneSpec
    from sktransfer.preprocessing import Preprocessing

__all__ = ["TransferNetwork", "can_resume"]


class TransferNetwork(nn.Module):
    """A backbone whose last stage is pooled and goes into a head.

    Parameters
    ----------
    backbone : nn.Module
        Of its own: it is trained. Runs up to its last stage as its own `forward` says.
    spec : BackboneSpec
        What it is.
    preprocessing : Preprocessing
        Whose normalisation is applied to pixels.
    pooling : str
        How the last map is pooled.
    head : nn.Module
        From standardised features (batch, features) to (batch, scores); computes in float32.
    n_features : int
        Width of the features.
    first_trained : int
        The first stage that trains; ``len(spec.stages)`` if none does.
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
        self.set_trained(first_trained)

    def set_trained(self, first: int) -> None:
        """Let the stages from `first` on train, from now on; what comes before is frozen."""
        self.first_trained = first
        freeze(self.backbone, self.spec, first)
        self._modes = None
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
        output = self._output(inputs)
        with torch.autocast(output.device.type, enabled=False):
            return pool_map(as_map(output, self.spec).float(), self.pooling)

    def forward(self, inputs: Tensor, weight: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Compute scores (batch, scores), float32; `weight` is for the loss."""
        features = self.features(inputs)
        with torch.autocast(features.device.type, enabled=False):
            scores: Tensor = self.head(self.standardize(features.float()))
        return scores

    def _output(self, inputs: Tensor) -> Tensor:
        """Run the backbone, or what is left of it, to the end of its last stage."""
        if inputs.dtype != torch.uint8:
            tail = self.spec.sequence(self.backbone, start=self.resumes_at)
            output: Tensor = tail(_from_map(inputs, self.spec))
            return output
        found: list[Tensor] = []
        taps = {self.spec.stages[-1].modules[-1]: found.append}
        run_tapped(self.backbone, self.preprocessing.normalize(inputs), taps)
        return found[0]


def can_resume(spec: BackboneSpec) -> bool:
    """Tell whether the map of a stage is all that the later stages need.

    A network that does more than running its stages one after another, or whose tokens do not all
    stand for a place in the image, has to run from the pixels.
    """
    return spec.resumable and spec.prefix_tokens == 0


def _from_map(feature_map: Tensor, spec: BackboneSpec) -> Tensor:
    """Undo `as_map`: give a stored map the axes that the next stage expects."""
    if spec.layout == "tokens":
        return feature_map[..., 0].mT.contiguous()  # (batch, tokens, channels)
    if spec.layout == "nhwc":
        return feature_map.permute(0, 2, 3, 1).contiguous()
    return feature_map.contiguous(memory_format=torch.channels_last)
