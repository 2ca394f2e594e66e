"""Private names of torch: all that the package uses, and what it does where one is gone.

Tried with torch 2.4 to 2.14. Operators of oneDNN may be missing from a build, or have other names in another version;
features are then computed without them. `tests/test_torch_internals.py` takes each name away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor
    from torch.nn.modules.batchnorm import _BatchNorm

    BatchNorm: TypeAlias = _BatchNorm

__all__ = [
    "convolve",
    "global_hooks",
    "has_fused_convolutions",
    "has_fused_linears",
    "has_onednn",
    "is_batchnorm",
    "multiplies_bfloat16",
    "multiplies_float16",
    "multiply",
    "packed",
    "packed_matrix",
    "reset_of",
    "version_of",
]

_BATCHNORMS = getattr(
    nn.modules.batchnorm,
    "_BatchNorm",  # the class that all are derived from, also those of other packages
    (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
)


def is_batchnorm(module: nn.Module) -> TypeGuard[BatchNorm]:
    """Tell whether a module is a BatchNorm of any number of axes."""
    return isinstance(module, _BATCHNORMS)


def reset_of(module: nn.Module) -> Callable[[], object] | None:
    """Return the method that gives a module's own parameters their first values; None if it has none.

    Attention and transformers of torch call it by a private name.
    """
    method: Callable[[], object] | None = getattr(module, "reset_parameters", None)
    return method or getattr(module, "_reset_parameters", None)


def version_of(tensor: Tensor) -> int:
    """Count how often a tensor was changed in place; always 0 where torch does not count."""
    return int(getattr(tensor, "_version", 0))


def global_hooks() -> dict[str, Mapping[int, object]]:
    """Return the hooks that every module of the process has, by the names that torch has for them."""
    names = (
        "_global_forward_pre_hooks", "_global_forward_hooks",
        "_global_forward_hooks_with_kwargs", "_global_forward_hooks_always_called",
    )  # fmt: skip
    return {name: getattr(nn.modules.module, name, {}) for name in names}


def has_onednn() -> bool:
    """Tell whether this build of torch has oneDNN."""
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def has_fused_convolutions() -> bool:
    """Tell whether a convolution can take a sum and an activation along."""
    return hasattr(_operator("_convolution_pointwise"), "binary")


def multiplies_bfloat16() -> bool:
    """Tell whether the processor multiplies bfloat16 natively, and torch lets it."""
    checks = (
        getattr(torch.cpu, name, None)
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
    return has_onednn() and any(_says_yes(check) for check in checks)


def multiplies_float16() -> bool:
    """Tell whether the processor multiplies float16 natively, and torch lets it."""
    return has_onednn() and _says_yes(_operator("_is_mkldnn_fp16_supported"))


def convolve(
    x: Tensor,
    other: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    geometry: Sequence[object],
    activation: str,
    parameters: list[float],
) -> Tensor:
    """Convolve, add `other` if there is one, and apply an activation, in one pass over the output.

    Parameters
    ----------
    x, other, weight, bias : Tensor
        As for a convolution; `other` is None or has the shape of the output.
    geometry : sequence
        Padding, stride, dilation and number of groups.
    activation : str
        Name that oneDNN has for it; "none" for none.
    parameters : list of float
        Parameters of the activation.
    """
    operator = torch.ops.mkldnn._convolution_pointwise
    out: Tensor
    if other is None:
        out = operator(x, weight, bias, *geometry, activation, parameters, "")
    else:
        unary = None if activation == "none" else activation
        out = operator.binary(x, other, weight, bias, *geometry, "add", 1.0, unary, parameters, "")
    return out


def packed(weight: Tensor, geometry: Sequence[object], shape: Sequence[int]) -> Tensor | None:
    """Lay weights out as oneDNN wants them for inputs of a shape; None where that is not possible."""
    try:
        laid_out: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
            weight, *geometry, list(shape)
        )
    except (AttributeError, RuntimeError):
        return None
    return laid_out


def has_fused_linears() -> bool:
    """Tell whether a linear layer can take an activation along."""
    return callable(_operator("_linear_pointwise"))


def multiply(
    x: Tensor, weight: Tensor, bias: Tensor | None, activation: str, algorithm: str
) -> Tensor:
    """Apply a linear layer and an activation, in one pass over the output.

    Parameters
    ----------
    x, weight, bias : Tensor
        As for a linear layer; the weights may be packed.
    activation : str
        Name that oneDNN has for it; "none" for none.
    algorithm : str
        "none" or "tanh" for "gelu", else "".
    """
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], algorithm)
    return out


def packed_matrix(weight: Tensor, n_rows: int) -> Tensor | None:
    """Lay the weights of a linear layer out for so many rows; None where that is not possible."""
    try:
        laid_out: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, n_rows)
    except (AttributeError, RuntimeError):
        return None
    return laid_out


def _operator(name: str) -> object:
    return getattr(torch.ops.mkldnn, name, None)


def _says_yes(check: Any) -> bool:
    try:
        return check is not None and bool(check())
    except (AttributeError, RuntimeError):
        return False
