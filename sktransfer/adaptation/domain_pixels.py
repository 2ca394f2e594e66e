"""Pixels of each domain normalised by that domain's own mean and deviation, as an option."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sktransfer.adaptation.norms import DomainSwitch
    from sktransfer.preprocessing import Preprocessing

__all__ = ["PairPreprocessing", "fitted_to"]

_AT_MOST = 4096  # images that are measured
_LEAST_STD = 1 / 255  # of pixels in 0..1


@dataclass(frozen=True)
class PairPreprocessing:
    """Normalises the halves of a batch, each as its domain needs it.

    Parameters
    ----------
    source, target : Preprocessing
        Of each domain; they differ in mean and deviation only.
    switch : DomainSwitch
        Says how many rows are of the source.
    """

    source: Preprocessing
    target: Preprocessing
    switch: DomainSwitch

    def normalize(self, batch: Tensor) -> Tensor:
        """Turn pixels (batch, height, width, 3), uint8, into what the network takes."""
        n_source = self.switch.n_source
        if n_source is None:
            domain = self.source if self.switch.domain == "source" else self.target
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
        Of the weights.
    pixels : ndarray of shape (n_images, height, width, 3), dtype uint8
        Of one domain; the first 4096 count.

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
