"""The graph of a network: from normalised images to features, scores or probabilities."""

from __future__ import annotations

import logging
import warnings
from collections import defaultdict
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sktransfer.exceptions import ExportError
from sktransfer.export.extras import imported
from sktransfer.features.folding import fold_batchnorms
from sktransfer.features.states import pool_output
from sktransfer.features.taps import Tapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import onnx

    from sktransfer.backbones.spec import BackboneSpec
    from sktransfer.features.plan import Slot

__all__ = ["PooledNetwork", "network_graph", "run_to_the_end", "traced_graph"]

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
        Poolings of layers, in the order of the columns.
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

        def take(slots: list[Slot], output: Tensor) -> None:
            for slot in slots:
                pooled[slot] = pool_output(output, self.spec, slot.pooling).float()

        run_to_the_end(
            self.module, images, {path: partial(take, slots) for path, slots in of_module.items()}
        )
        return torch.cat([pooled[slot] for slot in self.slots], 1)


def run_to_the_end(
    module: nn.Module, images: Tensor, taps: Mapping[str, Callable[[Tensor], None]]
) -> None:
    """Send images through a network and hand over the outputs of some modules, by their paths.

    Torch's exporter does not follow `features.taps.run_tapped`, which stops after the last of them.
    """

    def tap(take: Callable[[Tensor], None]) -> Callable[[nn.Module, object, Tensor], None]:
        return lambda _, __, output: take(output)

    handles = [
        module.get_submodule(path).register_forward_hook(tap(take)) for path, take in taps.items()
    ]
    try:
        module(images)
    finally:
        for handle in handles:
            handle.remove()


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
    images = torch.zeros(_BATCH, 3, size, size)
    return traced_graph(network, {"normalised": (images, [0])}, [output], opset)


def traced_graph(
    network: nn.Module,
    inputs: Mapping[str, tuple[Tensor, Sequence[int]]],
    outputs: Sequence[str],
    opset: int,
) -> onnx.ModelProto:
    """Write a module as a graph.

    Parameters
    ----------
    network : nn.Module
        From the inputs to the outputs, on the CPU.
    inputs : mapping of str to (Tensor, sequence of int)
        By its name, an example of each input, and the axes that may have any length.
    outputs : sequence of str
        Names of the outputs.
    opset : int
        Version of ONNX's operators.

    Raises
    ------
    ExportError
        If torch cannot follow the network, or a file cannot hold it.
    """
    imported("onnx", "onnxscript")
    free = torch.export.Dim.DYNAMIC
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                network.eval(),
                tuple(example for example, _ in inputs.values()),
                dynamo=True,
                opset_version=opset,
                dynamic_shapes=tuple(dict.fromkeys(axes, free) for _, axes in inputs.values()),
                input_names=list(inputs),
                output_names=list(outputs),
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
