"""Facts of a network's layers that are measured once for as long as the network lives."""

from __future__ import annotations

import functools
import weakref
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from sktransfer.backbones.spec import BackboneSpec

__all__ = ["measured_once"]

_Fact = TypeVar("_Fact")


def measured_once(
    measure: Callable[[nn.Module, BackboneSpec, Sequence[str]], _Fact],
) -> Callable[[nn.Module, BackboneSpec, Sequence[str]], _Fact]:
    """Let a function of (module, spec, paths of layers) remember what it found of each module.

    Parameters
    ----------
    measure : callable
        Its result has to stay right while the module's weights change.
    """
    known: weakref.WeakKeyDictionary[nn.Module, dict[tuple[str, ...], _Fact]] = (
        weakref.WeakKeyDictionary()
    )

    @functools.wraps(measure)
    def remembered(module: nn.Module, spec: BackboneSpec, paths: Sequence[str]) -> _Fact:
        kept = known.setdefault(module, {})
        key = tuple(paths)
        if key not in kept:
            kept[key] = measure(module, spec, key)
        return kept[key]

    return remembered
