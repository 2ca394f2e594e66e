"""Fusion: the graph of a network, in which convolutions take activations and sums along.

On a CPU, activations and sums after a convolution read and write whole maps, which costs as much time
as the convolution itself. oneDNN applies both while it writes the convolution's output. The graph comes
from `graph_tracing`; a network that cannot be traced, or whose graph does not compute the same, runs as it is.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from sktransfer.features.graph_tracing import tapped_graph
from sktransfer.features.packed_linears import PackedLinear
from sktransfer.features.pooling import pool_map
from sktransfer.features.states import pool_output
from sktransfer.torch_internals import convolve, packed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sktransfer.backbones.spec import BackboneSpec
    from sktransfer.features.plan import Slot

__all__ = ["FusedConv", "fused_graph", "pack_weights"]

# What oneDNN calls an activation, and its parameters.
_ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.Hardswish: ("hardswish", []),
    nn.SiLU: ("swish", []),
    nn.Sigmoid: ("sigmoid", []),
}
_RELUS = (F.relu, torch.relu, F.relu_)
_SUMS = (operator.add, operator.iadd, torch.add)
_IDLE = (nn.Identity, nn.Dropout)  # do nothing in inference mode


def fused_graph(module: nn.Module, slots: Sequence[Slot], spec: BackboneSpec) -> fx.GraphModule:
    """Trace a network up to its deepest tap and fuse what follows convolutions.

    Parameters
    ----------
    module : nn.Module
        In eval mode, float32, on the CPU. Its weights are shared, not copied.
    slots : sequence of Slot
        Poolings of layers, each computed right after its layer has run.
    spec : BackboneSpec
        Description of the network.

    Returns
    -------
    GraphModule
        From a batch to a tuple with the pooled vectors of each slot.

    Raises
    ------
    Exception
        Any error of the network, if it cannot be traced.
    """
    traced = _pooled_graph(module, slots, spec)
    traced.graph.eliminate_dead_code()
    _skip_idle(traced)
    graph = traced.graph
    for node in list(graph.nodes):
        if node.op == "call_module" and _can_fuse(traced.get_submodule(node.target)):
            _fuse(traced, node)
    for node in list(graph.nodes):
        _replace_global_average(traced, node)
    graph.eliminate_dead_code()
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced.eval()


class FusedConv(nn.Module):
    """A convolution, a sum and an activation in one pass over the output.

    Parameters
    ----------
    conv : nn.Conv2d
        Its weights.
    activation : str
        Name that oneDNN has for it; "none" for none.
    parameters : list of float
        Parameters of the activation.
    """

    weight: Tensor

    def __init__(self, conv: nn.Conv2d, activation: str, parameters: list[float]) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.geometry = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        self.activation, self.parameters_ = activation, parameters
        self.may_pack = False

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Map (batch, n_in, height, width) to (batch, n_out, ...); `other` is added before the activation."""
        if self.may_pack:
            self._pack(x)
        operands = (self.weight, self.bias, self.geometry)
        return convolve(x, other, *operands, self.activation, self.parameters_)

    def _pack(self, x: Tensor) -> None:
        """Lay the weights out as oneDNN wants them, once instead of in every call."""
        self.may_pack = False
        weight = packed(self.weight.detach(), self.geometry, x.shape)
        if weight is not None:
            del self.weight
            self.weight = weight


def pack_weights(network: nn.Module) -> None:
    """Let a network's fused convolutions and linear layers pack their weights at the next pass.

    Afterwards it can neither be copied nor converted.
    """
    for part in network.modules():
        if isinstance(part, FusedConv | PackedLinear):
            part.may_pack = True


class _Pool(nn.Module):
    """The pooling of one slot as a part of the graph."""

    def __init__(self, how: str, spec: BackboneSpec) -> None:
        super().__init__()
        self.how, self.spec = how, spec

    def forward(self, output: Tensor) -> Tensor:
        return pool_output(output, self.spec, self.how).float()


def _pooled_graph(module: nn.Module, slots: Sequence[Slot], spec: BackboneSpec) -> fx.GraphModule:
    """Record a network, with each tapped map pooled right after it is there."""
    names = [f"pool_{i}" for i in range(len(slots))]
    taps: dict[str, dict[str, nn.Module]] = {slot.module: {} for slot in slots}
    for name, slot in zip(names, slots, strict=True):
        taps[slot.module][name] = _Pool(slot.pooling, spec)
    traced = tapped_graph(module, taps)
    output = next(node for node in traced.graph.nodes if node.op == "output")
    pooled = output.args[0]
    assert isinstance(pooled, dict)  # of the names
    output.args = (tuple(pooled[name] for name in names),)
    return traced


def _skip_idle(traced: fx.GraphModule) -> None:
    for node in list(traced.graph.nodes):
        idle = node.op == "call_module" and isinstance(traced.get_submodule(node.target), _IDLE)
        if idle or (node.op == "call_function" and node.target is F.dropout):
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)


def _can_fuse(module: nn.Module) -> bool:
    return (
        type(module) is nn.Conv2d
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    )


def _fuse(traced: fx.GraphModule, node: fx.Node) -> None:
    """Replace a convolution, and what follows it alone, by one call."""
    conv = traced.get_submodule(str(node.target))
    assert isinstance(conv, nn.Conv2d)  # the caller has looked
    chain, args = [node], node.args
    follower = _only_user(node)
    if follower is not None and follower.target in _SUMS and not follower.kwargs:
        others = [arg for arg in follower.args if arg is not node]
        if len(others) == 1 and isinstance(others[0], fx.Node) and not _waits(others[0], traced):
            chain, args = [node, follower], (*args, others[0])
            follower = _only_user(follower)
    activation = _activation(traced, follower)
    if activation is not None and follower is not None:
        chain.append(follower)
    name = f"fused_{str(node.target).replace('.', '_')}"
    traced.add_submodule(name, FusedConv(conv, *(activation or ("none", []))))
    with traced.graph.inserting_before(chain[-1]):
        fused = traced.graph.call_module(name, args)
    chain[-1].replace_all_uses_with(fused)
    for old in reversed(chain):
        traced.graph.erase_node(old)


def _waits(node: fx.Node, traced: fx.GraphModule) -> bool:
    """Tell whether a term of a sum is a convolution whose turn to be fused with it is still to come."""
    later = node.op == "call_module" and _can_fuse(traced.get_submodule(str(node.target)))
    return later and _only_user(node) is not None


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _activation(traced: fx.GraphModule, node: fx.Node | None) -> tuple[str, list[float]] | None:
    if node is None:
        return None
    if node.op == "call_module":
        return _ACTIVATIONS.get(type(traced.get_submodule(str(node.target))))
    return ("relu", []) if node.target in _RELUS else None


def _replace_global_average(traced: fx.GraphModule, node: fx.Node) -> None:
    """Let squeeze-and-excitation blocks average as `pool_map` does, which is much faster."""
    if node.op != "call_module":
        return
    module = traced.get_submodule(str(node.target))
    if isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1)):
        with traced.graph.inserting_before(node):
            average = traced.graph.call_function(_global_average, node.args)
        node.replace_all_uses_with(average)
        traced.graph.erase_node(node)


def _global_average(x: Tensor, *_: object) -> Tensor:
    return pool_map(x, "avg")[:, :, None, None]
