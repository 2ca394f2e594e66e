"""Names of modules as they were: pickles of version 0.1 say where their classes lay then.

A module of an old name is made when something asks for it, and hands out the classes of the new
one. Code should import from the new places, or better from `sktransfer` itself.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

__all__ = ["install"]

_MOVED: Final = {
    "sktransfer.finetuning.continuing": "sktransfer.training.warm_start",
    "sktransfer.finetuning.targets": "sktransfer.training.targets.version_0_1",
    "sktransfer.finetuning.trained": "sktransfer.training.portable_network",
    "sktransfer.selection.advice": "sktransfer.advice.recommendation",
    "sktransfer.selection.candidates": "sktransfer.comparison.candidates",
    "sktransfer.selection.pixels": "sktransfer.raw_pixels",
    "sktransfer.selection.results": "sktransfer.comparison.results",
}


class _MovedModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds modules by their old names."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the import system's signature
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _MOVED:
            return None
        return importlib.machinery.ModuleSpec(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        def hand_out(name: str) -> object:
            return getattr(importlib.import_module(_MOVED[module.__name__]), name)

        vars(module)["__getattr__"] = hand_out


def install() -> None:
    """Let the import system find modules by their old names, after all others."""
    if not any(isinstance(finder, _MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(_MovedModules())
