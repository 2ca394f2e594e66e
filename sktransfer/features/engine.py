"""The engine: a network made ready for one device, and batches of pixels sent through it."""

from __future__ import annotations

import copy
import math
import threading
import warnings
import weakref
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sktransfer.exceptions import DeviceWarning
from sktransfer.features.device import candidate_precisions
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

_FAITHFUL = 0.9995  # smallest cosine to float32, of trial images, that "auto" accepts


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
        pooled = _pooled(self.module, batch.to(getattr(torch, self.precision)), slots, self.spec)
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
    precision : {"auto", "float32", "bfloat16", "float16"}
        What it is to compute in. "auto" is the fastest that gives, of images made for this purpose,
        the features of float32 up to a cosine of 0.9995. If the network cannot compute in what was
        asked for, it computes in float32 and a `DeviceWarning` says so.
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
    images = _trial_images(loaded.spec.preprocessing.crop)

    def run(module: nn.Module) -> list[Tensor]:
        sample = images.to(next(module.parameters(), images))
        with torch.no_grad():
            return [values.cpu() for values in _pooled(module, sample, slots, loaded.spec)]

    folded = fold_batchnorms(loaded.module, run, sorted({slot.module for slot in slots}))
    expected = run(folded)
    reason = ""
    for candidate in candidate_precisions(precision, device):
        module = _converted(folded, getattr(torch, candidate)).to(device)
        if candidate == "float32":
            break
        try:
            cosine = _smallest_cosine(run(module), expected)
        except (RuntimeError, TypeError, ValueError) as exc:
            reason = str(exc).splitlines()[0]
            continue
        if cosine >= _FAITHFUL or (precision != "auto" and math.isfinite(cosine)):
            return Engine(module, loaded.spec, device, candidate)
        reason = reason or "its features would not be finite"
    if precision not in ("auto", "float32"):
        warnings.warn(
            f"{loaded.spec.name} cannot compute in {precision} ({reason}); it computes in float32. "
            "Set precision='float32' to ask for that.",
            DeviceWarning,
            stacklevel=2,
        )
        module = _converted(folded, torch.float32).to(device)
    return Engine(module, loaded.spec, device, "float32")


def _trial_images(size: int, n_images: int = 4) -> Tensor:
    """Draw normalised noise with the 1/f spectrum of photographs: (n_images, 3, size, size)."""
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)
    amplitude = 1 / (torch.hypot(rows, columns) + 1 / size)  # (size, size // 2 + 1)
    white = torch.randn(n_images, 3, size, size, generator=generator)
    white = white + 1.5 * white.mean(1, keepdim=True)  # the channels of photographs are alike
    images = torch.fft.irfft2(torch.fft.rfft2(white) * amplitude, s=(size, size))
    normalised: Tensor = images / images.std((1, 2, 3), keepdim=True)
    return normalised


def _smallest_cosine(given: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Compare the features of each image; NaN if one is not finite."""
    cosines = [
        torch.cosine_similarity(a, b, dim=1).min() for a, b in zip(given, expected, strict=True)
    ]
    return min((cosine.item() for cosine in cosines), key=lambda c: (math.isfinite(c), c))


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
