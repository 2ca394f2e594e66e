"""The network of a segmenter in the form that torch's exporter follows, down to the image's pixels."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sktransfer.export.network_graph import run_to_the_end, traced_graph
from sktransfer.features.folding import fold_batchnorms
from sktransfer.features.states import as_map
from sktransfer.segmentation.grids import Grid, weights_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

    from sktransfer.backbones.spec import BackboneSpec
    from sktransfer.segmentation.decoders import Decoder

__all__ = ["DecodedMaps", "MaskNetwork", "SampledMaps", "ScoredMaps", "mask_network_graph"]

_EXAMPLE = (160, 192)  # pixels of the images that the exporter follows, several cells of any stage
_LARGEST = float(torch.finfo(torch.float16).max)


class MaskNetwork(nn.Module):
    """A backbone whose maps of some stages go on to what makes an output for each pixel.

    Parameters
    ----------
    backbone : nn.Module
        The network; it is copied, and its BatchNorms are folded.
    spec : BackboneSpec
        Description of the network.
    stages : sequence of int
        Stages whose maps go on.
    rest : nn.Module
        From the maps, and the places of rows and columns, to the outputs.
    """

    def __init__(
        self, backbone: nn.Module, spec: BackboneSpec, stages: Sequence[int], rest: nn.Module
    ) -> None:
        super().__init__()
        self.spec, self.rest = spec, rest.eval()
        self.paths = [spec.stages[stage].modules[-1] for stage in stages]
        images = torch.randn(2, 3, *_EXAMPLE, generator=torch.Generator().manual_seed(0))
        self.backbone = fold_batchnorms(
            backbone.cpu().eval(), lambda copied: self._maps(copied, images), self.paths
        )

    def forward(self, images: Tensor, rows: Tensor, columns: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Map (batch, 3, height, width), and places in its pixels, float64, to the outputs."""
        outputs: Tensor | tuple[Tensor, ...]
        outputs = self.rest(self._maps(self.backbone, images), rows, columns)
        return outputs

    def _maps(self, backbone: nn.Module, images: Tensor) -> list[Tensor]:
        found: dict[str, Tensor] = {}

        def take(path: str, output: Tensor) -> None:
            found[path] = output.clone()  # a later layer may overwrite it in place

        with torch.no_grad():
            run_to_the_end(backbone, images, {path: partial(take, path) for path in self.paths})
        return [as_map(found[path], self.spec) for path in self.paths]


class DecodedMaps(nn.Module):
    """The scores of a decoder, sampled at the pixels.

    Parameters
    ----------
    decoder : Decoder
        From the maps to scores.
    """

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, maps: list[Tensor], rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Compute codes (batch, height, width) and probabilities (batch, height, width, classes)."""
        scores: Tensor = self.decoder(maps)
        return _chosen(_sampled(scores, self.decoder.grid, rows, columns))


class ScoredMaps(nn.Module):
    """Linear scores of each map, sampled at the pixels and added.

    Parameters
    ----------
    grids : sequence of Grid
        Places of the maps' cells.
    factors : Tensor of shape (n_classes, n_features)
        Weights of the features, those of one map after those of the other.
    intercept : Tensor of shape (n_classes,)
        Constant of each class, which is added.
    """

    factors: Tensor
    intercept: Tensor

    def __init__(self, grids: Sequence[Grid], factors: Tensor, intercept: Tensor) -> None:
        super().__init__()
        self.grids = tuple(grids)
        self.register_buffer("factors", factors)
        self.register_buffer("intercept", intercept)

    def forward(self, maps: list[Tensor], rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Compute codes (batch, height, width) and probabilities (batch, height, width, classes)."""
        scores, start = self.intercept[:, None, None], 0
        for feature_map, grid in zip(maps, self.grids, strict=True):
            factors = self.factors[:, start : start + feature_map.shape[1]]
            start += feature_map.shape[1]
            own = nn.functional.conv2d(_as_stored(feature_map), factors[:, :, None, None])
            scores = scores + _sampled(own, grid, rows, columns)
        return _chosen(scores)


class SampledMaps(nn.Module):
    """Features of every so many pixels, a row each.

    Parameters
    ----------
    grids : sequence of Grid
        Places of the maps' cells.
    step : int
        Pixels from one to the next.
    """

    def __init__(self, grids: Sequence[Grid], step: int) -> None:
        super().__init__()
        self.grids, self.step = tuple(grids), step

    def forward(self, maps: list[Tensor], rows: Tensor, columns: Tensor) -> Tensor:
        """Compute features (batch * pixels, n_features)."""
        places = rows[:: self.step], columns[:: self.step]
        sampled = [
            _sampled(_as_stored(feature_map), grid, *places)
            for feature_map, grid in zip(maps, self.grids, strict=True)
        ]
        return torch.cat(sampled, 1).permute(0, 2, 3, 1).flatten(0, 2)


def mask_network_graph(
    network: MaskNetwork, size: tuple[int, int] | None, outputs: Sequence[str], opset: int
) -> onnx.ModelProto:
    """Write the network of a segmenter as a graph.

    Parameters
    ----------
    network : MaskNetwork
        On the CPU.
    size : (int, int) or None
        Height and width of its input; None for any.
    outputs : sequence of str
        Names of the outputs.
    opset : int
        Version of ONNX's operators.

    Returns
    -------
    ModelProto
        From "normalised" (n, 3, height, width) and the places "rows" and "columns".

    Raises
    ------
    ExportError
        If torch cannot follow the network.
    """
    images = torch.zeros(2, 3, *(size or _EXAMPLE))
    rows, columns = (torch.arange(n, dtype=torch.float64) for n in (70, 90))
    inputs = {
        "normalised": (images, [0] if size else [0, 2, 3]),
        "rows": (rows, [0]),
        "columns": (columns, [0]),
    }
    return traced_graph(network, inputs, outputs, opset)


def _sampled(maps: Tensor, grid: Grid, rows: Tensor, columns: Tensor) -> Tensor:
    """Sample maps as `segmentation.grids.resample` does, at given places."""
    down = weights_at(rows, grid, maps.shape[2])
    across = weights_at(columns, grid, maps.shape[3])
    return down @ (maps @ across.T)  # (batch, channels, rows, columns)


def _as_stored(maps: Tensor) -> Tensor:
    """Round maps of frozen stages as their store does."""
    return maps.clamp(-_LARGEST, _LARGEST).half().float()


def _chosen(scores: Tensor) -> tuple[Tensor, Tensor]:
    return scores.argmax(1), scores.softmax(1).permute(0, 2, 3, 1)
