"""The last map of a network, from which its classifier is computed, and a module that puts it out.

Features are taken where a module ends. Where the last map is the output of no module that runs once,
because a function of `forward`, a shared activation or a node of a graph makes it, a module named
``last_map`` is added to a copy of the network; it is called with that map and changes nothing.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, fx, nn

from sktransfer.backbones.recording import Crossing, Key, Recording, leaves, no_function

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sktransfer.backbones.spec import Layout

__all__ = [
    "LastMap",
    "Place",
    "add_last_map",
    "branches",
    "copy_with_last_map",
    "last_maps",
    "layout_of",
    "place_for",
    "prefix_tokens",
]

# The name of a function of one tensor, which can be pickled, and its other arguments.
_Activation: TypeAlias = tuple[str, tuple[Any, ...], dict[str, object]]

NAME = "last_map"
_HOMES = (nn.functional, torch, Tensor)  # of functions, in the order in which they are looked for
_POOLINGS = ("adaptive_avg_pool", "adaptive_max_pool", "mean", "amax")
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_MOVES = ("flatten", "view", "reshape", "permute", "transpose", "mT", "contiguous", "unflatten")
_STRIDE = 2  # so many cells of a side become one by a stride; more by a pooling
_MAX_ACTIVATIONS = 4
_COLOURS = 3
_MAX_PREFIX = 16  # class, distillation and register tokens
# Functions of one tensor, without parameters, that can be applied once more.
_ACTIVATIONS = (
    "relu", "relu6", "leaky_relu", "gelu", "silu", "mish", "elu", "selu", "celu", "hardswish",
    "hardtanh", "hardsigmoid", "softplus", "softsign", "sigmoid", "logsigmoid", "tanh", "threshold",
    "clamp", "clamp_min", "abs", "square", "dropout", "dropout2d", "contiguous", "max_pool2d", "avg_pool2d",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where the last map is, and what is done to what is there to have it.

    Parameters
    ----------
    owner : str
        Path of the module that is to hold the new one.
    crossing : Crossing
        Crossing at which the tensor is seen.
    activations : tuple of (str, tuple, dict)
        Names of functions of one tensor, with their other arguments, that make the last map of it.
    """

    owner: str
    crossing: Crossing
    activations: tuple[_Activation, ...] = ()

    @property
    def path(self) -> str:
        """Path of the new module."""
        return f"{self.owner}.{NAME}" if self.owner else NAME


class LastMap(nn.Module):
    """Applies activations to a tensor; with none, puts it out as it is."""

    def __init__(self, activations: tuple[_Activation, ...] = ()) -> None:
        super().__init__()
        self.activations = activations

    def forward(self, feature_map: Tensor) -> Tensor:
        """Map (batch, channels, height, width) to the same shape."""
        if self.activations:
            feature_map = feature_map.clone()  # some of them may work in place
        for name, args, kwargs in self.activations:
            function = next(getattr(home, name) for home in _HOMES if hasattr(home, name))
            feature_map = function(feature_map, *args, **kwargs)
        return feature_map


def last_maps(seen: Recording) -> list[Key]:
    """List the maps from which what a network puts out is computed, with no other in between.

    A map has four axes and more than one cell, or three, tokens and channels. One that lies in a
    module named ``classifier`` is what classes are computed from, so it is what went in there.

    Returns
    -------
    list of Key
        From the first to the last that was made.
    """
    order = {key: number for number, key in enumerate(seen.tensors)}
    found: set[Key] = set()
    waiting, visited = list(seen.outputs), set[Key]()
    while waiting:
        key = waiting.pop()
        if key in visited:
            continue
        visited.add(key)
        if _is_map(seen, key):
            found.add(key)
        elif key in seen.steps:
            waiting += seen.steps[key].inputs
    inside = [call for call in seen.calls if call.path.rpartition(".")[2] == "classifier"]
    entries = {call.taken for call in inside if call.taken and call.output}
    for call in inside:
        if call.taken in entries and call.taken is not None and _is_map(seen, call.taken):
            found = {call.taken if order[key] > order[call.taken] else key for key in found}
    return sorted(found, key=order.__getitem__)


def layout_of(shape: tuple[int, ...]) -> Layout | None:
    """Tell the axes of what a square image became, None if it is no map.

    Examples
    --------
    >>> layout_of((1, 64, 7, 7)), layout_of((1, 7, 7, 64)), layout_of((1, 50, 64))
    ('nchw', 'nhwc', 'tokens')
    """
    if len(shape) == 3:
        return "tokens"
    if len(shape) != 4:
        return None
    if shape[2] == shape[3]:
        return "nchw"
    return "nhwc" if shape[1] == shape[2] else None


def grids(seen: Recording) -> list[int]:
    """Count the cells of each map that was computed from the image, in order."""
    return [tensor.shape[2] * tensor.shape[3] for tensor in seen.tensors.values()
            if tensor.dim() == 4 and layout_of(tuple(tensor.shape)) == "nchw"
            and tensor.shape[2] > 1 and tensor.shape[1] > _COLOURS]  # fmt: skip


def prefix_tokens(seen: Recording, n_tokens: int) -> int | None:
    """Count the tokens that stand for no cell of the map that they were made of, None without one."""
    near = (n_tokens - grid for grid in grids(seen) if 0 <= n_tokens - grid <= _MAX_PREFIX)
    return next(near, None)


def ends_with(seen: Recording, key: Key) -> list[str]:
    """List the modules that run once and put out a tensor alone, from the outermost inwards.

    Those that only hand it on, such as a dropout, count where no other puts it out.
    """
    times = seen.times()
    calls = [call for call in seen.calls
             if call.output == key and call.path and times[call.path] == 1]  # fmt: skip
    makers = [call for call in calls if call.taken != key]
    return sorted({call.path for call in makers or calls}, key=lambda path: path.count("."))


def branches(seen: Recording, maps: Sequence[Key]) -> list[Key]:
    """List the maps, among some, that the last one of them is not computed from."""
    ancestors: set[Key] = set()
    waiting = [maps[-1]]
    while waiting:
        key = waiting.pop()
        if key not in ancestors:
            ancestors.add(key)
            waiting += seen.steps[key].inputs if key in seen.steps else ()
    return [key for key in maps if key not in ancestors]


def place_for(seen: Recording, key: Key, module: nn.Module) -> Place | None:
    """Find a place for a module that puts out a tensor; None if there is nowhere."""
    return next(_new_places(seen, key, module), None)


def copy_with_last_map(module: nn.Module, place: Place) -> nn.Module:
    """Copy a network and add the module that puts out its last map."""
    return add_last_map(copy.deepcopy(module), place)


def add_last_map(network: nn.Module, place: Place) -> nn.Module:
    """Add the module that puts out the last map to a network, and return that."""
    new, crossing = LastMap(place.activations), place.crossing
    owner = network.get_submodule(place.owner)
    owner.add_module(NAME, new)
    where = network.get_submodule(crossing.path)
    if crossing.side == "node":
        assert isinstance(where, fx.GraphModule)  # `record` has seen it
        for graph in {
            id(one): one
            for one in (where.graph, *vars(where).values())
            if isinstance(one, fx.Graph)
        }.values():  # torchvision keeps one for each mode
            _insert_call(graph, str(crossing.place))
        where.recompile()
    elif crossing.side == "input":
        hand = partial(_hand_input, new, int(crossing.place))
        where.register_forward_pre_hook(hand, with_kwargs=True)
    else:
        where.register_forward_hook(partial(_hand_output, new, int(crossing.place)))
    return network


def _insert_call(graph: fx.Graph, name: str) -> None:
    for node in [node for node in graph.nodes if node.name == name]:
        with graph.inserting_after(node):
            added = graph.call_module(NAME, (node,))
        node.replace_all_uses_with(added)
        added.args = (node,)


def _hand_input(
    new: nn.Module, place: int, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, object]
) -> None:
    new(leaves((args, kwargs))[place])


def _hand_output(new: nn.Module, place: int, _: nn.Module, __: object, output: object) -> None:
    new(leaves(output)[place])


def _is_map(seen: Recording, key: Key) -> bool:
    tensor = seen.tensors[key]
    if not tensor.is_floating_point() or key == seen.image or tensor.shape[0] != 1:
        return False
    if tensor.dim() == 3:
        return _is_of_tokens(seen, key)
    layout = layout_of(tuple(tensor.shape))
    if layout is None or _is_pooled(seen, key):
        return False
    cells = tensor.shape[2:] if layout == "nchw" else tensor.shape[1:3]
    before = None if max(cells) > 1 else _larger_before(seen, key)
    return max(cells) > 1 or (before is not None and max(before) <= _STRIDE)


def _is_of_tokens(seen: Recording, key: Key) -> bool:
    """Tell tokens from a map whose cells were only put in a row, averaged, or are class tokens."""
    step = seen.steps.get(key)
    name = _name(step.function) if step is not None else ""
    n_tokens = seen.tensors[key].shape[1]
    if n_tokens == 1 or name in (*_MOVES, *_POOLINGS, "__getitem__"):
        return False
    return not grids(seen) or prefix_tokens(seen, n_tokens) is not None


def _is_pooled(seen: Recording, key: Key) -> bool:
    step = seen.steps.get(key)
    return step is not None and _name(step.function).startswith(_POOLINGS)


def _larger_before(seen: Recording, key: Key) -> tuple[int, ...] | None:
    """Find the cells of the nearest map of more than one cell that a tensor is computed from."""
    waiting, visited = [key], set[Key]()
    while waiting:
        one = waiting.pop(0)
        shape = tuple(seen.tensors[one].shape)
        if len(shape) == 4 and max(shape[2:]) > 1:
            return shape[2:]
        if one not in visited and one in seen.steps:
            waiting += seen.steps[one].inputs
        visited.add(one)
    return None


def _name(function: Callable[..., object]) -> str:
    """Name a function without what says that it works in place."""
    name: str = getattr(function, "__name__", "")
    return name if name.startswith("__") else name.strip("_")


def _new_places(seen: Recording, key: Key, module: nn.Module) -> Iterator[Place]:
    times = seen.times()
    crossings = seen.crossings.get(key, [])
    for crossing in crossings:
        if crossing.side == "node" and times[crossing.path] == 1:
            yield Place(crossing.path, crossing)
    for crossing in crossings:
        hooked = module.get_submodule(crossing.path)
        owner = _owner(module, crossing.path)
        graph = isinstance(hooked, fx.GraphModule)  # its copies lose its hooks
        if (
            crossing.side != "node"
            and times[crossing.path] == 1
            and owner is not None
            and not graph
        ):
            yield Place(owner, crossing)
    maker, activations = key, list[_Activation]()
    while maker in seen.steps and len(activations) < _MAX_ACTIVATIONS:
        step = seen.steps[maker]
        if not _is_activation(step.function, step.args, step.kwargs) or len(step.inputs) != 1:
            return
        activations.insert(0, (_name(step.function), step.args[1:], step.kwargs))
        (maker,) = step.inputs
        for path in ends_with(seen, maker):
            owner = _owner(module, path)
            if owner is not None and not isinstance(module.get_submodule(path), fx.GraphModule):
                yield Place(owner, Crossing(path, "output", 0, True), tuple(activations))


def _is_activation(
    function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, object]
) -> bool:
    plain = bool(args) and isinstance(args[0], Tensor) and not leaves((args[1:], kwargs))
    return plain and function is not no_function and _name(function) in _ACTIVATIONS


def _owner(module: nn.Module, path: str) -> str | None:
    """Choose the nearest module around one that can hold one more without calling it."""
    parents = [
        path.rsplit(".", i)[0] if i <= path.count(".") else ""
        for i in range(1, path.count(".") + 2)
    ]
    for parent in parents if path else [""]:
        if not isinstance(module.get_submodule(parent), (*_CONTAINERS, fx.GraphModule)):
            return parent
    near = module.get_submodule(path)
    plain = not any(near.children()) and not any(True for _ in near.parameters())
    return path if path and plain and not isinstance(near, _CONTAINERS) else None
