"""The graph of a network up to its taps, recorded without changing anything outside a copy of it.

`torch.fx.Tracer.trace` replaces `nn.Module.__call__` of the whole process while it runs, which
breaks modules that other threads use at that moment. Here the modules of a private copy are
given a `forward` of their own instead, and only the kinds of values and nodes of `torch.fx` are used.
"""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor, fx, nn
from torch.fx.proxy import ParameterProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["tapped_graph"]


def tapped_graph(module: nn.Module, taps: Mapping[str, Mapping[str, nn.Module]]) -> fx.GraphModule:
    """Return the graph of a network from the batch to what is made of the outputs of some modules.

    Parameters
    ----------
    module : nn.Module
        In eval mode. It is not changed; its weights are shared.
    taps : mapping of str to mapping of str to nn.Module
        For each path of a module, the modules that take its output, by the names that they are to
        have in the graph. The graph ends at the last of these paths.

    Returns
    -------
    GraphModule
        From a batch to a dictionary with the outputs of these modules by their names.

    Raises
    ------
    Exception
        Any error that the network raises when it is given no values.
    """
    root = copy.deepcopy(module, {id(t): t for t in _tensors(module)})
    tracer = _Tracer(root)
    waiting, outputs = set(taps), {}

    def tap(path: str, output: fx.Proxy) -> None:
        # At once, because a later in-place layer overwrites the map.
        for name in taps[path]:
            outputs[name] = tracer.create_proxy("call_module", name, (output,), {})
        waiting.discard(path)
        if not waiting:
            raise _AllTapped

    with _recording(root, tracer, taps, tap):
        batch = tracer.create_proxy("placeholder", "batch", (), {})
        try:
            root(batch)
        except _AllTapped:
            pass
        else:
            raise RuntimeError("the network ended without running all of the layers asked for")
    for makers in taps.values():
        for name, maker in makers.items():
            root.add_module(name, maker)
    tracer.create_node("output", "output", (tracer.create_arg(outputs),), {})
    return fx.GraphModule(root, tracer.graph)


@contextmanager
def _recording(
    root: nn.Module, tracer: _Tracer, paths: Iterable[str], tap: Callable[[str, fx.Proxy], None]
) -> Iterator[None]:
    """Let a network's modules record their calls; `tap` gets the outputs of some."""
    former: list[tuple[dict[str, object], dict[str, object], list[str]]] = []
    parts = dict(root.named_modules())
    for path, part in parts.items():
        # What an object holds itself goes before its class's methods and before `__getattr__`.
        leaf = tracer.is_leaf_module(part, path)
        own = {"forward": tracer.caller(path)} if leaf else tracer.parameters_of(path, part)
        attributes = part.__dict__
        former.append((attributes, {k: attributes[k] for k in own if k in attributes}, list(own)))
        attributes.update(own)
    handles = [parts[path].register_forward_hook(_hook(tap, path)) for path in paths]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for attributes, values, names in former:
            for name in names:
                attributes.pop(name, None)
            attributes.update(values)


class _AllTapped(Exception):  # noqa: N818 - it signals success
    """Ends a forward pass after its last tap."""


class _Tracer(fx.Tracer):
    """Records the operations on proxies; never calls `trace`, which patches the whole process."""

    def __init__(self, root: nn.Module) -> None:
        super().__init__(param_shapes_constant=True)
        self.root, self.graph = root, fx.Graph(tracer_cls=type(self))
        self.tensor_attrs = {
            value: f"{path}.{name}" if path else name
            for path, part in root.named_modules()
            for name, value in vars(part).items()
            if isinstance(value, Tensor)
        }

    def caller(self, path: str) -> Callable[..., object]:
        """Return a forward that records a call of the module at a path."""

        def forward(*args: object, **kwargs: object) -> object:
            return self.create_proxy("call_module", path, args, kwargs)

        return forward

    def parameters_of(self, path: str, part: nn.Module) -> dict[str, fx.Proxy]:
        """Return what stands for a module's own parameters, by their names."""

        def proxy(name: str, parameter: nn.Parameter) -> fx.Proxy:
            target = f"{path}.{name}" if path else name
            return self.create_proxy(
                "get_attr", target, (), {},
                proxy_factory_fn=lambda node: ParameterProxy(self, node, target, parameter),
            )  # fmt: skip

        return {name: proxy(name, value) for name, value in part.named_parameters("", False)}


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _hook(tap: Callable[[str, Any], None], path: str) -> Callable[..., None]:
    def hook(_: nn.Module, __: object, output: object) -> None:
        tap(path, output)

    return hook
