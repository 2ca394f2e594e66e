"""The engine: a network made ready for one device, and batches of pixels sent through it."""

from __future__ import annotations

import copy
import threading
import warnings
import weakref
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sktransfer.exceptions import DeviceWarning
from sktransfer.features.folding import fold_batchnorms
from sktransfer.features.pooling import pool_map
from sktransfer.features.taps import as_map, run_tapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sktransfer.backbones.spec import BackboneSpec
    from sktransfer.backbones.weights import LoadedBackbone
    from sktransfer.features.plan import Slot
    from sktransfer.preprocessing import Preprocessing

__all__ = ["Engine", "prepare"]

# A network is made ready once in a process, and one forward pass runs at a time: hooks belong to
# the network, and two passes that share the cores are slower than one after the other.
_ready: weakref.WeakKeyDictionary[nn.Module, dict[tuple[object, ...], Engine]] = (
    weakref.WeakKeyDictionary()
)
_lock = threading.RLock()


@dataclass(frozen=True, eq=False)
class Engine:
    """A network on its device.

    Parameters
    ----------
    module : nn.Module
        In eval mode; batch norms folded, channels last.
    spec : BackboneSpec
        What it is.
    device : torch.device
        Where it is.
    precision : {"float32", "bfloat16", "float16"}
        What it computes in; float32 if the network cannot do what was asked for.
    """

    module: nn.Module
    spec: BackboneSpec
    device: torch.device
    precision: str

    def run(self, pixels: Tensor, slots: Sequence[Slot], preprocessing: Preprocessing) -> Tensor:
        """Compute the features of a batch.

        If the memory of a GPU does not hold the batch, it is halved, and a `DeviceWarning` says so.

        Parameters
        ----------
        pixels : Tensor of shape (batch, height, width, 3), dtype uint8
            On the CPU.
        slots : sequence of Slot
            What to pool; the network runs no further than the deepest.
        preprocessing : Preprocessing
            Whose normalisation is applied.

        Returns
        -------
        Tensor of shape (batch, sum of widths), dtype float32
            On the CPU.
        """
        try:
            with _lock, torch.inference_mode():
                return self._run(pixels, slots, preprocessing).cpu()
        except torch.OutOfMemoryError:
            if len(pixels) == 1:
                raise
        torch.cuda.empty_cache()
        half = len(pixels) // 2
        warnings.warn(
            f"{len(pixels)} images at once do not fit into the memory of {self.device}; they go "
            f"through {self.spec.name} in halves. Set batch_size={half} or less.",
            DeviceWarning,
            stacklevel=2,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeviceWarning)
            parts = [self.run(part, slots, preprocessing) for part in torch.split(pixels, half)]
        return torch.cat(parts)

    def _run(self, pixels: Tensor, slots: Sequence[Slot], preprocessing: Preprocessing) -> Tensor:
        batch = preprocessing.normalize(pixels.to(self.device, non_blocking=True))
        pooled = _pooled(self.module, batch.to(_dtype(self.precision)), slots, self.spec)
        return torch.cat(pooled, 1)


def prepare(
    loaded: LoadedBackbone, device: torch.device, precision: str, slots: Sequence[Slot]
) -> Engine:
    """Make a network ready for a device, or return it if that has been done.

    Parameters
    ----------
    loaded : LoadedBackbone
        Stays as it is.
    device : torch.device
        Where it is to run.
    precision : {"float32", "bfloat16", "float16"}
        What it is to compute in. If it cannot, it computes in float32 and a `DeviceWarning` says so.
    slots : sequence of Slot
        Whose modules' outputs must not be folded away.
    """
    stages = {stage.modules[-1] for stage in loaded.spec.stages}
    taps = tuple(sorted({slot.module for slot in slots} - stages))
    key = (str(device), precision, taps)
    with _lock, torch.inference_mode(False):
        engines = _ready.setdefault(loaded.module, {})
        if key not in engines:
            engines[key] = _prepared(loaded, device, precision, slots)
        return engines[key]


def _prepared(
    loaded: LoadedBackbone, device: torch.device, precision: str, slots: Sequence[Slot]
) -> Engine:
    kept = sorted({slot.module for slot in slots})
    size = loaded.spec.preprocessing.crop
    noise = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))

    def run(module: nn.Module) -> list[Tensor]:
        sample = noise.to(next(module.parameters(), noise))
        with torch.no_grad():
            return _pooled(module, sample, slots, loaded.spec)

    folded = fold_batchnorms(loaded.module, run, kept)
    module = _converted(folded, _dtype(precision)).to(device)
    if precision != "float32":
        try:
            failed = not all(torch.isfinite(values).all() for values in run(module))
            reason = "its features would not be finite"
        except (RuntimeError, TypeError, ValueError) as exc:
            failed, reason = True, str(exc).splitlines()[0]
        if failed:
            warnings.warn(
                f"{loaded.spec.name} cannot compute in {precision} ({reason}); it computes in "
                "float32. Set precision='float32' to ask for that.",
                DeviceWarning,
                stacklevel=2,
            )
            precision = "float32"
            module = _converted(folded, torch.float32).to(device)
    return Engine(module, loaded.spec, device, precision)


def _converted(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Copy to another dtype, channels last; statistics of norms that are left keep their digits."""
    module = copy.deepcopy(module)
    for part in module.modules():
        keeps = isinstance(part, nn.modules.batchnorm._BatchNorm)
        for tensors in (part._parameters, part._buffers):
            for name, value in tensors.items():
                if value is not None and value.is_floating_point() and not keeps:
                    converted = value.detach().to(dtype)
                    wrap = isinstance(value, nn.Parameter)
                    tensors[name] = nn.Parameter(converted, False) if wrap else converted  # type: ignore[assignment]
    return module.to(memory_format=torch.channels_last).eval()


def _pooled(
    module: nn.Module, batch: Tensor, slots: Sequence[Slot], spec: BackboneSpec
) -> list[Tensor]:
    """Pool inside the hooks, because in-place layers overwrite maps and vectors are small."""
    found: dict[Slot, Tensor] = {}

    def take(path: str, output: Tensor) -> None:
        for slot in slots:
            if slot.module == path:
                found[slot] = pool_map(as_map(output, spec), slot.pooling).float()

    run_tapped(module, batch, {slot.module: partial(take, slot.module) for slot in slots})
    return [found[slot] for slot in slots]


def _dtype(precision: str) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, precision)
    return dtype
