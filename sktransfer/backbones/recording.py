"""What one image becomes on its way through a network: its tensors, and the modules they pass."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from sktransfer.torch_internals import version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Call", "Crossing", "Key", "Recording", "Step", "leaves", "no_function", "record"]


class Key(NamedTuple):
    """A tensor as it was at one time: an in-place operation makes another of it."""

    identity: int
    version: int


@dataclass(frozen=True)
class Step:
    """One function that forward applied.

    Parameters
    ----------
    function : callable
        A function of torch, or a method of its tensors.
    args, kwargs
        As given; tensors are kept.
    inputs : tuple of Key
        The tensors among them that come from the image.
    """

    function: Callable[..., object]
    args: tuple[Any, ...]
    kwargs: dict[str, object]
    inputs: tuple[Key, ...]


@dataclass(frozen=True)
class Crossing:
    """A place where a tensor goes into or comes out of a module, or of a node of a graph.

    Parameters
    ----------
    path : str
        Path of the module; "" is the network.
    side : {"input", "output", "node"}
        "node" is a node of the graph module at the path.
    place : int or str
        Position among the tensors that go in or come out; the node's name.
    alone : bool
        Whether it is the only thing that goes in or comes out.
    """

    path: str
    side: Literal["input", "output", "node"]
    place: int | str
    alone: bool


@dataclass(frozen=True)
class Call:
    """One call of a module: the only tensor that went in and that came out, None for others."""

    path: str
    taken: Key | None
    output: Key | None
    shape: tuple[int, ...]


@dataclass
class Recording:
    """What was seen while one image went through a network.

    Parameters
    ----------
    image : Key
        Key of the input.
    tensors : dict of Key to Tensor
        All that come from the image, in the order in which they were first seen; held, so that
        no identity is given twice.
    steps : dict of Key to Step
        Step that made each tensor; a module's call, without a function, where no function was seen.
    calls : list of Call
        In the order in which they ended.
    crossings : dict of Key to list of Crossing
        Crossings at which each tensor was seen.
    outputs : list of Key
        Keys of the network's outputs.
    """

    image: Key
    tensors: dict[Key, Tensor]
    steps: dict[Key, Step] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    crossings: dict[Key, list[Crossing]] = field(default_factory=dict)
    outputs: list[Key] = field(default_factory=list)

    def times(self) -> Counter[str]:
        """Count the calls of each module."""
        return Counter(call.path for call in self.calls)


def record(module: nn.Module, size: int) -> Recording:
    """Send one image through a network and note all functions and calls of modules.

    Parameters
    ----------
    module : nn.Module
        Is put into eval mode. Graphs in it are run node by node.
    size : int
        Side of the image in pixels.
    """
    some = next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))
    image = torch.zeros(1, 3, size, size, device=some.device, dtype=some.dtype)
    seen = Recording(_key(image), {_key(image): image})
    module.eval()
    with _watched(module, seen), torch.no_grad(), _Functions(seen):
        output = module(image)
    seen.outputs = [key for key in map(_key, leaves(output)) if key in seen.tensors]
    return seen


def leaves(value: object) -> list[Tensor]:
    """List the tensors in nested tuples, lists, dictionaries and objects that are like these."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in leaves(part)]
    if isinstance(value, list | tuple):
        return [leaf for part in value for leaf in leaves(part)]
    return []


class _Entered(NamedTuple):
    """What went into a module that has not ended: its known tensors, and the only one."""

    inputs: tuple[Key, ...]
    taken: Key | None


class _Functions(TorchFunctionMode):
    """Notes what each function of torch makes of tensors that come from the image."""

    def __init__(self, seen: Recording) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, object] | None = None
    ) -> object:
        keys = map(_key, leaves((args, kwargs or {})))  # before the function changes any
        inputs = tuple(key for key in keys if key in self.seen.tensors)
        output = func(*args, **(kwargs or {}))
        if inputs:
            step = Step(func, tuple(args), dict(kwargs or {}), inputs)
            for tensor in leaves(output):
                _note(self.seen, tensor, step)
        return output


def _key(tensor: Tensor) -> Key:
    return Key(id(tensor), 0 if tensor.is_inference() else version_of(tensor))


def _note(seen: Recording, tensor: Tensor, step: Step) -> Key:
    key = _key(tensor)
    if key not in seen.tensors and key not in step.inputs:
        seen.tensors[key] = tensor
        seen.steps[key] = step
    return key


def no_function(*_: object) -> None:
    """Stand for what a module does where no function of torch was seen."""


@contextmanager
def _watched(module: nn.Module, seen: Recording) -> Iterator[None]:
    handles = []
    graphs: list[fx.GraphModule] = []
    for path, part in module.named_modules():
        entered: list[_Entered] = []  # of calls that have not ended
        handles += [
            part.register_forward_pre_hook(_enter(path, seen, entered), with_kwargs=True),
            part.register_forward_hook(_leave(path, seen, entered)),
        ]
        if isinstance(part, fx.GraphModule):
            graphs.append(part)
            part.__dict__["forward"] = _Interpreter(part, path, seen).run
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for graph in graphs:
            graph.__dict__.pop("forward", None)


def _enter(path: str, seen: Recording, entered: list[_Entered]) -> Callable[..., None]:
    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, object]) -> None:
        keys = [_key(tensor) for tensor in leaves((args, kwargs))]
        alone = len(args) == 1 and not kwargs and isinstance(args[0], Tensor)
        _cross(seen, keys, path, "input", alone)
        known = [key for key in keys if key in seen.tensors]
        entered.append(_Entered(tuple(known), known[0] if alone and known else None))

    return hook


def _leave(path: str, seen: Recording, entered: list[_Entered]) -> Callable[..., None]:
    def hook(_: nn.Module, __: object, output: object) -> None:
        inputs, taken = entered.pop()
        for tensor in leaves(output) if inputs else []:
            _note(seen, tensor, Step(no_function, (), {}, inputs))
        keys = [_key(tensor) for tensor in leaves(output)]
        alone = isinstance(output, Tensor)
        _cross(seen, keys, path, "output", alone)
        shape = tuple(output.shape) if isinstance(output, Tensor) else ()
        seen.calls.append(Call(path, taken, keys[0] if alone else None, shape))

    return hook


def _cross(
    seen: Recording, keys: list[Key], path: str, side: Literal["input", "output"], alone: bool
) -> None:
    for place, key in enumerate(keys):
        seen.crossings.setdefault(key, []).append(Crossing(path, side, place, alone))


class _Interpreter(fx.Interpreter):
    """Runs a graph and notes which node puts out which tensor."""

    def __init__(self, graph: fx.GraphModule, path: str, seen: Recording) -> None:
        super().__init__(graph, garbage_collect_values=False)
        self.path, self.seen = path, seen

    def run_node(self, n: fx.Node) -> object:
        output = super().run_node(n)
        if isinstance(output, Tensor) and n.op != "output":
            crossing = Crossing(self.path, "node", n.name, True)
            self.seen.crossings.setdefault(_key(output), []).append(crossing)
        return output
