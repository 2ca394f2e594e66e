"""Functions and methods: their code, defaults and closures, and the globals that they use."""

from __future__ import annotations

import builtins
import functools
import importlib
import importlib.util
import sys
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING

from torch import nn

from sktransfer.identity.packages import (
    package_of_class,
    package_of_file,
    package_of_module,
    package_of_name,
)

if TYPE_CHECKING:
    from sktransfer.identity.walk import Walk

__all__ = [
    "visit_builtin",
    "visit_function",
    "visit_method",
    "visit_module",
    "visit_partial",
    "visit_patches",
    "visit_wrapper",
]


def visit_function(walk: Walk, function: FunctionType) -> None:
    """Write down a function; one of a package by its name and the package's version."""
    if not walk.is_new(function):
        return
    code = function.__code__
    package = package_of_file(code.co_filename)
    walk.put("function")
    if package:
        walk.put(package, function.__module__ or "", code.co_qualname if sys.version_info >= (3, 11) else
                 function.__qualname__, str(code.co_firstlineno))  # fmt: skip
    walk.visit(function.__defaults__)
    walk.visit(function.__kwdefaults__)
    facts = None if package else walk.read_code(code)
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        walk.put(name)
        _visit_cell(walk, name, cell, None if facts is None else facts.names)
    if facts is None:
        return
    walk.visit({k: v for k, v in sorted(vars(function).items()) if k != "__wrapped__"})
    if facts.runs_text:
        walk.hide(function)
    for name in facts.global_names:
        walk.put(name)
        if name in function.__globals__:
            _visit_reference(walk, function.__globals__[name], facts.names)
        else:
            walk.put("builtin" if hasattr(builtins, name) else "missing")
    for name, level in facts.imports:
        _visit_import(walk, function, name, level, facts.names)


def visit_method(walk: Walk, method: MethodType) -> None:
    """Write down a bound method."""
    walk.put("method")
    walk.visit(method.__func__)
    walk.visit(method.__self__)


def visit_partial(walk: Walk, partial: functools.partial[object]) -> None:
    """Write down a function with some of its arguments."""
    if walk.is_new(partial):
        walk.put("partial")
        for part in (type(partial), partial.func, partial.args, partial.keywords, vars(partial)):
            walk.visit(part)


def visit_wrapper(walk: Walk, wrapper: object) -> None:
    """Write down what is around a function: a property, a class method, a cache."""
    if not walk.is_new(wrapper):
        return
    walk.put(type(wrapper).__name__)
    for name in ("__func__", "fget", "fset", "fdel", "func", "__wrapped__"):
        function = getattr(wrapper, name, None)
        if function is not None:
            walk.put(name)
            walk.visit(function)


def visit_builtin(walk: Walk, function: object) -> None:
    """Write down a function that is not written in Python, by its name and what it is bound to."""
    owner = getattr(function, "__self__", getattr(function, "__objclass__", None))
    walk.put("built in", str(getattr(function, "__qualname__", getattr(function, "__name__", ""))))
    if isinstance(owner, ModuleType):
        walk.put(owner.__name__, package_of_module(owner) or "")
    elif owner is not None:
        walk.visit(owner)


def visit_module(walk: Walk, module: ModuleType, names: frozenset[str] | None = None) -> None:
    """Write down a Python module: what code names of it; all of a user's own if that is not known.

    Of a package's, only what somebody else has put there counts besides the version, since what is there at
    all depends on what has been imported.
    """
    package = package_of_module(module)
    walk.put("module", module.__name__, package or "")
    if package:
        visit_patches(walk, module, names)
        return
    if not walk.is_new(module, "" if names is None else f"names {hash(names)}"):
        return
    for name, value in sorted(vars(module).items()):
        if name in names if names is not None else not name.startswith("__"):
            walk.put(name)
            _visit_reference(walk, value, names)


def visit_patches(walk: Walk, module: ModuleType, names: frozenset[str] | None) -> None:
    """Write down the functions that somebody else has put into a package's module, of those named."""
    present = vars(module)
    for name in sorted(present if names is None else names & present.keys()):
        value = present[name]
        if isinstance(value, ModuleType):
            if names is not None and package_of_module(value):
                visit_patches(walk, value, names - {name})
        elif is_patch(module, name, value):
            walk.put("patch", name)
            walk.visit(value)


def is_patch(module: ModuleType, name: str, value: object) -> bool:
    """Tell a function in a package's module that is a user's own, or another one of torch."""
    if isinstance(value, FunctionType) and package_of_file(value.__code__.co_filename) is None:
        return True
    if isinstance(value, FunctionType | BuiltinFunctionType):
        return module is nn.functional and value.__name__.strip("_") != name.strip("_")
    if isinstance(value, MethodType | functools.partial):
        return not name.startswith("_")
    return (
        isinstance(value, type)
        and package_of_class(value) is None
        and value.__module__ != module.__name__
    )


def _visit_reference(walk: Walk, value: object, names: frozenset[str] | None) -> None:
    if isinstance(value, ModuleType):
        visit_module(walk, value, names)
    else:
        walk.visit(value)


def _visit_cell(walk: Walk, name: str, cell: CellType, names: frozenset[str] | None) -> None:
    try:
        content = cell.cell_contents
    except ValueError:  # of a variable that has no value yet
        walk.put("empty")
        return
    if name == "__class__" and walk.was_seen(content):
        walk.put("own class")  # of a method that calls `super()`
    else:
        _visit_reference(walk, content, names)


def _visit_import(
    walk: Walk, function: FunctionType, name: str, level: int, names: frozenset[str]
) -> None:
    if level:
        package = function.__globals__.get("__package__") or ""
        name = importlib.util.resolve_name("." * level + name, package)
    package = package_of_name(name)
    if package:
        walk.put("import", name, package)
        return
    try:  # as the function will
        module = importlib.import_module(name)
    except Exception:  # noqa: BLE001 - whatever somebody's module raises; then the function does, too
        walk.put("no import", name)
        return
    visit_module(walk, module, names)
    if "." in name:
        visit_module(walk, sys.modules[name.partition(".")[0]], names)
