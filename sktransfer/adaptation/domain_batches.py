"""What an adaptation is trained on: stored inputs of both domains, in half-batches, for skorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sktransfer.adaptation.half_batches import HalfBatches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from sktransfer.training.augmentation import Augmentation

__all__ = ["DomainBatches", "DomainRows"]


@dataclass(frozen=True, eq=False)
class DomainRows(Dataset[object]):
    """Rows of several domains.

    Parameters
    ----------
    views : sequence of ndarray
        The inputs, (n_images, ...): pixels, maps or vectors; several where each image has several
        augmented views.
    domains : sequence of ndarray of shape (n_rows,), dtype int64
        Rows of each domain: sources first.
    n_sources : int
        Number of sources among the domains.
    targets : ndarray of shape (n_images, n_outputs), dtype float32
        Target scores of source rows; zeros for the others.
    weights : ndarray of shape (n_images,), dtype float32
        Per-sample weight of the label loss; used for source rows.
    """

    views: Sequence[NDArray[np.generic]]
    domains: Sequence[NDArray[np.int64]]
    n_sources: int
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return sum(map(len, self.domains))

    def __getitem__(self, index: int) -> tuple[dict[str, Tensor], Tensor]:
        """Get one row as a batch would hold it, for torch's own DataLoader."""
        row = np.concatenate(self.domains)[index : index + 1]
        inputs, target = self.batch(row)
        return {key: value[0] for key, value in inputs.items()}, target[0]

    def batch(self, rows: NDArray[np.int64], view: int = 0) -> tuple[dict[str, Tensor], Tensor]:
        """Gather some rows: inputs with their weights, and targets."""
        views = self.views[view % len(self.views)]
        inputs = {
            "inputs": torch.from_numpy(views[rows]),
            "weight": torch.from_numpy(self.weights[rows]),
        }
        return inputs, torch.from_numpy(self.targets[rows])

    def halves(self, batch_size: int) -> HalfBatches:
        """Return what draws the batches."""
        return HalfBatches(
            self.domains[: self.n_sources], self.domains[self.n_sources :], batch_size
        )

    def numbers(self) -> NDArray[np.int64]:
        """Return the place of each image's domain among `domains`, (n_images,); -1 for none."""
        numbers = np.full(len(self.targets), -1, dtype=np.int64)
        for place, rows in enumerate(self.domains):
            numbers[rows] = place
        return numbers


class DomainBatches:
    """Iterate over batches of one epoch, half source and half target.

    Parameters
    ----------
    dataset : DomainRows
        The rows.
    batch_size : int
        Rows in each half.
    seed : int
        Decides order and augmentation.
    augmentation : callable, optional
        Augmentation of pixels, see `training.augmentation`.
    device : torch.device, optional
        Device to which batches go before they are augmented.
    """

    def __init__(
        self,
        dataset: DomainRows,
        batch_size: int,
        *,
        seed: int = 0,
        augmentation: Augmentation | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.dataset, self.halves = dataset, dataset.halves(batch_size)
        self.numbers = dataset.numbers()
        self.rng = np.random.default_rng(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.augmentation, self.device = augmentation, device or torch.device("cpu")
        self.n_passes = 0

    def __len__(self) -> int:
        return len(self.halves)

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        view, self.n_passes = self.n_passes, self.n_passes + 1
        for rows in self.halves.epoch(self.rng):
            inputs, target = self.dataset.batch(rows, view)
            inputs["domain"] = torch.from_numpy(self.numbers[rows])
            if self.device.type != "cpu":
                inputs = {k: v.to(self.device, non_blocking=True) for k, v in inputs.items()}
                target = target.to(self.device, non_blocking=True)
            if self.augmentation is not None:
                inputs["inputs"] = self.augmentation(inputs["inputs"], self.generator)
            yield inputs, target
