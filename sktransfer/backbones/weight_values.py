"""Which values weights may have: real, dense and finite numbers that are in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from sktransfer.exceptions import WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from sktransfer.backbones.spec import BackboneSpec

__all__ = ["refuse_non_finite", "refuse_odd_kinds"]


def refuse_odd_kinds(state: Mapping[str, Tensor], origin: str) -> None:
    """Refuse tensors that no layer computes with as they are.

    Parameters
    ----------
    state : mapping of str to Tensor
        Weights by their names.
    origin : str
        The beginning of the message: a file or a network.

    Raises
    ------
    WeightsError
        If one is complex, sparse, quantised or without values.

    Examples
    --------
    >>> refuse_odd_kinds({"fc.weight": torch.zeros(2, dtype=torch.complex64)}, "w.pth")
    Traceback (most recent call last):
    sktransfer.exceptions.WeightsError: w.pth holds weights of complex numbers ('fc.weight'). ...
    """
    for name, value in state.items():
        kind = _odd_kind(value)
        if kind:
            raise WeightsError(
                f"{origin} holds weights {kind} ({name!r}). Weights are dense tensors of real "
                "numbers, such as float32: convert them before."
            )


def refuse_non_finite(module: nn.Module, spec: BackboneSpec, weights: str) -> None:
    """Refuse parameters and statistics from which no finite feature can come.

    Parameters
    ----------
    module : nn.Module
        The network. Its heads may hold anything.
    spec : BackboneSpec
        Description of the network.
    weights : str
        Name of the weights, for the message.

    Raises
    ------
    WeightsError
        If a parameter is not finite, a buffer is NaN, or a variance is negative.
    """
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        if not value.is_floating_point() or value.is_meta or spec.is_head(name):
            continue
        # A buffer may be a mask of infinities.
        wrong = value.isnan() if not isinstance(value, nn.Parameter) else ~value.isfinite()
        kind = "NaN or infinite values"
        if name.endswith("running_var"):
            wrong, kind = ~(value.isfinite() & (value >= 0)), "variances below 0, NaN or infinite"
        n_wrong = int(torch.count_nonzero(wrong))
        if n_wrong:
            raise WeightsError(
                f"weights={weights!r} of {spec.name} hold {kind}: {n_wrong} of the {value.numel()} "
                f"values of {name!r}, as after a training that diverged. Take an earlier "
                "checkpoint, or weights='default'."
            )


def _odd_kind(value: Tensor) -> str:
    if value.is_meta:
        return "without values, on the device 'meta'"
    if value.layout != torch.strided:
        return f"in the sparse layout {value.layout}"
    if value.is_quantized:
        return f"of the quantised type {value.dtype}"
    return "of complex numbers" if value.is_complex() else ""
