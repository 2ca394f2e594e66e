"""Where the images of a command come from: a folder, a table, or the bundled ones."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sktransfer.exceptions import ImageDecodeError, ImageError
from sktransfer.folders import list_images, load_class_folders
from sktransfer.tables import load_image_table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = [
    "Columns",
    "Images",
    "Target",
    "columns_of",
    "load_images",
    "load_labelled_images",
    "load_masked_images",
    "load_target",
    "naming_all_broken",
    "with_labels_of_folders",
]


class Columns(NamedTuple):
    """Names of a table's columns, where the user has said them."""

    path: str | None = None
    label: str | None = None


_USUAL = Columns()


class Images(NamedTuple):
    """Images, with what is known of them."""

    X: NDArray[np.generic]
    y: NDArray[np.generic] | None
    groups: NDArray[np.generic] | None
    names: list[str]
    source: str
    is_masks: bool = False

    def describe(self) -> str:
        """Say how many there are, and of what."""
        of_classes = (
            " with masks"
            if self.is_masks
            else ""
            if self.y is None
            else f" of {len(np.unique(self.y))} classes"
        )
        return f"{len(self.X)} images{of_classes} from {self.source}"

    def drawn(self, n_images: int | None, seed: int) -> Images:
        """Draw some of the images, in the proportions of their classes; None takes all."""
        if n_images is None or n_images >= len(self.X):
            return self
        from sklearn.model_selection import train_test_split

        everything = np.arange(len(self.X))
        rows, _ = train_test_split(
            everything,
            train_size=n_images,
            random_state=seed,
            stratify=None if self.is_masks else self.y,
        )
        rows = np.sort(rows)
        return self._replace(
            X=self.X[rows],
            y=None if self.y is None else self.y[rows],
            groups=None if self.groups is None else self.groups[rows],
            names=[self.names[row] for row in rows],
            source=f"{self.source} ({n_images} of {len(self.X)}, drawn at random)",
        )


class Target(NamedTuple):
    """Images of a target domain, and images without labels; None where there are none."""

    X: NDArray[np.generic] | None
    y: NDArray[np.generic] | None
    X_unlabeled: NDArray[np.generic] | None = None


def columns_of(options: argparse.Namespace) -> Columns:
    """Read the names of columns that a command was given."""
    return Columns(options.path_column, options.label_column)


def load_labelled_images(source: Path | None, columns: Columns = _USUAL) -> Images:
    """List the images of a folder of classes or a table with labels; None is the bundled ones."""
    if source is None:
        from sktransfer.datasets import load_digit_domains

        digits = load_digit_domains()
        X, y = digits.X_target, digits.y_target
        names = [f"digit {row}" for row in range(len(X))]
        return Images(X, y, None, names, "the bundled digits on photographs")
    if source.is_file():
        images = load_images(source, columns)
        if images.y is None:
            raise ImageError(
                f"the table {str(source)!r} has no column 'label'. Name the columns in its first "
                "line: path,label; or tell which holds the labels by --label-column NAME."
            )
        return images
    paths, labels = load_class_folders(source)
    return Images(paths, labels, None, paths.tolist(), str(source))


def load_masked_images(source: Path | None, masks: Path) -> Images:
    """List the images of a folder and the masks of the same names in another."""
    if source is None or not source.is_dir():
        raise ValueError("--masks needs a folder of images. Give it as the first argument.")
    from sktransfer.cli.label_images import masks_beside

    paths = list_images(source)
    y = np.array(masks_beside(source, paths.tolist(), masks), dtype=object)
    return Images(paths, y, None, paths.tolist(), str(source), is_masks=True)


def load_images(source: Path, columns: Columns = _USUAL) -> Images:
    """List the images of a folder and its sub-folders, or of a table, with labels if there are any."""
    if source.is_file():
        table = load_image_table(source, path_column=columns.path, label_column=columns.label)
        return Images(table.paths, table.labels, table.groups, table.paths.tolist(), str(source))
    paths = list_images(source)
    return Images(paths, None, None, paths.tolist(), str(source))


def with_labels_of_folders(images: Images, folder: Path) -> Images:
    """Label images by the sub-folders that they lie in, if all lie in some and there are two or more."""
    if images.y is not None or not folder.is_dir():
        return images
    parts = [Path(path).relative_to(folder).parts for path in images.names]
    labels = [of_one[0] for of_one in parts if len(of_one) > 1]
    is_sorted = len(labels) == len(parts) and len(set(labels)) > 1
    return images._replace(y=np.array(labels)) if is_sorted else images


@contextmanager
def naming_all_broken(*listed: NDArray[np.generic] | None) -> Iterator[None]:
    """Name all images that cannot be read where the first one ends a command.

    Parameters
    ----------
    *listed : ndarray or None
        Paths of images that the command reads; arrays of pixels have none.
    """
    try:
        yield
    except ImageDecodeError as exc:
        from sktransfer.images.problems import problems_of

        paths = [path for X in listed if X is not None and X.dtype == object for path in X]
        problems = problems_of(paths)
        if len(problems) < 2:
            raise
        reasons = [f"{path!r} {reason.partition('. ')[0]}" for path, reason in problems.items()]
        raise ImageDecodeError(
            f"{len(problems)} of {len(paths)} images cannot be read: {', '.join(reasons)}. Replace or "
            "remove these files"
        ) from exc


def load_target(
    source: Path | None,
    columns: Columns = _USUAL,
    *,
    labelled: bool,
    unlabeled: Path | None = None,
) -> Target:
    """List images beside the labelled ones.

    Parameters
    ----------
    source : Path or None
        Images of a target domain.
    columns : Columns
        Names of the columns of tables.
    labelled : bool
        Whether their labels are asked for.
    unlabeled : Path or None, default=None
        Images without labels.
    """
    paths_only = columns._replace(label=None)
    X_unlabeled = None if unlabeled is None else load_images(unlabeled, paths_only).X
    if source is None:
        if labelled:
            raise ValueError(
                "--score-target has no target. Give its images by --target FOLDER|CSV."
            )
        return Target(None, None, X_unlabeled)
    images = load_labelled_images(source, columns) if labelled else load_images(source, paths_only)
    return Target(images.X, images.y if labelled else None, X_unlabeled)
