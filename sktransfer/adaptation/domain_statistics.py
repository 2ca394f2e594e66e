"""Statistics of BatchNorm taken anew on each domain, before anything is trained."""

from __future__ import annotations

import copy
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
import xxhash

from sktransfer.adaptation.norms import set_statistics
from sktransfer.backbones.registry import WeightsSource
from sktransfer.backbones.weights import finished
from sktransfer.features.store import Record, content_key, open_store
from sktransfer.features.taps import run_tapped
from sktransfer.images.sequences import SomeRows
from sktransfer.torch_internals import is_batchnorm
from sktransfer.training.decoding import decode_images
from sktransfer.training.progress import progress_bar
from sktransfer.training.serving import TUNED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from sktransfer.adaptation.norms import NormStatistics
    from sktransfer.backbones.weights import LoadedBackbone
    from sktransfer.images.sequences import ImageSequence
    from sktransfer.preprocessing import Preprocessing
    from sktransfer.torch_internals import BatchNorm
    from sktransfer.training.settings import TrainingSettings

__all__ = ["DomainBackbones", "has_statistics", "measure_statistics", "with_statistics"]

_AT_MOST: Final = 1024  # images of a domain that are measured
_AT_ONCE: Final = 64
_PRIOR_IMAGES: Final = 768  # images that the statistics of the weights count as


@dataclass(frozen=True, eq=False)
class DomainBackbones:
    """One backbone with the statistics of the source, and once more with those of the target.

    Parameters
    ----------
    source, target : LoadedBackbone
        The same weights; the running means and variances of BatchNorm differ.
    source_statistics, target_statistics : dict of str to pair of Tensor
        Mean and variance by the path of a BatchNorm in the backbone.
    """

    source: LoadedBackbone
    target: LoadedBackbone
    source_statistics: NormStatistics
    target_statistics: NormStatistics

    @classmethod
    def fitted(
        cls,
        loaded: LoadedBackbone,
        parts: Sequence[ImageSequence],
        is_source: NDArray[np.bool_],
        preprocessing: Preprocessing,
        settings: TrainingSettings,
        seed: int,
    ) -> DomainBackbones:
        """Measure both domains on at most 1024 images of each.

        Parameters
        ----------
        loaded : LoadedBackbone
            The backbone with the statistics of its weights; stays as it is.
        parts : sequence of ImageSequence
            `X`, and `X_target` if it was given.
        is_source : ndarray of shape (n_rows,), dtype bool
            Whether each row of all parts is of a source.
        preprocessing : Preprocessing
            Resize, crop and normalisation of an image.
        settings : TrainingSettings
            Device and settings of a run.
        seed : int
            Seed of the choice of images.
        """
        rng = np.random.default_rng(seed)
        source, target = (
            _found_or_measured(
                loaded,
                _some_pixels(parts, np.flatnonzero(mask), preprocessing, settings, rng),
                preprocessing,
                settings,
            )
            for mask in (is_source, ~is_source)
        )
        return cls(with_statistics(loaded, source), with_statistics(loaded, target), source, target)


def has_statistics(module: nn.Module) -> bool:
    """Tell whether a network has a BatchNorm with running statistics.

    Examples
    --------
    >>> from torch import nn
    >>> has_statistics(nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3)))
    False
    """
    return bool(_norms(module))


def measure_statistics(
    loaded: LoadedBackbone,
    pixels: NDArray[np.uint8],
    preprocessing: Preprocessing,
    device: torch.device,
) -> NormStatistics:
    """Measure the inputs of every BatchNorm on images of one domain, beside those of the weights.

    The images run in batches of 64, each normalised by a mean of its own statistics and of those of
    the weights, which count as 768 images [1]_: few images change a network little, and many give it
    the statistics of their own domain [2]_.

    Parameters
    ----------
    loaded : LoadedBackbone
        The network; stays as it is.
    pixels : ndarray of shape (n_images, height, width, 3), dtype uint8
        Images of one domain, in an order that tells nothing.
    preprocessing : Preprocessing
        Normalisation of pixels.
    device : torch.device
        Device of the passes.

    Returns
    -------
    dict of str to pair of Tensor
        Mean and variance, float32, on the CPU, by the path of each BatchNorm; where no image went
        through, those of the weights.

    References
    ----------
    .. [1] Schneider et al., "Improving robustness against common corruptions by covariate shift
       adaptation", NeurIPS 2020, section 3.
    .. [2] Li et al., "Adaptive batch normalization for practical domain adaptation", Pattern
       Recognition 80, 2018.
    """
    network = copy.deepcopy(loaded.module).to(device).eval()
    last = loaded.spec.stages[-1].modules[-1]
    with _measuring(network, len(pixels) / (len(pixels) + _PRIOR_IMAGES)) as measured:
        for start in range(0, len(pixels), _AT_ONCE):
            batch = torch.from_numpy(np.array(pixels[start : start + _AT_ONCE])).to(device)
            with torch.inference_mode():
                run_tapped(network, preprocessing.normalize(batch), {last: _ignore})
    return {
        path: (mean.cpu(), var.cpu())
        for path, of_norm in measured.items()
        for mean, var in [of_norm.blended()]
    }


def with_statistics(loaded: LoadedBackbone, statistics: NormStatistics) -> LoadedBackbone:
    """Copy a backbone, with other running statistics."""
    module = copy.deepcopy(loaded.module)
    set_statistics(module, statistics)
    return finished(module, loaded.spec, TUNED, WeightsSource(preprocessing=loaded.preprocessing))


class _Measured:
    """Mean and variance of what one BatchNorm has seen.

    Parameters
    ----------
    norm : BatchNorm
        Holds the statistics of the weights.
    share : float
        Weight of what is seen beside them.
    """

    def __init__(self, norm: BatchNorm, share: float) -> None:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        self.share, self.n_images = share, 0
        self.prior = norm.running_mean.clone(), norm.running_var.clone()
        self.mean, self.var = (torch.zeros_like(values) for values in self.prior)

    def see(self, norm: BatchNorm, inputs: tuple[Tensor, ...]) -> None:
        """Measure a batch, and let the norm normalise by its statistics beside the weights' own."""
        values = inputs[0].float()
        axes = [axis for axis in range(values.dim()) if axis != 1]
        var, mean = torch.var_mean(values, axes, correction=0)
        self.n_images += len(values)
        weight = len(values) / self.n_images
        self.mean.lerp_(mean, weight)
        self.var.lerp_(var, weight)
        _set(norm, self._beside_prior(mean, var))

    def blended(self) -> tuple[Tensor, Tensor]:
        """Return mean and variance of all that was seen, beside those of the weights."""
        return self._beside_prior(self.mean, self.var) if self.n_images else self.prior

    def _beside_prior(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        prior_mean, prior_var = self.prior
        return prior_mean.lerp(mean, self.share), prior_var.lerp(var, self.share)


def _set(norm: BatchNorm, statistics: tuple[Tensor, Tensor]) -> None:
    mean, var = statistics
    norm.load_state_dict({"running_mean": mean, "running_var": var}, strict=False)


@contextmanager
def _measuring(network: nn.Module, share: float) -> Iterator[dict[str, _Measured]]:
    """Measure the inputs of all BatchNorms inside."""
    norms = _norms(network)
    measured = {path: _Measured(norm, share) for path, norm in norms.items()}

    def see(path: str, norm: Any, inputs: tuple[Tensor, ...]) -> None:
        measured[path].see(norm, inputs)

    hooks = [norm.register_forward_pre_hook(partial(see, path)) for path, norm in norms.items()]
    try:
        yield measured
    finally:
        for hook in hooks:
            hook.remove()


def _norms(module: nn.Module) -> dict[str, BatchNorm]:
    return {
        path: part
        for path, part in module.named_modules()
        if is_batchnorm(part) and part.running_mean is not None
    }


def _found_or_measured(
    loaded: LoadedBackbone,
    pixels: NDArray[np.uint8],
    preprocessing: Preprocessing,
    settings: TrainingSettings,
) -> NormStatistics:
    """Look up statistics in the store of features, so that a search measures a domain once, or measure."""
    store = open_store(settings.run.cache)
    context = repr((loaded.digest, preprocessing, _PRIOR_IMAGES, _AT_ONCE, pixels.shape)).encode()
    key = (
        b"batchnorm"
        + xxhash.xxh3_128_digest(context)
        + content_key(pixels.reshape(-1, *pixels.shape[2:]))
    )
    known = None if store is None else store.get_many([key])[0]
    if known is not None:
        return _unpacked(known.vector, loaded.module)
    began = time.perf_counter()
    measured = measure_statistics(loaded, pixels, preprocessing, settings.device)
    if store is not None:
        store.put_many([key], [Record(_packed(measured), time.perf_counter() - began)])
    return measured


def _packed(statistics: NormStatistics) -> NDArray[np.float32]:
    return torch.cat([values for pair in statistics.values() for values in pair]).numpy()


def _unpacked(vector: NDArray[np.float32], module: nn.Module) -> NormStatistics:
    """Cut what `_packed` has put together into the statistics of each BatchNorm."""
    norms = _norms(module)
    ends = np.cumsum([norm.num_features for norm in norms.values() for _ in range(2)])
    values = iter([torch.from_numpy(part.copy()) for part in np.split(vector, ends[:-1])])
    return {path: (next(values), next(values)) for path in norms}


def _some_pixels(
    parts: Sequence[ImageSequence],
    rows: NDArray[np.intp],
    preprocessing: Preprocessing,
    settings: TrainingSettings,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Decode some images, in random order; those that cannot be read are left out."""
    chosen = rng.permutation(rows)[:_AT_MOST]
    run = settings.run
    with progress_bar(len(chosen), run.verbose) as advance:
        pixels, failed = decode_images(
            SomeRows(parts, chosen),
            preprocessing,
            n_workers=run.n_workers,
            on_error="raise" if run.on_error == "raise" else "nan",
            progress=advance,
        )
    return np.delete(pixels, failed, axis=0) if failed else pixels


def _ignore(_: object) -> None:
    """Take an output that nobody needs."""
