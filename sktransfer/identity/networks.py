"""Modules of torch: parameters, buffers, attributes, hooks, and the code that a forward pass may run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import fx, nn

from sktransfer.identity import classes
from sktransfer.identity.callables import visit_patches
from sktransfer.torch_internals import global_hooks, is_batchnorm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sktransfer.identity.walk import Walk

__all__ = ["visit_network"]

# Written down by rules of their own, or without an effect on what a network in eval mode puts out.
_LEFT_OUT = frozenset({
    "training", "call_super_init", "dump_patches",
    "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set",
    "_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called",
    "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs",
    "_backward_hooks", "_backward_pre_hooks", "_is_full_backward_hook",
    "_state_dict_hooks", "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks", "_compiled_call_impl",
})  # fmt: skip
_GRAPH = frozenset({"_graph", "_code", "meta"})  # the code of `forward` is made of the graph
_HOOKS = ("_forward_pre_hooks", "_forward_hooks")
_GLOBAL_HOOKS = ("_global_forward_pre_hooks", "_global_forward_hooks")
_COUNTER = "num_batches_tracked"


def visit_network(walk: Walk, module: nn.Module, path: str | None = None) -> None:
    """Write down a module and those in it.

    Parameters
    ----------
    walk : Walk
        The walk.
    module : nn.Module
        The module.
    path : str or None, default=None
        Its place in the network whose identity is asked for, with a dot at the end; None outside.
    """
    left_out = path is not None and walk.leave_out is not None and walk.leave_out(f"{path}.")
    if not walk.is_new(module, "left out" if left_out else ""):
        return
    walk.put("network")
    if not path:
        visit_patches(walk, nn.functional, None)  # which modules of torch call
        for kind in _GLOBAL_HOOKS:
            _visit_hooks(walk, global_hooks(), kind)
    classes.visit_class_of_network(walk, type(module))
    own = vars(module)
    for name, value in (*own["_parameters"].items(), *own["_buffers"].items()):
        walk.put("value", name)
        if value is None:
            walk.visit(None)
        else:
            counts = _counts(walk, module, path, name)
            walk.visit_tensor(value, counts=counts, own=path is not None)
    for kind in _HOOKS:
        _visit_hooks(walk, own, kind)
    left = _LEFT_OUT | _GRAPH if isinstance(module, fx.GraphModule) else _LEFT_OUT
    walk.visit_attributes({name: value for name, value in own.items() if name not in left})
    for name, child in own["_modules"].items():
        walk.put("module", name)
        if child is None:
            walk.visit(None)
        else:
            visit_network(walk, child, None if path is None else f"{path}{name}.")


def _counts(walk: Walk, module: nn.Module, path: str | None, name: str) -> bool:
    """Tell whether the values of a parameter or buffer count."""
    if is_batchnorm(module) and name == _COUNTER:
        return False
    return path is None or walk.leave_out is None or not walk.leave_out(path + name)


def _visit_hooks(walk: Walk, attributes: Mapping[str, Any], kind: str) -> None:
    """Write down hooks in their order; the numbers that torch gives them count all of a process."""
    if not attributes.get(kind):
        return
    marks = [name for name in sorted(attributes) if name.startswith(f"{kind}_")]
    for number, hook in attributes[kind].items():
        walk.put("hook", kind, *(mark for mark in marks if number in attributes[mark]))
        walk.visit(hook)
