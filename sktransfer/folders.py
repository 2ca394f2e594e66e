"""Folders -> image paths and, with one folder per class, labels.

The layout that most collections of images come in: the label of an image is the name of the folder
it lies in.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sktransfer.exceptions import ImageError

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

__all__ = ["IMAGE_EXTENSIONS", "list_images", "load_class_folders"]

IMAGE_EXTENSIONS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""Files with one of these endings, in upper or lower case, count as images."""


def load_class_folders(
    folder: str | os.PathLike[str],
) -> tuple[NDArray[np.object_], NDArray[np.str_]]:
    """List the images of a folder that holds one sub-folder per class.

    Only lists: no image is opened. Folders and files whose names begin with a dot are left out.

    Parameters
    ----------
    folder : str or path-like
        Holds one sub-folder per class, in which the class's images lie directly.

    Returns
    -------
    paths : ndarray of shape (n_images,), dtype object
        Paths as str, sorted by class, then by name; an `X` for every estimator of this package.
    labels : ndarray of shape (n_images,), dtype str
        The name of each image's folder.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If `folder` does not exist or is a file.
    ImageError
        If there are fewer than two sub-folders, or one of them holds no image.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("ant/1.jpg", "ant/2.jpg", "bee/1.png"):
    ...         Path(folder, name).parent.mkdir(exist_ok=True)
    ...         Path(folder, name).touch()
    ...     paths, labels = load_class_folders(folder)
    >>> len(paths), labels.tolist()
    (3, ['ant', 'ant', 'bee'])
    """
    root = _check_folder(folder, "the folder that holds one sub-folder per class")
    images = {
        entry.name: _images_in(entry)
        for entry in sorted(root.iterdir())
        if entry.is_dir() and not entry.name.startswith(".")
    }
    if len(images) < 2:
        raise ImageError(
            f"folder={str(root)!r} has {len(images)} sub-folder(s); a comparison needs at least "
            "two classes. Put the images of each class in a sub-folder with the name of the class."
        )
    for name, found in images.items():
        if not found:
            raise ImageError(_explain_empty(root / name))
    paths = [str(path) for found in images.values() for path in found]
    labels = [name for name, found in images.items() for _ in found]
    return np.array(paths, dtype=object), np.array(labels)


def list_images(folder: str | os.PathLike[str]) -> NDArray[np.object_]:
    """List the images of a folder and of all its sub-folders.

    Only lists: no image is opened. Folders and files whose names begin with a dot are left out.

    Parameters
    ----------
    folder : str or path-like

    Returns
    -------
    ndarray of shape (n_images,), dtype object
        Paths as str, sorted.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If `folder` does not exist or is a file.
    ImageError
        If there is no image.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("1.jpg", "more/2.jpg", "notes.txt"):
    ...         Path(folder, name).parent.mkdir(exist_ok=True)
    ...         Path(folder, name).touch()
    ...     len(list_images(folder))
    2
    """
    root = _check_folder(folder, "a folder that holds images")
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    shown = [
        found
        for found in folders
        if not any(part.startswith(".") for part in found.relative_to(root).parts)
    ]
    paths = sorted(str(path) for found in shown for path in _images_in(found))
    if not paths:
        raise ImageError(_explain_empty(root))
    return np.array(paths, dtype=object)


def _check_folder(folder: str | os.PathLike[str], wanted: str) -> Path:
    root = Path(folder)
    if not root.exists():
        raise FileNotFoundError(f"folder={str(root)!r} does not exist.")
    if not root.is_dir():
        raise NotADirectoryError(f"folder={str(root)!r} is a file. Give {wanted}.")
    return root


def _images_in(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_EXTENSIONS
        and not path.name.startswith(".")
        and path.is_file()
    )


def _explain_empty(folder: Path) -> str:
    nested = [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and _images_in(entry)]
    if nested:
        return (
            f"the folder {str(folder)!r} has its images one level too deep, in "
            f"{nested[0].name!r}. A class's images lie directly in its folder: did you mean to "
            f"give {str(folder)!r} instead of {str(folder.parent)!r}?"
        )
    return (
        f"the folder {str(folder)!r} holds no image. Images end in "
        f"{', '.join(sorted(IMAGE_EXTENSIONS))}. Add images to it or remove it."
    )
