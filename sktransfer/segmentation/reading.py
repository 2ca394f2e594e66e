"""Reading: images and their masks, some at a time, in threads, in the order of their rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from sktransfer.exceptions import ImageDecodeError
from sktransfer.features.extraction import workers
from sktransfer.images.unreadable import every_image_is_needed
from sktransfer.segmentation.masks import check_sizes
from sktransfer.segmentation.whole_images import read_image
from sktransfer.training.decoding import report_unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from sktransfer.features.run_parameters import RunSettings
    from sktransfer.images.sequences import ImageSequence
    from sktransfer.segmentation.masks import MaskSequence

__all__ = ["Pair", "read_images", "read_pairs"]


@dataclass(frozen=True, eq=False)
class Pair:
    """An image and its mask.

    Parameters
    ----------
    row : int
        Row of both.
    pixels : ndarray of shape (height, width, 3), dtype uint8
        The image, upright, in its own size.
    mask : ndarray of shape (height, width)
        Its labels, as the user gave them.
    """

    row: int
    pixels: NDArray[np.uint8]
    mask: NDArray[np.generic]


@every_image_is_needed()
def _read(images: ImageSequence, row: int) -> NDArray[np.uint8]:
    return read_image(images, row)


def read_images(images: ImageSequence, run: RunSettings) -> Iterator[list[NDArray[np.uint8]]]:
    """Read all images, `run.batch_size` at a time.

    Raises
    ------
    ImageDecodeError
        If an image cannot be read, whatever `run.on_error` says, because nothing tells its size.
    """
    with (
        workers(0 if images.one_reader else run.n_workers) as in_parallel,
        tqdm(total=len(images), disable=not run.verbose, unit="image") as bar,
    ):
        for rows in _in_parts(range(len(images)), run.batch_size):
            yield in_parallel(lambda row: _read(images, row), rows)
            bar.update(len(rows))


def read_pairs(
    images: ImageSequence,
    masks: MaskSequence,
    rows: Sequence[int],
    run: RunSettings,
    failed: list[int],
) -> Iterator[list[Pair]]:
    """Read some images and their masks, `run.batch_size` at a time.

    Parameters
    ----------
    images, masks : ImageSequence, MaskSequence
        All images and all masks.
    rows : sequence of int
        Rows that are read.
    run : RunSettings
        Size of the parts, threads, treatment of what cannot be read, progress.
    failed : list of int
        List to which rows are added that could not be read.

    Raises
    ------
    ImageDecodeError
        If an image or a mask cannot be read and `run.on_error` is "raise".
    MaskError
        If a mask has another size than its image.
    """

    def read(row: int) -> Pair | ImageDecodeError:
        try:
            return Pair(row, read_image(images, row), masks.read(row))
        except ImageDecodeError as problem:
            return problem

    with (
        workers(0 if images.one_reader else run.n_workers) as in_parallel,
        tqdm(total=len(rows), disable=not run.verbose, unit="image") as bar,
    ):
        for some in _in_parts(rows, run.batch_size):
            pairs = []
            for row, found in zip(some, in_parallel(read, some), strict=True):
                if isinstance(found, ImageDecodeError):
                    report_unreadable(found, run.on_error)
                    failed.append(row)
                    continue
                height, width = found.pixels.shape[:2]
                check_sizes(images, row, (height, width), masks, found.mask)
                pairs.append(found)
            yield pairs
            bar.update(len(some))


def _in_parts(rows: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
