"""Folding: batch norms in inference mode become part of the convolutions before them."""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["fold_batchnorms"]

_TOLERANCE = 1e-3  # of the largest value of a layer; what rounding of float32 changes is far less


def fold_batchnorms(
    module: nn.Module,
    run: Callable[[nn.Module], Sequence[Tensor]],
    keep: Sequence[str] = (),
) -> nn.Module:
    """Return a copy in which batch norms that directly follow a convolution are part of it.

    ``norm(conv(x)) = scale * (weight * x + bias - mean) + shift``, with ``scale = gamma /
    sqrt(variance + eps)``, is a convolution of weights ``scale * weight`` and bias ``scale * (bias -
    mean) + shift``.

    Which ones follow is seen in a forward pass. Where the copy does not compute the same, because
    the network uses the convolution's output elsewhere too, it is a copy without any change.

    Parameters
    ----------
    module : nn.Module
        In eval mode, float32, on the CPU.
    run : callable
        Sends something through the network and returns what is compared.
    keep : sequence of str
        Paths of modules whose output must stay what it is.

    Returns
    -------
    nn.Module
        In the place of each batch norm that was folded is an `nn.Identity`.
    """
    # A network that notes something in its attributes when it runs must not do so here.
    watched = copy.deepcopy(module, {id(value): value for value in module.parameters()}).eval()
    expected, pairs = _watched(watched, run, keep)
    folded = copy.deepcopy(module).eval()  # a copy of what torch.fx traced is in training mode
    for conv_path, norm_path in pairs:
        _fold(folded, conv_path, norm_path)
    if pairs and not _close(run(folded), expected):
        return copy.deepcopy(module).eval()
    return folded


def _watched(
    module: nn.Module, run: Callable[[nn.Module], Sequence[Tensor]], keep: Sequence[str]
) -> tuple[Sequence[Tensor], list[tuple[str, str]]]:
    """Run once and note which batch norms took exactly what a convolution put out."""
    makers: dict[int, tuple[str, Tensor]] = {}  # by id of the output, which is held alive
    pairs: list[tuple[str, str]] = []
    times: Counter[str] = Counter()

    def after_conv(path: str) -> Any:
        def hook(_: nn.Module, __: object, output: Tensor) -> None:
            times[path] += 1
            makers[id(output)] = path, output

        return hook

    def before_norm(path: str) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...]) -> None:
            times[path] += 1
            if args and id(args[0]) in makers:
                pairs.append((makers[id(args[0])][0], path))

        return hook

    handles = []
    hooked = {part for part in module.modules() if part._forward_hooks or part._forward_pre_hooks}
    for path, part in module.named_modules():
        if part in hooked:  # what its own hooks see, or change, must stay
            continue
        if type(part) is nn.Conv2d and path not in keep:
            handles.append(part.register_forward_hook(after_conv(path)))
        elif type(part) is nn.BatchNorm2d and part.running_mean is not None:
            handles.append(part.register_forward_pre_hook(before_norm(path)))
    try:
        expected = run(module)
    finally:
        for handle in handles:
            handle.remove()
    taken = Counter(conv for conv, _ in pairs)
    once = [(c, n) for c, n in pairs if times[c] == times[n] == taken[c] == 1]
    return expected, once


def _fold(module: nn.Module, conv_path: str, norm_path: str) -> None:
    conv, norm = module.get_submodule(conv_path), module.get_submodule(norm_path)
    assert isinstance(conv, nn.Conv2d)  # `_watched` has looked
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    weight, bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )
    conv.weight = nn.Parameter(weight.detach(), requires_grad=False)
    conv.bias = nn.Parameter(bias.detach(), requires_grad=False)
    parent, _, name = norm_path.rpartition(".")
    setattr(module.get_submodule(parent), name, nn.Identity())


def _close(given: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    if not all(value.isfinite().all() for value in (*given, *expected)):
        return False
    return len(given) == len(expected) and all(
        torch.allclose(a, b, rtol=0, atol=_TOLERANCE * max(b.abs().max().item(), 1e-12))
        for a, b in zip(given, expected, strict=True)
    )
