"""What a network does with its weights, as one digest: two of equal weights may differ in it."""

from __future__ import annotations

from types import CodeType
from typing import TYPE_CHECKING

import xxhash

if TYPE_CHECKING:
    from torch import nn

__all__ = ["architecture_of"]

_LIBRARIES = ("torch.", "torchvision.", "timm.")


def architecture_of(module: nn.Module) -> str:
    """Compute a digest of the modules of a network, their settings and their own code.

    Returns
    -------
    str
        32 hexadecimal digits: XXH3-128 of the network as torch prints it, and of the compiled
        `forward` of each class that is not part of torch, torchvision or timm.

    Examples
    --------
    >>> from torch import nn
    >>> average, maximum = (nn.Sequential(nn.Conv2d(3, 4, 3), pool(2)) for pool in (nn.AvgPool2d, nn.MaxPool2d))
    >>> architecture_of(average) == architecture_of(maximum)
    False
    """
    digest = xxhash.xxh3_128(repr(module).encode())
    own = {
        f"{type(part).__module__}.{type(part).__qualname__}": getattr(
            type(part).forward, "__code__", None
        )
        for part in module.modules()
        if not f"{type(part).__module__}.".startswith(_LIBRARIES)
    }
    for name, code in sorted(own.items()):
        digest.update(name.encode())
        if code is not None:
            _update(digest, code)
    return digest.hexdigest()


def _update(digest: xxhash.xxh3_128, code: CodeType) -> None:
    digest.update(code.co_code)
    digest.update(repr(code.co_names).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):  # a function inside the function
            _update(digest, constant)
        elif isinstance(constant, frozenset):  # its order differs from process to process
            digest.update(repr(sorted(map(repr, constant))).encode())
        else:
            digest.update(repr(constant).encode())
