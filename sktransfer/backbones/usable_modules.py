"""Which modules can be backbones: wrappers are taken off, and what cannot be used is refused."""

from __future__ import annotations

import torch
from torch import nn

from sktransfer.exceptions import UnknownBackboneError
from sktransfer.torch_internals import is_batchnorm

__all__ = ["refuse_unusable", "unwrapped"]

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the network that `torch.compile` or `nn.DataParallel` was put around.

    Examples
    --------
    >>> unwrapped(nn.DataParallel(nn.ReLU()))
    ReLU()
    """
    while True:
        inner = getattr(module, "_orig_mod", None)
        if isinstance(module, _WRAPPERS):
            inner = module.module
        if not isinstance(inner, nn.Module):
            return module
        module = inner


def refuse_unusable(module: nn.Module, name: str) -> None:
    """Refuse a network that is not made of Python modules, or whose features are not its images'.

    Raises
    ------
    UnknownBackboneError
        If it is of TorchScript or torch.export, has parameters without values, or a batch norm
        that takes its statistics from the batch.
    """
    if any(isinstance(part, torch.jit.ScriptModule) for part in module.modules()):
        raise UnknownBackboneError(
            f"backbone={name} is a network of TorchScript, whose layers cannot be tapped or trained. "
            "Pass the nn.Module that it was made of, and load its state_dict() into that."
        )
    try:
        module.train(module.training)
    except NotImplementedError as exc:  # what torch.export makes has no modes
        raise UnknownBackboneError(
            f"backbone={name} was made by torch.export, which leaves functions without layers. Pass "
            "the nn.Module that was exported, and load its state_dict() into that."
        ) from exc
    for key, value in (*module.named_parameters(), *module.named_buffers()):
        if value.is_meta or nn.parameter.is_lazy(value):
            raise UnknownBackboneError(
                f"backbone={name} has no values for {key!r}: it is on the device 'meta', or lazy. "
                "Load weights into the network, or run it once, before you pass it."
            )
    for path, part in module.named_modules():
        statistics = getattr(part, "running_mean", True)
        if is_batchnorm(part) and statistics is None:
            raise UnknownBackboneError(
                f"backbone={name}: its {type(part).__name__} {path!r} keeps no statistics, so the "
                "features of an image would depend on the other images of its batch. Build it with "
                "track_running_stats=True and train it, or use GroupNorm."
            )
