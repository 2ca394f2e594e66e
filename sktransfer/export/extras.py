"""Packages that only exports need: imported when they are used, and named where they are missing."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["imported"]

_PACKAGES = {"onnx": "onnx onnxruntime onnxscript skl2onnx", "skops": "skops"}


def imported(extra: str, *names: str) -> list[Any]:
    """Import packages of an extra.

    Parameters
    ----------
    extra : str
        Name of the extra of this package that installs them.
    *names : str
        Names of modules.

    Returns
    -------
    list of module

    Raises
    ------
    ImportError
        If one is not installed, with the command that installs all.
    """
    return [_imported(extra, name) for name in names]


def _imported(extra: str, name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise ImportError(
            f"this needs the package {name.partition('.')[0]}, which is not installed or cannot be "
            f"imported ({exc}). Install it with: pip install {_PACKAGES[extra]}"
        ) from exc
