"""Masks in files: those beside images, and label PNGs with a palette of what a model predicts."""

from __future__ import annotations

import colorsys
import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from sktransfer.exceptions import ImageError
from sktransfer.folders import list_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["masks_beside", "write_masks"]

_AT_ONCE = 8  # images whose masks are held in memory
_N_LABELS = 256  # that a PNG of one byte a pixel can hold


def masks_beside(images: Path, paths: Sequence[str], masks: Path) -> list[str]:
    """Find the mask of each image: the file of the same name but for its ending.

    Raises
    ------
    ImageError
        If an image has no mask.
    """
    by_name = {_name(Path(path), masks): path for path in list_images(masks)}
    missing = [path for path in paths if _name(Path(path), images) not in by_name]
    if missing:
        raise ImageError(
            f"{len(missing)} of {len(paths)} images have no mask in {str(masks)!r}; the first is "
            f"{missing[0]!r}. Give each mask the name of its image, ending in .png."
        )
    return [by_name[_name(Path(path), images)] for path in paths]


def write_masks(
    model: Any, files: Sequence[tuple[str, Path]], folder: Path
) -> list[dict[str, Any]]:
    """Predict masks, some images at a time, and write each as a PNG with a palette.

    Labels from 0 to 255 are the values of the pixels. Others are numbered, and ``labels.csv`` beside
    the masks says what each number means.

    Parameters
    ----------
    model : estimator of masks
        The fitted model.
    files : sequence of (str, Path)
        Path of each image, and its place below `folder`.
    folder : Path
        Folder of the masks, which is made if it is not there.

    Returns
    -------
    list of dict
        Path of each image, path of its mask, and the labels in it.

    Raises
    ------
    ValueError
        If two images would have one mask, or a mask would replace its image.
    """
    classes = model.classes_
    places = [(folder / below).with_suffix(".png") for _, below in files]
    _check_places([path for path, _ in files], places)
    plain = classes.dtype.kind in "bui" and classes.min() >= 0 and classes.max() < _N_LABELS
    if not plain and len(classes) > _N_LABELS:
        raise ValueError(f"the model knows {len(classes)} labels, and a PNG holds {_N_LABELS}.")
    folder.mkdir(parents=True, exist_ok=True)
    if not plain:
        with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("number", "label"), *enumerate(classes.tolist())])
    rows = []
    for start in range(0, len(files), _AT_ONCE):
        paths = [path for path, _ in files[start : start + _AT_ONCE]]
        masks = model.predict(np.array(paths, dtype=object))
        for path, place, mask in zip(paths, places[start:], masks, strict=False):
            numbers = mask if plain else np.searchsorted(classes, mask)
            place.parent.mkdir(parents=True, exist_ok=True)
            _with_palette(numbers.astype(np.uint8)).save(place)
            found = " ".join(map(str, np.unique(mask).tolist()))
            rows.append({"path": path, "mask": str(place), "labels": found})
    return rows


def _name(path: Path, folder: Path) -> Path:
    return path.relative_to(folder).with_suffix("")


def _check_places(paths: Sequence[str], places: Sequence[Path]) -> None:
    first: dict[Path, str] = {}
    images = {Path(path).absolute() for path in paths}
    for path, place in zip(paths, places, strict=True):
        if place.absolute() in images:
            raise ValueError(f"the mask {str(place)!r} would replace an image. Give another --out.")
        if place in first:
            raise ValueError(
                f"{first[place]!r} and {path!r} would both have the mask {str(place)!r}. Predict them "
                "into two folders."
            )
        first[place] = path


def _with_palette(numbers: NDArray[np.uint8]) -> Image.Image:
    """Colour labels: 0 black, and hues by the golden ratio, so that neighbours differ."""
    image = Image.fromarray(numbers)
    hues = [colorsys.hsv_to_rgb(k * 0.618034 % 1, 0.75, 0.95) for k in range(1, _N_LABELS)]
    image.putpalette([0, 0, 0, *(round(255 * value) for hue in hues for value in hue)])
    return image
