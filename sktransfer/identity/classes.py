"""Classes: those of installed packages by name and version, others by all that is defined in them."""

from __future__ import annotations

import functools
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING

from sktransfer.identity.packages import package_of_class, package_of_file

if TYPE_CHECKING:
    from sktransfer.identity.walk import Walk

__all__ = ["NAMED", "visit_class", "visit_class_of_network"]

NAMED = "what code names"
"""Mode of classes of which only those methods count that some code may call."""

_NOT_BEHAVIOUR = frozenset({
    "__module__", "__qualname__", "__name__", "__doc__", "__dict__", "__weakref__", "__annotations__",
    "__annotate__", "__annotate_func__", "__annotations_cache__", "__firstlineno__",
    "__static_attributes__", "__parameters__", "__orig_bases__", "__match_args__", "__abstractmethods__",
    "__slotnames__",
        "__dataclass_fields__", "__dataclass_params__", "_abc_impl",
    "_sklearn_auto_wrap_output_keys",
})  # fmt: skip
# Methods that run when a network is made or printed, not when it is copied or called.
_NOT_IN_FORWARD = frozenset({
    "__init__", "__new__", "__init_subclass__", "__class_getitem__",
    "__repr__", "__str__", "__dir__", "extra_repr", "_get_name",
})  # fmt: skip
_CALLED = frozenset(
    {"forward", "forward_features", "forward_head"}
)  # without being named by a user's code
_METHODS = (FunctionType, staticmethod, classmethod, property, functools.cached_property)
_CALLABLES = (BuiltinFunctionType, MethodType, functools.partial)
_CONSTANTS = (int, float, str, bool, bytes, type(None))


def visit_class(walk: Walk, cls: type) -> None:
    """Write down a class with all of its methods."""
    if walk.is_new(cls):
        _visit_bases(walk, cls, "")
        for name, value in _members(cls):
            walk.put(name)
            walk.visit(value)


def visit_class_of_network(walk: Walk, cls: type) -> None:
    """Write down a module's class; methods that no code names do not count.

    So a method that trains, and the images that it trains on, are not read.
    """
    if not walk.is_new(cls, NAMED):
        return
    _visit_bases(walk, cls, NAMED)
    number = walk.number_of(cls, NAMED)
    inherited = {name for base in cls.__mro__[1:] if package_of_class(base) for name in vars(base)}
    for name, value in _members(cls):
        special = name.startswith("__") and name.endswith("__")
        may_run = name not in _NOT_IN_FORWARD and (special or name in inherited or name in _CALLED)
        if isinstance(value, _METHODS) and not may_run:
            walk.wait(number, name, value)
        else:
            walk.put(name)
            walk.visit(value)


def _visit_bases(walk: Walk, cls: type, mode: str) -> None:
    package = package_of_class(cls)
    walk.put("class", cls.__qualname__, *([cls.__module__, package] if package else []))
    for base in cls.__bases__:
        if base is not object:
            (visit_class_of_network if mode else visit_class)(walk, base)
    if type(cls) is not type and not package:
        walk.visit(type(cls))


def _members(cls: type) -> list[tuple[str, object]]:
    """List what counts of a class: of a package's, constants and what somebody else put there."""
    members = [(name, value) for name, value in vars(cls).items() if name not in _NOT_BEHAVIOUR]
    package = package_of_class(cls)
    if package:
        members = [
            (name, value)
            for name, value in members
            if (type(value) in _CONSTANTS and not name.startswith("__"))
            or _is_patch(cls, name, value)
        ]
    return sorted(members, key=lambda member: member[0])


def _is_patch(cls: type, name: str, value: object) -> bool:
    """Tell what somebody has put into a class of a package from what the package has defined there."""
    if isinstance(value, _CALLABLES):
        return not name.startswith("__")
    function = getattr(value, "__func__", getattr(value, "fget", value))
    if not isinstance(function, FunctionType):
        return False
    filename = function.__code__.co_filename
    if filename.startswith("<"):  # made while the program runs, by the class's own package or not
        return function.__module__.partition(".")[0] != cls.__module__.partition(".")[0]
    own_name = function.__qualname__.startswith(f"{cls.__qualname__}.")
    return package_of_file(filename) is None or not own_name
