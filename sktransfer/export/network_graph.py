"""The graph of a network: from normalised images to features, scores or probabilities."""

from __future__ import annotations

import logging
import warnings
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sktransfer.exceptions import ExportError
from sktransfer.export.extras import imported
from sktransfer.features.folding import fold_batchnorms
from sktransfer.features.states import pool_output
from sktransfer.features.taps import Tapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import onnx

    from sktransfer.backbones.spec import BackboneSpec
    from sktransfer.features.plan import Slot

__all__ = ["PooledNetwork", "network_graph"]

_BATCH = 2  # an axis of one would be frozen into the graph
_LARGEST_BYTES = 2**31 - 2**20  # of one file of protobuf


class PooledNetwork(nn.Module):
    """A network that gives pooled features, in the form that torch's exporter follows.

    Unlike `features.taps.Tapped` it lets the network run to its end: what comes after the last tap
    has no part in the outputs and does not get into the graph.

    Parameters
    ----------
    module : nn.Module
        The network; it is copied, and its BatchNorms are folded.
    slots : sequence of Slot
        What is pooled, in the order of the columns.
    spec : BackboneSpec
        Description of the network.
    size : int
        Side of the images in pixels.
    """

    def __init__(
        self, module: nn.Module, slots: Sequence[Slot], spec: BackboneSpec, size: int
    ) -> None:
        super().__init__()
        images = torch.randn(_BATCH, 3, size, size, generator=torch.Generator().manual_seed(0))
        self.module = fold_batchnorms(
            module.cpu().eval(), lambda copied: Tapped(copied, slots, spec)(images),
            [slot.module for slot in slots],
        )  # fmt: skip
        self.slots, self.spec = tuple(slots), spec

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, 3, size, size) to features (batch, sum of widths), float32."""
        pooled: dict[Slot, Tensor] = {}
        of_module: defaultdict[str, list[Slot]] = defaultdict(list)
        for slot in self.slots:
            of_module[slot.module].append(slot)

        def tap(slots: list[Slot]) -> Callable[[nn.Module, Any, Tensor], None]:
            def hook(_: nn.Module, __: Any, output: Tensor) -> None:
                for slot in slots:
                    pooled[slot] = pool_output(output, self.spec, slot.pooling).float()

            return hook

        handles = [
            self.module.get_submodule(path).register_forward_hook(tap(slots))
            for path, slots in of_module.items()
        ]
        try:
            self.module(images)
        finally:
            for handle in handles:
                handle.remove()
        return torch.cat([pooled[slot] for slot in self.slots], 1)


def network_graph(network: nn.Module, size: int, output: str, opset: int) -> onnx.ModelProto:
    """Write a network as a graph, by torch's own exporter.

    Parameters
    ----------
    network : nn.Module
        From images (batch, 3, size, size) to (batch, columns), float32, on the CPU.
    size : int
        Side of the images in pixels.
    output : str
        Name of the output.
    opset : int
        Version of ONNX's operators.

    Returns
    -------
    ModelProto
        From "normalised" (n, 3, size, size) to `output` (n, columns).

    Raises
    ------
    ExportError
        If torch cannot follow the network, or a file cannot hold it.
    """
    imported("onnx", "onnxscript")
    images = torch.zeros(_BATCH, 3, size, size)
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                network.eval(),
                (images,),
                dynamo=True,
                opset_version=opset,
                dynamic_shapes=({0: torch.export.Dim("n")},),
                input_names=["normalised"],
                output_names=[output],
                verbose=False,
            )
    except Exception as exc:  # whatever torch cannot follow
        reason = str(exc.__cause__ or exc).strip().splitlines()[0]
        raise ExportError(
            f"torch cannot write the network as a graph ({reason}). Take a network of "
            "torchvision or timm, or write its `forward` without branches that depend on values."
        ) from exc
    assert program is not None  # it is when `dynamo` is set
    model: onnx.ModelProto = program.model_proto
    if model.ByteSize() > _LARGEST_BYTES:
        raise ExportError(
            f"the network takes {model.ByteSize() / 2**30:.1f} GiB, and a file of ONNX holds 2 at "
            "most. Take a smaller network."
        )
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what the exporter says of itself; it is no news of the user's model."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
