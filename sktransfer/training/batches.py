"""Batches: rows of arrays in random order, whole batches at a time, as skorch iterates over them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from sktransfer.training.augmentation import Augmentation

__all__ = ["Batches", "TrainingRows", "mix_up", "n_batches"]


@dataclass(frozen=True, eq=False)
class TrainingRows(Dataset[object]):
    """The data of a training: some rows of stored inputs, with targets and weights.

    Parameters
    ----------
    views : sequence of ndarray
        The inputs, (n_images, ...): pixels, maps or vectors; several where each image has several
        augmented views.
    rows : ndarray of shape (n_rows,), dtype intp
        Numbers of the images.
    targets : ndarray of shape (n_rows, n_outputs), dtype float32
        Encoded targets.
    weights : ndarray of shape (n_rows,), dtype float32
        Per-sample weight of the loss, with a mean of one.
    """

    views: Sequence[NDArray[np.generic]]
    rows: NDArray[np.intp]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[dict[str, Tensor], Tensor]:
        """Get one row as a batch would hold it, for torch's own DataLoader."""
        inputs, target = self.batch(np.array([index]))
        return {key: value[0] for key, value in inputs.items()}, target[0]

    def batch(
        self, indices: NDArray[np.intp] | slice, view: int = 0
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Gather some rows: inputs with their weights, and targets."""
        views = self.views[view % len(self.views)]
        inputs = torch.from_numpy(views[self.rows[indices]])
        weight = torch.from_numpy(self.weights[indices])
        return {"inputs": inputs, "weight": weight}, torch.from_numpy(self.targets[indices])

    def first(self, n_rows: int) -> TrainingRows:
        """Keep the first rows, with their weights as they are."""
        some = slice(0, n_rows)
        return replace(
            self, rows=self.rows[some], targets=self.targets[some], weights=self.weights[some]
        )

    def subset(self, indices: NDArray[np.intp]) -> TrainingRows:
        """Keep some rows; their weights are scaled to a mean of one."""
        weights = self.weights[indices]
        return replace(
            self,
            rows=self.rows[indices],
            targets=self.targets[indices],
            weights=(weights / weights.mean(dtype=np.float64)).astype(np.float32),
        )


class Batches:
    """Iterate over batches of nearly equal sizes, none larger than `batch_size`.

    Equal sizes give every row the same say, and leave no last batch of one, from which BatchNorm
    could not learn.

    Parameters
    ----------
    dataset : TrainingRows
        The rows.
    batch_size : int
        The most rows in a batch.
    shuffle : bool, default=False
        Whether each pass has an own order.
    generator : torch.Generator, optional
        Decides the order, the augmentation and what is mixed.
    augmentation : callable, optional
        Augmentation of pixels, see `augmentation`.
    mixup : float, default=0.0
        Exponent of `mix_up`; 0 mixes nothing.
    device : torch.device, optional
        Device to which batches go before they are augmented.
    """

    def __init__(
        self,
        dataset: TrainingRows,
        batch_size: int,
        *,
        shuffle: bool = False,
        generator: torch.Generator | None = None,
        augmentation: Augmentation | None = None,
        mixup: float = 0.0,
        device: torch.device | None = None,
    ) -> None:
        self.dataset, self.batch_size = dataset, batch_size
        self.shuffle = shuffle
        self.generator = generator if generator is not None else torch.Generator()
        self.augmentation, self.mixup = augmentation, mixup
        self.device = device or torch.device("cpu")
        self.n_passes = 0

    def __len__(self) -> int:
        return n_batches(len(self.dataset), self.batch_size)

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        view, self.n_passes = self.n_passes, self.n_passes + 1
        order = np.arange(len(self.dataset))
        if self.shuffle:
            order = torch.randperm(len(order), generator=self.generator).numpy()
        for indices in np.array_split(order, len(self)):
            inputs, target = self.dataset.batch(indices, view)
            if self.device.type != "cpu":
                inputs = {k: v.to(self.device, non_blocking=True) for k, v in inputs.items()}
                target = target.to(self.device, non_blocking=True)
            if self.augmentation is not None:
                inputs["inputs"] = self.augmentation(inputs["inputs"], self.generator)
            if self.mixup:
                inputs, target = mix_up(inputs, target, self.mixup, self.generator)
            yield inputs, target


def n_batches(n_rows: int, batch_size: int) -> int:
    """Count the batches of a pass.

    Examples
    --------
    >>> n_batches(33, 32)
    2
    """
    return max(1, math.ceil(n_rows / batch_size))


def mix_up(
    inputs: dict[str, Tensor], target: Tensor, alpha: float, generator: torch.Generator
) -> tuple[dict[str, Tensor], Tensor]:
    """Blend each row of a batch with another one, targets and weights alike.

    Parameters
    ----------
    inputs : dict of str to Tensor
        Each of shape (batch, ...).
    target : Tensor of shape (batch, n_outputs)
        Blended in the same proportion.
    alpha : float
        The proportion is drawn for the batch from Beta(alpha, alpha) [1]_.
    generator : torch.Generator
        Decides the proportion and the pairs.

    References
    ----------
    .. [1] Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond empirical risk minimization", ICLR 2018,
       equation in section 1.
    """
    seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
    share = float(np.random.default_rng(seed).beta(alpha, alpha))
    order = torch.randperm(len(target), generator=generator).to(target.device)
    mixed = {key: _blend(value, value[order], share) for key, value in inputs.items()}
    return mixed, _blend(target, target[order], share)


def _blend(one: Tensor, other: Tensor, share: float) -> Tensor:
    values = torch.lerp(other.float(), one.float(), share)
    return values.round_().to(one.dtype) if one.dtype == torch.uint8 else values.to(one.dtype)
