"""The engine: a network made ready for one device, and batches of pixels sent through it."""

from __future__ import annotations

import copy
import math
import warnings
import weakref
from collections import OrderedDict, defaultdict
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sktransfer.backbones.architecture import architecture_of
from sktransfer.exceptions import DeviceWarning, UnknownBackboneError, WeightsError
from sktransfer.features.attention import SplitAttention
from sktransfer.features.device import candidate_precisions, without_tf32
from sktransfer.features.folding import fold_batchnorms
from sktransfer.features.fusion import fused_graph, pack_weights
from sktransfer.features.packed_linears import replace_linears, watch_linears
from sktransfer.features.taps import Tapped
from sktransfer.forks import ForkSafeLock, one_thread_in_children
from sktransfer.torch_internals import (
    has_fused_convolutions,
    has_fused_linears,
    has_onednn,
    is_batchnorm,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sktransfer.backbones.spec import BackboneSpec
    from sktransfer.backbones.weights import LoadedBackbone
    from sktransfer.features.plan import Slot
    from sktransfer.preprocessing import Preprocessing

__all__ = ["Engine", "prepare", "replicas"]

# A network is made ready once in a process, and one forward pass runs at a time on a device: two
# passes that share its cores are slower than one after the other.
_ready: weakref.WeakKeyDictionary[nn.Module, OrderedDict[object, Engine]] = (
    weakref.WeakKeyDictionary()
)
_lock = ForkSafeLock()
_passes: defaultdict[str, ForkSafeLock] = defaultdict(ForkSafeLock)  # of each device

_FAITHFUL = 0.9995  # smallest cosine to float32, of trial images, that "auto" accepts
_EQUAL = 1 - 1e-6  # the same, of two ways to compute in float32
_MAX_READY = 8  # of one network


@dataclass(frozen=True, eq=False)
class Engine:
    """A network on its device, for certain slots.

    Parameters
    ----------
    network : nn.Module
        From a batch to the pooled vectors of each slot.
    spec : BackboneSpec
        Description of the network.
    slots : tuple of Slot
        Poolings of layers; the network runs no further than the deepest.
    device : torch.device
        Device of the network.
    precision : {"float32", "bfloat16", "float16"}
        Precision of its computation.
    architecture : str
        Digest of its computation, see `sktransfer.backbones.architecture`.
    """

    network: nn.Module
    spec: BackboneSpec
    slots: tuple[Slot, ...]
    device: torch.device
    precision: str
    architecture: str

    def run(self, pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
        """Compute the features of a batch.

        If the memory of a GPU does not hold the batch, it is halved, and a `DeviceWarning` says so.

        Parameters
        ----------
        pixels : Tensor of shape (batch, height, width, 3), dtype uint8
            On the CPU.
        preprocessing : Preprocessing
            Preprocessing whose normalisation is applied.

        Returns
        -------
        Tensor of shape (batch, sum of widths), dtype float32
            On the CPU.
        """
        try:
            with _passes[str(self.device)], torch.inference_mode(), self._rounding():
                batch = preprocessing.normalize(pixels.to(self.device, non_blocking=True))
                return torch.cat(self.network(batch.to(getattr(torch, self.precision))), 1).cpu()
        except torch.cuda.OutOfMemoryError:
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
            parts = [self.run(part, preprocessing) for part in torch.split(pixels, half)]
        return torch.cat(parts)

    def _rounding(self) -> AbstractContextManager[None]:
        """Let a GPU not shorten float32 to TF32, which has three digits, where float32 is asked for."""
        exact = self.device.type == "cuda" and self.precision == "float32"
        return without_tf32() if exact else nullcontext()


_TRIAL_PATCHES = 16  # in each direction, of the images by which a transformer is tried


def prepare(
    loaded: LoadedBackbone, device: torch.device, precision: str, slots: tuple[Slot, ...]
) -> Engine:
    """Make a network ready for a device, or return it if that has been done.

    Parameters
    ----------
    loaded : LoadedBackbone
        Stays as it is.
    device : torch.device
        Device to run on.
    precision : {"auto", "float32", "bfloat16", "float16"}
        Precision to compute in. "auto" is the fastest that gives, of images made for this purpose,
        the features of float32 up to a cosine of 0.9995. If the network cannot compute in what was
        asked for, it computes in float32 and a `DeviceWarning` says so.
    slots : tuple of Slot
        Poolings of layers to compute.
    """
    one_thread_in_children()
    with _lock, torch.inference_mode(False), torch.no_grad():
        architecture = architecture_of(loaded.module, loaded.spec)
        key = (str(device), precision, slots, architecture)
        engines = _ready.setdefault(loaded.module, OrderedDict())
        if key not in engines:
            engines[key] = _prepared(loaded, device, precision, slots, architecture)
            pack_weights(engines[key].network)
            while len(engines) > _MAX_READY:
                engines.popitem(last=False)
        engines.move_to_end(key)
        return engines[key]


def replicas(
    loaded: LoadedBackbone,
    devices: Sequence[torch.device],
    precision: str,
    slots: tuple[Slot, ...],
) -> list[Engine]:
    """Make a network ready on several devices, computing in the same precision everywhere.

    Parameters
    ----------
    loaded, precision, slots
        As for `prepare`.
    devices : sequence of torch.device
        At least one; the first decides what "auto" is.
    """
    first = prepare(loaded, devices[0], precision, slots)
    return [first, *(prepare(loaded, other, first.precision, slots) for other in devices[1:])]


def _prepared(
    loaded: LoadedBackbone,
    device: torch.device,
    precision: str,
    slots: tuple[Slot, ...],
    architecture: str,
) -> Engine:
    spec = loaded.spec
    side = spec.preprocessing.crop
    if spec.patch > 1:  # takes images of other sizes too, which may cost much less
        side = min(side, _TRIAL_PATCHES * spec.patch)
    images = _trial_images(side)
    plain = fold_batchnorms(
        loaded.module, lambda module: Tapped(module, slots, spec)(images), [s.module for s in slots]
    )
    with watch_linears(plain, [slot.module for slot in slots]) as linears:
        expected = Tapped(plain, slots, spec)(images)
    _check_independence(Tapped(plain, slots, spec)(images[:1]), expected, spec.name)
    network = _fused(plain, slots, spec, images, expected) if device.type == "cpu" else None
    network = network or Tapped(plain, slots, spec)
    if device.type == "cpu" and linears and has_onednn() and has_fused_linears():
        _pack_linears(network, linears, images, expected)
    reason = ""
    for candidate in candidate_precisions(precision, device):
        if candidate == "float32":
            converted = _converted(network, torch.float32).to(device)
            return Engine(converted, spec, slots, device, candidate, architecture)
        try:
            converted, cosine = _in_half(network, candidate, device, images, expected)
        except (RuntimeError, TypeError, ValueError) as exc:
            reason = str(exc).splitlines()[0]
            continue
        if cosine >= _FAITHFUL or (precision != "auto" and math.isfinite(cosine)):
            return Engine(converted, spec, slots, device, candidate, architecture)
        reason = "its features would not be finite"
    warnings.warn(
        f"{spec.name} cannot compute in {precision} ({reason}); it computes in float32. "
        "Set precision='float32' to ask for that.",
        DeviceWarning,
        stacklevel=2,
    )
    converted = _converted(network, torch.float32).to(device)
    return Engine(converted, spec, slots, device, "float32", architecture)


def _in_half(
    network: nn.Module,
    precision: str,
    device: torch.device,
    images: Tensor,
    expected: Sequence[Tensor],
) -> tuple[nn.Module, float]:
    """Copy a network to half precision, and compare it; attention is split where that is as faithful."""
    dtype = getattr(torch, precision)
    converted, batch = _converted(network, dtype).to(device), images.to(device, dtype)
    if device.type == "cpu" and precision == "bfloat16":
        split = SplitAttention(converted)
        cosine = _smallest_cosine(split(batch), expected)
        if not split.n_calls:
            return converted, cosine
        if cosine >= _FAITHFUL:
            return split, cosine
    return converted, _smallest_cosine(converted(batch), expected)


def _check_independence(alone: Sequence[Tensor], together: Sequence[Tensor], name: str) -> None:
    """Refuse a network whose features of an image are not the image's own."""
    cosine = _smallest_cosine([vectors[:1] for vectors in together], alone)
    if math.isnan(cosine):
        raise WeightsError(
            f"{name} puts out features that are not finite for images like photographs: its weights are "
            "too large, or those of a training that diverged. Take other weights."
        )
    if cosine < _FAITHFUL:
        raise UnknownBackboneError(
            f"the features that {name} computes of an image change with the other images of its batch, "
            f"or from one pass to the next (cosine {cosine:.3f}). Look for statistics of the batch, "
            "or for a dropout without `training=self.training`, in its `forward`."
        )


def _fused(
    module: nn.Module,
    slots: Sequence[Slot],
    spec: BackboneSpec,
    images: Tensor,
    expected: Sequence[Tensor],
) -> nn.Module | None:
    """Fuse the network's graph; None if it has none, or computes something else."""
    if not has_onednn():
        return None
    if not has_fused_convolutions():
        _warn_of_slowness(torch.__version__)
        return None
    try:
        fused = fused_graph(module, slots, spec)
        given = fused(images.contiguous(memory_format=torch.channels_last))
    except Exception:  # noqa: BLE001 - whatever keeps somebody's network from being traced
        return None
    return fused if _smallest_cosine(given, expected) >= _EQUAL else None


def _pack_linears(
    network: nn.Module,
    linears: dict[str, str | None],
    images: Tensor,
    expected: Sequence[Tensor],
) -> None:
    """Replace linear layers by packed ones, unless the network then computes something else."""
    module = network.module if isinstance(network, Tapped) else network
    there = dict(module.named_modules())
    undo = replace_linears(module, {path: act for path, act in linears.items() if path in there})
    try:
        same = _smallest_cosine(network(images), expected) >= _EQUAL
    except Exception:  # noqa: BLE001 - whatever somebody's network does with its layers
        same = False
    if not same:
        undo()


@cache
def _warn_of_slowness(version: str) -> None:
    """Say it once in a process, not for every network."""
    warnings.warn(
        f"torch {version} has not the operators of oneDNN that this version of sktransfer knows, so "
        "convolutions on the CPU run without them: features stay the same, and take longer. Install "
        "a version of torch that sktransfer was tried with, or ignore this.",
        DeviceWarning,
        stacklevel=2,
    )


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
    """Compare the features of each image in each slot; NaN if one is not finite."""
    smallest = 1.0
    for a, b in zip(given, expected, strict=True):
        # Of unit length in float64: torch's cosine takes very short vectors for zero.
        one, other = (F.normalize(v.double().cpu(), dim=1, eps=1e-300) for v in (a, b))
        cosine = (one * other).sum(1).min().item() if b.any() else float(not a.any())
        if not math.isfinite(cosine):
            return math.nan
        smallest = min(smallest, cosine)
    return smallest


def _converted(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Copy to another dtype, channels last; statistics of norms that are left keep their digits."""
    module = copy.deepcopy(module)  # `Module.to` would refuse tensors of five axes
    for part in module.modules():
        own = (
            *part.named_parameters(recurse=False, remove_duplicate=False),
            *part.named_buffers(recurse=False, remove_duplicate=False),
        )
        for name, value in own:
            converts = value.is_floating_point() and not is_batchnorm(part)
            converted = value.detach().to(dtype if converts else value.dtype)
            if converted.dim() == 4:
                converted = converted.contiguous(memory_format=torch.channels_last)
            wrap = isinstance(value, nn.Parameter)
            setattr(part, name, nn.Parameter(converted, False) if wrap else converted)
    return module.eval()
