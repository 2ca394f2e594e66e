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

from sktransfer.directories import (
    FolderContents,
    describe_left_out,
    first_names,
    hidden_images,
    is_noise,
    look_into,
)
from sktransfer.exceptions import ImageError, ImageWarning
from sktransfer.formats import image_extensions, missing_reader

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["list_images", "load_class_folders"]


def load_class_folders(
    folder: str | os.PathLike[str],
) -> tuple[NDArray[np.object_], NDArray[np.str_]]:
    """List the images of a folder that holds one sub-folder per class.

    Only lists: no image is opened. Every file whose name ends as one that Pillow can read is taken;
    the others are counted and named in one `ImageWarning`, and so are sub-folders that hold none.
    What operating systems leave behind and what is hidden (``__MACOSX``, ``Thumbs.db``, ``desktop.ini``,
    names that begin with a dot) is left out; if it holds images, the warning names these too.

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
        If files or sub-folders are left out.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If `folder` does not exist or is a file.
    ImageError
        If there are fewer than two sub-folders with images, or those of one lie one level too deep.

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
    top = sorted(root.iterdir())
    seen = [entry for entry in top if not is_noise(entry.name)]
    folders = {entry.name: look_into(entry) for entry in seen if entry.is_dir()}
    if len(folders) < 2:
        raise ImageError(
            f"folder={str(root)!r} has {len(folders)} sub-folder(s); a comparison needs at least "
            "two classes. Put the images of each class in a sub-folder with the name of the class."
        )
    empty = [name for name, contents in folders.items() if not contents.images]
    classes = {name: contents for name, contents in folders.items() if contents.images}
    if len(classes) < 2:
        raise ImageError(_explain_empty(root / empty[0], folders[empty[0]]))
    for name, contents in classes.items():
        if not contents.direct:
            raise ImageError(_explain_empty(root / name, contents))
    strays = [str(entry) for entry in seen if not entry.is_dir()]
    left_out = strays + [path for contents in folders.values() for path in contents.left_out]
    hidden = [path for entry in top if is_noise(entry.name) for path in hidden_images(entry)]
    hidden += [path for contents in folders.values() for path in contents.hidden]
    _warn_of(root, left_out, hidden, empty)
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
    ...     for name in ("1.jpg", "more/2.jpg", ".hidden/notes.txt"):
    ...         Path(folder, name).parent.mkdir(exist_ok=True)
    ...         Path(folder, name).touch()
    ...     len(list_images(folder))
    2
    """
    root = _check_folder(folder, "a folder that holds images")
    contents = look_into(root)
    if not contents.images:
        raise ImageError(_explain_empty(root, contents))
    _warn_of(root, contents.left_out, contents.hidden)
    return np.array(contents.images, dtype=object)


def _check_folder(folder: str | os.PathLike[str], wanted: str) -> Path:
    root = Path(folder)
    if not root.exists():
        raise FileNotFoundError(f"folder={str(root)!r} does not exist.")
    if not root.is_dir():
        raise NotADirectoryError(f"folder={str(root)!r} is a file. Give {wanted}.")
    return root


def _explain_empty(folder: Path, contents: FolderContents) -> str:
    if contents.nested and not contents.direct:
        inner = Path(contents.nested[0]).relative_to(folder).parts[0]
        return (
            f"the folder {str(folder)!r} has its images one level too deep, in "
            f"{inner!r}. A class's images lie directly in its folder: did you mean to "
            f"give {str(folder)!r} instead of {str(folder.parent)!r}?"
        )
    left_out = f", but {describe_left_out(contents.left_out)}" if contents.left_out else ""
    return (
        f"the folder {str(folder)!r} holds no image{left_out}. {_endings(contents.left_out)} "
        "Add images to it or remove it."
    )


def _warn_of(
    root: Path, left_out: list[str], hidden: list[str], empty: list[str] | None = None
) -> None:
    """Count and name in one warning what was passed over."""
    parts = []
    if left_out:
        parts.append(describe_left_out(_below(root, left_out)))
    if hidden:
        images = "hidden image" if len(hidden) == 1 else "hidden images"
        parts.append(f"{len(hidden)} {images}: {first_names(_below(root, hidden))}")
    if empty:
        folders = "folder" if len(empty) == 1 else "folders"
        parts.append(f"{len(empty)} {folders} without images: {first_names(empty)}")
    if parts:
        endings = f" {_endings(left_out)}" if left_out else ""
        warnings.warn(
            f"folder={str(root)!r}: left out {'; '.join(parts)}.{endings}",
            ImageWarning,
            stacklevel=3,
        )


def _below(root: Path, paths: list[str]) -> list[str]:
    return [os.path.relpath(path, root) for path in paths]


def _endings(left_out: list[str]) -> str:
    """Say which endings images have, and how to have those that are lacking."""
    advice = missing_reader(left_out)
    return f"Images end in {', '.join(sorted(image_extensions()))}.{f' {advice}' if advice else ''}"
