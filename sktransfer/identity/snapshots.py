"""Snapshots: whether a network of packages' modules is still what it was, without reading it again."""

from __future__ import annotations

import operator
import sys
from types import BuiltinFunctionType
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

from sktransfer.identity.packages import package_of_class
from sktransfer.torch_internals import global_hooks, version_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Snapshot", "snapshot_of"]

_FIXED = (
    int, float, complex, bool, str, bytes, type(None), torch.dtype, torch.device, BuiltinFunctionType,
)  # fmt: skip


class Snapshot(NamedTuple):
    """All objects that a network consists of, but itself, and how often its tensors were changed.

    It keeps them alive, so that nothing else gets the address of one.

    Parameters
    ----------
    objects : list of object
        Modules, names and values of their attributes, members of their classes, hooks.
    versions : list of int
        For each tensor, torch's count of changes and the place of its values.
    """

    objects: list[object]
    versions: list[int]

    def equals(self, other: Snapshot) -> bool:
        """Tell whether both are of the same objects in the same state."""
        return (
            len(self.objects) == len(other.objects)
            and self.versions == other.versions
            and all(map(operator.is_, self.objects, other.objects))
        )


def snapshot_of(module: nn.Module, *, checks: bool) -> Snapshot | None:
    """Take a snapshot.

    Parameters
    ----------
    module : nn.Module
        The network.
    checks : bool
        Whether to return None for a network that can change without any object in a snapshot being
        another one, because it holds a list, for example.
    """
    if checks and not _is_fixed(module):
        return None
    objects: list[object] = [hook for hooks in global_hooks().values() for hook in hooks.values()]
    versions: list[int] = []
    classes: set[type] = set()
    for part in module.modules():
        classes |= {type(part)} - classes
        objects += (type(part),) if part is module else (part, type(part))  # it may go one day
        for name, value in vars(part).items():
            objects.append(name)
            if isinstance(value, dict):
                objects += value
                objects += value.values()
            else:
                objects.append(value)
        for tensor in _tensors(part):
            versions += (version_of(tensor), tensor.data_ptr())
    objects += vars(nn.functional).values()  # which modules of torch call
    tops = sorted({cls.__module__.partition(".")[0] for cls in classes})
    objects += (getattr(sys.modules.get(top), "__version__", None) for top in tops)
    for base in sorted({base for cls in classes for base in cls.__mro__}, key=id):
        objects.append(base)
        objects += vars(base).values()
    return Snapshot(objects, versions)


def _tensors(part: nn.Module) -> Iterator[torch.Tensor]:
    yield from part.parameters(recurse=False)
    yield from part.buffers(recurse=False)


def _is_fixed(module: nn.Module) -> bool:
    return all(
        package_of_class(type(part)) is not None
        and not any(tensor.is_inference() for tensor in _tensors(part))
        and all(
            _cannot_change(value) or name in _DICTIONARIES for name, value in vars(part).items()
        )
        for part in module.modules()
    )


_DICTIONARIES = frozenset(vars(nn.Module()))  # what every module has; sets among them do not count


def _cannot_change(value: object) -> bool:
    if isinstance(value, type):
        return package_of_class(value) is not None
    if type(value) in (tuple, torch.Size):
        return all(map(_cannot_change, value))  # type: ignore[call-overload] # it is a tuple
    return type(value) in _FIXED
