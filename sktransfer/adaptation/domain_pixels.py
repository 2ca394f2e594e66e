"""Pixels of each domain normalised by that domain's own mean and deviation, as an option."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sktransfer.training.freezing import first_trained_stage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sktransfer.adaptation.domain_batches import DomainRows
    from sktransfer.adaptation.norms import DomainSwitch
    from sktransfer.backbones.spec import BackboneSpec
    from sktransfer.preprocessing import Preprocessing
    from sktransfer.training.inputs import InputKind
    from sktransfer.training.settings import NetworkSettings

__all__ = ["DomainPixels", "fitted_to", "refuse_frozen_stages"]

_AT_MOST = 4096  # images that are measured
_LEAST_STD = 1 / 255  # of pixels in 0..1


@dataclass(frozen=True)
class DomainPixels:
    """Normalisation of pixels, each domain by its own mean and deviation.

    Parameters
    ----------
    source, target : Preprocessing
        Preprocessing of each domain; they differ in mean and deviation only.
    """

    source: Preprocessing
    target: Preprocessing

    @classmethod
    def of(cls, preprocessing: Preprocessing, rows: DomainRows) -> DomainPixels:
        """Measure the pixels of the rows of both domains."""
        pixels = rows.views[0]
        halves = rows.domains[: rows.n_sources], rows.domains[rows.n_sources :]
        source, target = (
            fitted_to(preprocessing, np.concatenate([pixels[part[:_AT_MOST]] for part in half]))
            for half in halves
        )
        return cls(source, target)

    def normalize(self, batch: Tensor, switch: DomainSwitch) -> Tensor:
        """Turn pixels (batch, height, width, 3), uint8, into normalised images."""
        n_source = switch.n_source
        if n_source is None:
            domain = self.source if switch.domain == "source" else self.target
            return domain.normalize(batch)
        halves = self.source.normalize(batch[:n_source]), self.target.normalize(batch[n_source:])
        return torch.cat(halves)


def fitted_to(preprocessing: Preprocessing, pixels: NDArray[np.uint8]) -> Preprocessing:
    """Take mean and deviation of these pixels in the place of those of the weights.

    A pre-trained network then sees each domain as centred and scaled as it saw its own training
    images.

    Parameters
    ----------
    preprocessing : Preprocessing
        Preprocessing of the weights.
    pixels : ndarray of shape (n_images, height, width, 3), dtype uint8
        Pixels of one domain; the first 4096 images count.

    Examples
    --------
    >>> from sktransfer.preprocessing import Preprocessing
    >>> plain = Preprocessing(2, 2, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    >>> pixels = np.zeros((4, 2, 2, 3), np.uint8)
    >>> pixels[:2] = 255
    >>> fitted_to(plain, pixels).std
    (0.5, 0.5, 0.5)
    """
    some = pixels[:_AT_MOST].reshape(-1, 3)
    n = len(some)
    total = some.sum(0, dtype=np.float64) / 255
    squares = np.einsum("ij,ij->j", some, some, dtype=np.float64) / 255**2
    mean = total / n
    std = np.sqrt(np.maximum(squares / n - mean**2, _LEAST_STD**2))
    return replace(preprocessing, mean=tuple(mean.tolist()), std=tuple(std.tolist()))


def refuse_frozen_stages(network: NetworkSettings, spec: BackboneSpec, kind: InputKind) -> None:
    """Refuse normalisation by domain where frozen stages expect other pixels.

    Raises
    ------
    ValueError
        If a stage is frozen.
    """
    first = first_trained_stage(network.strategy, network.n_trainable, spec)
    if kind != "pixels" or first > 0:
        raise ValueError(
            f"pixel_norm='per_domain' is not possible with strategy={network.strategy!r}, whose "
            "frozen stages expect the pixels they were trained on. Pass 'weights', or "
            "strategy='full' or 'scratch'."
        )
