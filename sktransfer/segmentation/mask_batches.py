"""Batches of images with masks: of one size each, and moved together where they are augmented."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sktransfer.randomness import seeded_everywhere
from sktransfer.segmentation.grids import Grid, interpolation
from sktransfer.training.batches import n_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from sktransfer.segmentation.mask_rows import MaskRows

__all__ = ["JointJitter", "MaskBatches", "UsersAugmentation"]


class MaskBatches:
    """Iterate over batches of rows, each of images of one size.

    Parameters
    ----------
    dataset : MaskRows
        The rows.
    batch_size : int
        Largest number of rows in a batch.
    shuffle : bool, default=False
        Whether each pass has an own order.
    generator : torch.Generator, optional
        Random numbers of order and augmentation.
    augmentation : callable, optional
        Function from pixels and codes of some rows, and a generator, to batches of both.
    mixup : float, default=0.0
        Not possible with masks, and ignored.
    device : torch.device, optional
        Device of the batches.
    """

    def __init__(
        self,
        dataset: MaskRows,
        batch_size: int,
        *,
        shuffle: bool = False,
        generator: torch.Generator | None = None,
        augmentation: Callable[..., tuple[Tensor, Tensor]] | None = None,
        mixup: float = 0.0,  # noqa: ARG002 - every iterator of a training is given it
        device: torch.device | None = None,
    ) -> None:
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle
        self.generator = generator if generator is not None else torch.Generator()
        self.augmentation, self.device = augmentation, device or torch.device("cpu")

    def __len__(self) -> int:
        return len(self._parts(list(range(len(self.dataset)))))

    def __iter__(self) -> Iterator[tuple[dict[str, object], Tensor]]:
        order = list(range(len(self.dataset)))
        if self.shuffle:
            order = torch.randperm(len(order), generator=self.generator).tolist()
        parts = self._parts(order)
        if self.shuffle:
            again = torch.randperm(len(parts), generator=self.generator).tolist()
            parts = [parts[place] for place in again]
        for part in parts:
            yield self._batch(part)

    def _batch(self, part: list[int]) -> tuple[dict[str, object], Tensor]:
        if self.augmentation is None:
            return self.dataset.batch(part)
        rows = self.dataset
        pixels, codes = self.augmentation(
            [rows.inputs_of(row) for row in part],
            [rows.codes_of(row) for row in part],
            self.generator,
        )
        weight = torch.from_numpy(rows.weights[np.asarray(part)])
        return {"inputs": pixels, "weight": weight}, codes

    def _parts(self, order: list[int]) -> list[list[int]]:
        groups: dict[tuple[int, ...], list[int]] = {}
        for row in order:
            size = () if self.augmentation is not None else self.dataset.shape(row)
            groups.setdefault(size, []).append(row)
        return [
            part.tolist()
            for group in groups.values()
            for part in np.array_split(np.asarray(group), n_batches(len(group), self.batch_size))
        ]


@dataclass(frozen=True)
class JointJitter:
    """Zoom, crop, mirror and recolour images, and take the labels of the same places.

    Labels are never mixed: a pixel's label is that of the nearest pixel, and what lies outside of the
    image counts nowhere.

    Parameters
    ----------
    side : int
        Side of the crops in pixels.
    step : int
        Pixels from one label of the loss to the next.
    nowhere : int
        Code of what counts nowhere.
    zoom : float
        Largest factor by which things get larger; the smallest is its inverse to the power of 0.7.
    colour : float
        Largest change of brightness and contrast, as a factor around 1.
    """

    side: int
    step: int
    nowhere: int
    zoom: float = 1.6
    colour: float = 0.2

    def __call__(
        self,
        pixels: list[NDArray[np.uint8]],
        codes: list[NDArray[np.generic]],
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Map images and masks of any sizes to one batch of crops and one of codes."""
        draws = torch.rand(len(pixels), 6, generator=generator).tolist()
        pairs = [self._one(*triple) for triple in zip(pixels, codes, draws, strict=True)]
        images, labels = zip(*pairs, strict=True)
        return torch.stack(images), torch.stack(labels)

    def _one(
        self, pixels: NDArray[np.uint8], codes: NDArray[np.generic], draw: list[float]
    ) -> tuple[Tensor, Tensor]:
        zoom = math.exp(math.log(self.zoom) * (1.7 * draw[0] - 0.7))
        grids = []
        for n_pixels, share in zip(codes.shape, draw[1:3], strict=True):
            start = share * (n_pixels - self.side / zoom)
            grids.append(Grid(1 / zoom, start + 0.5 / zoom - 0.5))
        down, across = (
            interpolation.__wrapped__(n_pixels, Grid(1), grid, self.side)
            for n_pixels, grid in zip(codes.shape, grids, strict=True)
        )
        values = torch.from_numpy(pixels).float().permute(2, 0, 1)  # (3, height, width)
        values = down @ (values @ across.T)
        contrast, brightness = (1 + self.colour * (2 * share - 1) for share in draw[3:5])
        mean = values.mean()
        values = ((values - mean) * contrast + mean) * brightness
        rows, columns = (grid.offset + grid.stride * np.arange(0, self.side) for grid in grids)
        if draw[5] < 0.5:
            values, columns = values.flip(2), columns[::-1]
        labels = self._nearest(codes, rows[:: self.step], columns[:: self.step])
        return values.round_().clamp_(0, 255).to(torch.uint8).permute(1, 2, 0), labels

    def _nearest(self, codes: NDArray[np.generic], rows: Any, columns: Any) -> Tensor:
        places = [np.floor(axis + 0.5).astype(int) for axis in (rows, columns)]
        inside = [(axis >= 0) & (axis < n) for axis, n in zip(places, codes.shape, strict=True)]
        found = codes[
            np.ix_(*(axis.clip(0, n - 1) for axis, n in zip(places, codes.shape, strict=True)))
        ]
        kept = np.where(inside[0][:, None] & inside[1], found, self.nowhere)
        return torch.from_numpy(kept.astype(np.int64))


@dataclass(frozen=True)
class UsersAugmentation:
    """Somebody's function of an image and its mask, which get the same draw.

    Parameters
    ----------
    function : callable
        Function from ``tv_tensors.Image`` (3, height, width) and ``tv_tensors.Mask`` (height, width)
        of codes to the pair of them, as transforms of ``torchvision.transforms.v2`` are.
    step : int
        Pixels from one label of the loss to the next.
    """

    function: Callable[..., Any]
    step: int

    def __call__(
        self,
        pixels: list[NDArray[np.uint8]],
        codes: list[NDArray[np.generic]],
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Map images and masks of one size to a batch of both."""
        from torchvision import tv_tensors  # takes a second to import, and few need it

        seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
        with seeded_everywhere(seed):
            pairs = [
                self.function(
                    tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1)),
                    tv_tensors.Mask(torch.from_numpy(mask.astype(np.int64))),
                )
                for image, mask in zip(pixels, codes, strict=True)
            ]
        images, labels = zip(*pairs, strict=True)
        shapes = {(tuple(i.shape[1:]), tuple(m.shape)) for i, m in pairs}
        if len(shapes) != 1 or any(len(set(pair)) != 1 for pair in shapes):
            raise ValueError(
                f"augmentation returned images and masks of the sizes {sorted(shapes)}. It must return "
                "pairs of one size, for example by a RandomCrop at its end."
            )
        batch = torch.stack([image.as_subclass(Tensor) for image in images])
        masks = torch.stack([mask.as_subclass(Tensor) for mask in labels])
        return batch.permute(0, 2, 3, 1), masks[:, :: self.step, :: self.step]
