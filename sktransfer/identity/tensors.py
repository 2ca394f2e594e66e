"""Content of arrays and tensors, as digests."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import numpy as np
import torch
import xxhash

from sktransfer.torch_internals import version_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["content_of", "content_of_array", "known_content_of"]

_known: dict[int, tuple[weakref.ref[Tensor], tuple[int, int, str], str]] = {}


def content_of(tensor: Tensor) -> str | None:
    """Digest the type, shape and values of a tensor; None if they cannot be read."""
    if tensor.layout != torch.strided or tensor.is_quantized:
        return None
    try:
        kind = f"{tensor.dtype} {tuple(tensor.shape)}"
        if tensor.is_meta:
            return f"{kind} without values"
        with torch.no_grad():
            flat = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
            values = flat.view(torch.uint8).numpy()
    except (RuntimeError, TypeError, ValueError):  # of a kind of tensor that has no such values
        return None
    return f"{kind} {xxhash.xxh3_128_hexdigest(values.data)}"


def known_content_of(tensor: Tensor) -> str | None:
    """Return what `content_of` returned, unless torch has counted a change since then."""
    if tensor.is_inference() or tensor.layout != torch.strided:
        return content_of(tensor)
    state = (
        version_of(tensor),
        tensor.data_ptr(),
        f"{tensor.dtype} {tuple(tensor.shape)} {tensor.stride()}",
    )
    known = _known.get(id(tensor))
    if known is not None and known[0]() is tensor and known[1] == state:
        return known[2]
    content = content_of(tensor)
    if content is not None:
        number = id(tensor)
        _known[number] = weakref.ref(tensor, lambda _: _known.pop(number, None)), state, content
    return content


def content_of_array(array: NDArray[np.generic]) -> str:
    """Digest the type, shape and values of an array that holds no objects."""
    values = xxhash.xxh3_128_hexdigest(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return f"{array.dtype.descr if array.dtype.names else array.dtype.str} {array.shape} {values}"
