"""Kinds of values, and how each is written down."""

from __future__ import annotations

import enum
import functools
import logging
import re
import threading
import weakref
from types import (
    BuiltinFunctionType,
    CellType,
    ClassMethodDescriptorType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from sktransfer.identity import callables, classes, networks, objects
from sktransfer.identity.tensors import content_of_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from sktransfer.identity.walk import Walk

__all__ = ["visitor_of"]

_LOCKS = (type(threading.Lock()), type(threading.RLock()))  # keep order, and change no result
_TORCH_NAMES = (torch.dtype, torch.device, torch.layout, torch.memory_format)
_BUILTINS = (
    BuiltinFunctionType, MethodDescriptorType, WrapperDescriptorType, GetSetDescriptorType,
    MemberDescriptorType, MethodWrapperType, ClassMethodDescriptorType,
)  # fmt: skip


def visitor_of(kind: type) -> Callable[..., None]:
    """Return the function that writes down values of a kind, called with the walk and a value."""
    exact = _EXACT.get(kind)
    if exact is not None:
        return exact
    return next(
        (visit for kinds, visit in _VISITS if issubclass(kind, kinds)), objects.visit_object
    )


def _visit_array(walk: Walk, array: NDArray[Any]) -> None:
    if array.dtype.hasobject:
        walk.put("array of objects", str(array.dtype), str(array.shape))
        if walk.is_new(array):
            walk.visit_all("items", array.ravel().tolist())
    else:
        walk.put("array", content_of_array(np.asarray(array)))
    if type(array) is not np.ndarray:
        walk.visit(type(array))
        walk.visit(objects.attributes_of(array))


def _visit_code(walk: Walk, code: CodeType) -> None:
    walk.put("code")
    walk.read_code(code)


def _visit_sequence(walk: Walk, values: Iterable[object]) -> None:
    if isinstance(values, tuple) or walk.is_new(values):
        walk.visit_all(type(values).__name__, values)


def _visit_dict(walk: Walk, values: dict[object, object]) -> None:
    if walk.is_new(values):
        walk.visit_all("keys", values.keys())
        walk.visit_all("values", values.values())


def _visit_set(walk: Walk, values: Iterable[object]) -> None:
    walk.visit_unordered(type(values).__name__, values)


def _visit_pattern(walk: Walk, pattern: re.Pattern[str]) -> None:
    walk.put("pattern", repr(pattern.pattern), str(pattern.flags))


def _visit_enum(walk: Walk, value: enum.Enum) -> None:
    walk.put("enum", value.name if isinstance(value.name, str) else repr(value))
    walk.visit(type(value))


def _visit_reference(walk: Walk, value: weakref.ref[object]) -> None:
    walk.put("reference")
    walk.visit(value())


def _visit_cell(walk: Walk, cell: CellType) -> None:
    if walk.is_new(cell):
        try:
            content = cell.cell_contents
        except ValueError:  # of a variable that has no value yet
            walk.put("empty cell")
        else:
            walk.visit(content)


def _put_text(tag: str, text: Callable[[object], str]) -> Callable[[Walk, object], None]:
    def put(walk: Walk, value: object) -> None:
        walk.put(tag, text(value))

    return put


_EXACT: dict[type, Callable[..., None]] = {
    list: _visit_sequence,
    tuple: _visit_sequence,
    dict: _visit_dict,
    set: _visit_set,
    frozenset: _visit_set,
}
# Kinds are tried in this order.
_VISITS: tuple[tuple[type | tuple[type, ...], Callable[..., None]], ...] = (
    (torch.Tensor, lambda walk, tensor: walk.visit_tensor(tensor)),
    (nn.Module, networks.visit_network),
    (FunctionType, callables.visit_function),
    (MethodType, callables.visit_method),
    (type, classes.visit_class),
    (enum.Enum, _visit_enum),
    ((np.ndarray, np.generic), _visit_array),
    (functools.partial, callables.visit_partial),
    ((staticmethod, classmethod, property, functools.cached_property), callables.visit_wrapper),
    (functools._lru_cache_wrapper, callables.visit_wrapper),
    (_BUILTINS, callables.visit_builtin),
    (ModuleType, callables.visit_module),
    (CodeType, _visit_code),
    (CellType, _visit_cell),
    (weakref.ref, _visit_reference),
    (_TORCH_NAMES, _put_text("torch", repr)),
    (logging.Logger, _put_text("logger", lambda logger: str(getattr(logger, "name", "")))),
    (_LOCKS, _put_text("lock", lambda _: "")),
    (re.Pattern, _visit_pattern),
    (MappingProxyType, lambda walk, proxy: walk.visit(dict(proxy))),
)
