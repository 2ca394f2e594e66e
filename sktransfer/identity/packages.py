"""Which functions and classes belong to an installed package, whose version says what they do."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import sys
import sysconfig
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import xxhash

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

__all__ = ["package_of_class", "package_of_file", "package_of_module", "package_of_name"]

_PYTHON = "python {}.{}".format(*platform.python_version_tuple())
_STDLIB = sysconfig.get_path("stdlib").replace("\\", "/") + "/"
_THIS = str(Path(__file__).resolve().parents[1]).replace("\\", "/") + "/"
# Packages whose versions are raised whenever they change; others may be a colleague's, installed anew.
_RELEASED = frozenset({
    "sktransfer", "torch", "torchvision", "timm", "skorch", "sklearn", "numpy", "scipy", "pandas", "PIL", "joblib",
})  # fmt: skip
_HEAP_TYPE = 1 << 9  # CPython's flag of classes that were made while the program runs


def package_of_file(filename: str) -> str | None:
    """Name the package that a file of code belongs to, and its version; None if it is a user's own.

    Examples
    --------
    >>> import torch
    >>> package_of_file(torch.__file__) == f"torch {torch.__version__}"
    True
    >>> package_of_file("<stdin>") is None
    True
    """
    top = _top_of_file(filename)
    if top is None or top == _PYTHON:
        return top
    version = getattr(sys.modules.get(top), "__version__", "")
    return f"{top} {version}" if top in _RELEASED else f"{top} {version} {_contents(top, filename)}"


@lru_cache(4096)
def _top_of_file(filename: str) -> str | None:
    path = filename.replace("\\", "/")
    if path.startswith("<frozen "):
        return _PYTHON
    if path.startswith("<"):  # made while the program runs
        return None
    if path.startswith(_THIS):
        return "sktransfer"
    for folder in ("/site-packages/", "/dist-packages/"):
        if folder in path:
            return path.rpartition(folder)[2].split("/")[0].partition(".")[0]
    return _PYTHON if path.startswith(_STDLIB) else None


def package_of_name(name: str) -> str | None:
    """Name the package that a Python module of a name belongs to, without importing it."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names:
        return _PYTHON
    module = sys.modules.get(top)
    if module is not None:
        return package_of_module(module)
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    return None if spec is None or spec.origin is None else package_of_file(spec.origin)


def package_of_module(module: ModuleType) -> str | None:
    """Name the package that a Python module belongs to, and its version; None if it is a user's own."""
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        return package_of_file(file)
    top = module.__name__.partition(".")[0]
    if top in sys.stdlib_module_names:
        return _PYTHON
    parent = sys.modules.get(top)  # a module of a package that is made while the program runs
    return package_of_module(parent) if parent not in (None, module) else None


def package_of_class(cls: type) -> str | None:
    """Name the package in which a class is found by its name; None if it is a user's own.

    A class that a package made while the program runs, for one object, is none of the package's.
    """
    module = sys.modules.get(cls.__module__)
    if module is None:
        return None if cls.__flags__ & _HEAP_TYPE else cls.__module__
    package = package_of_module(module)
    if package is None or not cls.__flags__ & _HEAP_TYPE:
        return package
    found: object = module
    for name in cls.__qualname__.split("."):
        found = getattr(found, "__dict__", {}).get(name)
    return package if found is cls else None


@cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


@lru_cache(256)
def _contents(top: str, path: str) -> str:
    """Tell apart two installations of a package by what its installer has noted of all of its files."""
    for distribution in _distributions().get(top, ()):
        noted = importlib.metadata.distribution(distribution).read_text("RECORD")
        if noted:
            return xxhash.xxh3_128_hexdigest(noted.encode())
    file = Path(path)
    return xxhash.xxh3_128_hexdigest(file.read_bytes()) if file.is_file() else ""
