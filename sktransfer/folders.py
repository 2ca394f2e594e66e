"""Folders -> image paths and, with one folder per class, labels.

The layout that most collections of images come in: the label of an image is the name of the folder
it lies in.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sktransfer.directories import FolderContents, describe_left_out, is_noise, look_into
from sktransfer.exceptions import ImageError, ImageWarning
from sktransfer.formats import image_extensions

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["list_images", "load_class_folders"]


def load_class_folders(
    folder: str | os.PathLike[str],
) -> tuple[NDArray[np.object_], NDArray[np.str_]]:
    """List the images of a folder that holds one sub-folder per class.

    Only lists: no image is opened. Every file whose name ends as one that Pillow can read is taken;
    the others are counted and named in one `ImageWarning`. What operating systems leave behind
    (names that begin with a dot, ``__MACOSX``, ``Thumbs.db``, ``desktop.ini``) is left out silently.

    Parameters
    ----------
    folder : str or path-like
        Holds one sub-folder per class, in which images of the class lie directly; those in
        sub-folders of it belong to the class too.

    Returns
    -------
    paths : ndarray of shape (n_images,), dtype object
        Paths as str, sorted by class, then by name; an `X` for every estimator of this package.
    labels : ndarray of shape (n_images,), dtype str
        The name of each image's class.

    Warns
    -----
    ImageWarning
        If files are left out.

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
    top = [entry for entry in sorted(root.iterdir()) if not is_noise(entry.name)]
    classes = {entry.name: look_into(entry) for entry in top if entry.is_dir()}
    if len(classes) < 2:
        raise ImageError(
            f"folder={str(root)!r} has {len(classes)} sub-folder(s); a comparison needs at least "
            "two classes. Put the images of each class in a sub-folder with the name of the class."
        )
    for name, contents in classes.items():
        if not contents.direct:
            raise ImageError(_explain_empty(root / name, contents))
    strays = [str(entry) for entry in top if not entry.is_dir()]
    _warn_of(root, strays + [path for found in classes.values() for path in found.left_out])
    images = {name: contents.images for name, contents in classes.items()}
    paths = [path for found in images.values() for path in found]
    labels = [name for name, found in images.items() for _ in found]
    return np.array(paths, dtype=object), np.array(labels)


def list_images(folder: str | os.PathLike[str]) -> NDArray[np.object_]:
    """List the images of a folder and of all its sub-folders.

    Only lists: no image is opened. Files of other kinds are counted and named in one `ImageWarning`,
    as by `load_class_folders`.

    Parameters
    ----------
    folder : str or path-like

    Returns
    -------
    ndarray of shape (n_images,), dtype object
        Paths as str, sorted.

    Warns
    -----
    ImageWarning
        If files are left out.

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
    ...     for name in ("1.jpg", "more/2.jpg", ".hidden/3.jpg"):
    ...         Path(folder, name).parent.mkdir(exist_ok=True)
    ...         Path(folder, name).touch()
    ...     len(list_images(folder))
    2
    """
    root = _check_folder(folder, "a folder that holds images")
    contents = look_into(root)
    if not contents.images:
        raise ImageError(_explain_empty(root, FolderContents([], [], contents.left_out)))
    _warn_of(root, contents.left_out)
    return np.array(contents.images, dtype=object)


def _check_folder(folder: str | os.PathLike[str], wanted: str) -> Path:
    root = Path(folder)
    if not root.exists():
        raise FileNotFoundError(f"folder={str(root)!r} does not exist.")
    if not root.is_dir():
        raise NotADirectoryError(f"folder={str(root)!r} is a file. Give {wanted}.")
    return root


def _explain_empty(folder: Path, contents: FolderContents) -> str:
    if contents.nested:
        inner = Path(contents.nested[0]).relative_to(folder).parts[0]
        return (
            f"the folder {str(folder)!r} has its images one level too deep, in "
            f"{inner!r}. A class's images lie directly in its folder: did you mean to "
            f"give {str(folder)!r} instead of {str(folder.parent)!r}?"
        )
    return (
        f"the folder {str(folder)!r} holds no image{_named(contents.left_out)}. Images end in "
        f"{', '.join(sorted(image_extensions()))}. Add images to it or remove it."
    )


def _named(left_out: list[str]) -> str:
    if not left_out:
        return ""
    return f", but {describe_left_out(left_out)}"


def _warn_of(root: Path, left_out: list[str]) -> None:
    if left_out:
        names = [os.path.relpath(path, root) for path in left_out]
        warnings.warn(
            f"folder={str(root)!r}: left out {describe_left_out(names)}. Images end in "
            f"{', '.join(sorted(image_extensions()))}.",
            ImageWarning,
            stacklevel=3,
        )
