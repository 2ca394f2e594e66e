"""Rows of a training on masks: pixels or stored maps, and codes; what memory does not hold is a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sktransfer.segmentation.mask_labels import as_labels, classes_of, labels_of
from sktransfer.segmentation.reading import read_pairs
from sktransfer.segmentation.whole_images import resized, with_border
from sktransfer.training.arrays import FiledArray, Shelf, taken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sktransfer.features.run_parameters import RunSettings
    from sktransfer.images.sequences import ImageSequence
    from sktransfer.segmentation.frozen_maps import FrozenMaps
    from sktransfer.segmentation.mask_labels import MaskLabels
    from sktransfer.segmentation.masks import MaskSequence
    from sktransfer.segmentation.whole_images import ImageSize

__all__ = ["MaskRows", "read_rows"]

Kept: TypeAlias = "NDArray[Any] | FiledArray"


@dataclass(frozen=True, eq=False)
class MaskRows(Dataset[object]):
    """The data of a training on masks.

    Parameters
    ----------
    inputs : sequence
        For each row what a shelf keeps: pixels (height, width, 3), uint8, or a list of stored maps.
    codes : sequence
        Likewise codes (height, width): at every pixel where rows are augmented, otherwise at those of
        the loss.
    weights : ndarray of shape (n_rows,), dtype float32
        Per-sample weight of the loss, with a mean of one.
    counts : ndarray of shape (n_rows, n_classes), dtype int64
        Pixels of each class.
    """

    inputs: Sequence[Kept | list[Kept]]
    codes: Sequence[Kept]
    weights: NDArray[np.float32]
    counts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.codes)

    def inputs_of(self, row: int) -> Any:
        """Return pixels, or a list of maps."""
        kept = self.inputs[row]
        return [taken(level) for level in kept] if isinstance(kept, list) else taken(kept)

    def codes_of(self, row: int) -> NDArray[Any]:
        """Return codes."""
        return taken(self.codes[row])

    def batch(self, indices: Sequence[int]) -> tuple[dict[str, object], Tensor]:
        """Gather rows of one size: inputs with their weights, and codes."""
        some = [self.inputs_of(index) for index in indices]
        stacked: object = (
            torch.from_numpy(np.stack(some))
            if isinstance(some[0], np.ndarray)
            else [torch.from_numpy(np.stack(level)) for level in zip(*some, strict=True)]
        )
        codes = torch.from_numpy(
            np.stack([self.codes_of(index) for index in indices]).astype(np.int64)
        )
        weight = torch.from_numpy(self.weights[np.asarray(indices)])
        return {"inputs": stacked, "weight": weight}, codes

    def __getitem__(self, index: int) -> tuple[dict[str, object], Tensor]:
        return self.batch([index])

    def shape(self, index: int) -> tuple[int, ...]:
        """Name the size of a row, which it shares with the others of its batch."""
        some = self.inputs[index]
        finest = some[0] if isinstance(some, list) else some
        return (*finest.shape, *self.codes[index].shape)

    def subset(self, rows: NDArray[np.intp]) -> MaskRows:
        """Keep some rows; their weights are scaled to a mean of one."""
        weights = self.weights[rows]
        return replace(
            self,
            inputs=[self.inputs[row] for row in rows],
            codes=[self.codes[row] for row in rows],
            weights=(weights / weights.mean(dtype=np.float64)).astype(np.float32),
            counts=self.counts[rows],
        )

    def thinned(self, step: int) -> MaskRows:
        """Keep the labels at every `step`-th pixel, where the loss looks at rows as they are."""
        if step == 1:
            return self
        return replace(
            self,
            inputs=[with_border(self.inputs_of(row)) for row in range(len(self))],
            codes=[self.codes_of(row)[::step, ::step] for row in range(len(self))],
        )


def read_rows(
    images: ImageSequence,
    masks: MaskSequence,
    weights: NDArray[np.float64],
    unlabeled: object,
    *,
    image_size: ImageSize,
    step: int,
    maps: FrozenMaps | None,
    run: RunSettings,
) -> tuple[MaskRows, MaskLabels, list[int]]:
    """Read images and masks, some at a time, compute what is frozen, and code the labels.

    Parameters
    ----------
    images, masks : ImageSequence, MaskSequence
        The data.
    weights : ndarray of shape (n_images,)
        Weights of the images; those of weight 0 are not read.
    unlabeled : label or sequence of labels
        Labels that count nowhere; images that hold no others are left out.
    image_size : int, (int, int) or None
        Size that images are given.
    step : int
        Pixels from one label that is kept to the next.
    maps : FrozenMaps or None
        Maps that take the place of pixels.
    run : RunSettings
        Settings for reading images.

    Returns
    -------
    (MaskRows, MaskLabels, list of int)
        The rows, the classes, and rows of the data that could not be read.

    Raises
    ------
    ValueError
        If nothing can be read.
    MaskError
        If a mask has another size than its image, or none holds a label that counts.
    """
    shelf, left_out = Shelf(), as_labels(unlabeled)
    inputs: list[Kept | list[Kept]] = []
    sampled: list[Kept] = []
    found, rows = [], []
    failed: list[int] = []
    used = np.flatnonzero(weights > 0).tolist()
    for pairs in read_pairs(images, masks, used, run, failed):
        shown = [resized(pair.pixels, image_size) for pair in pairs]
        for pair, pixels in zip(pairs, shown, strict=True):
            found.append(classes_of([pair.mask], left_out))
            sampled.append(shelf.keep(sampled_mask(pair.mask, pixels.shape[:2], step)))
            rows.append(pair.row)
        if maps is not None:
            inputs += [[shelf.keep(level) for level in levels] for levels in maps.of(shown)]
        else:
            inputs += [shelf.keep(with_border(p) if step > 1 else p) for p in shown]
    if not rows:
        raise ValueError(
            "none of the images and masks that have a weight can be read, so there is nothing to "
            "train on. Check the paths; on_error='raise' names the first that fails."
        )
    labels = labels_of(found, unlabeled, masks, rows[0])
    counts = np.zeros((len(rows), len(labels.classes)), np.int64)
    for row, kept in enumerate(sampled):
        codes = labels.encode(taken(kept))
        counts[row] = np.bincount(codes.ravel(), minlength=len(labels.classes) + 1)[:-1]
        sampled[row] = shelf.keep(codes)
    read = MaskRows(inputs, sampled, weights[rows].astype(np.float32), counts)
    return read.subset(np.flatnonzero(counts.any(1))), labels, failed


def sampled_mask(mask: NDArray[np.generic], size: Any, step: int) -> NDArray[np.generic]:
    """Take the label of the nearest pixel at every `step`-th pixel of the resized image."""
    places = [
        np.minimum((np.arange(0, n, step) + 0.5) * side / n, side - 1).astype(int)
        for side, n in zip(mask.shape, size, strict=True)
    ]
    return mask[np.ix_(*places)]
