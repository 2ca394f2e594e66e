"""What lies in a folder and below it: images, what is left out of them, and images that are hidden."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from sktransfer.formats import image_extensions

__all__ = [
    "FolderContents",
    "describe_left_out",
    "first_names",
    "hidden_images",
    "is_noise",
    "look_into",
]

_NOISE = frozenset({"__macosx", "thumbs.db", "desktop.ini", "ehthumbs.db"})
_N_NAMED = 5


class FolderContents(NamedTuple):
    """Paths of a folder's images, those in its sub-folders, all other files but noise, and hidden images."""

    direct: list[str]
    nested: list[str]
    left_out: list[str]
    hidden: list[str]

    @property
    def images(self) -> list[str]:
        """All images, sorted."""
        return sorted(self.direct + self.nested)


def look_into(folder: Path) -> FolderContents:
    """List what lies in a folder and its sub-folders, also where links lead, without opening it."""
    extensions = image_extensions()
    found = FolderContents([], [], [], [])
    for path, is_direct, is_hidden in _files(folder):
        is_image = Path(path).suffix.lower() in extensions and os.path.isfile(path)  # noqa: PTH113
        if is_hidden:
            found.hidden.extend([path] if is_image else [])
        elif is_image:
            (found.direct if is_direct else found.nested).append(path)
        else:
            found.left_out.append(path)
    return FolderContents(*(sorted(paths) for paths in found))


def hidden_images(entry: Path) -> list[str]:
    """List the images in a folder that is hidden, or the one that a hidden file is."""
    files = _files(entry, is_hidden=True) if entry.is_dir() else [(str(entry), True, True)]
    extensions = image_extensions()
    return sorted(path for path, *_ in files if Path(path).suffix.lower() in extensions)


def is_noise(name: str) -> bool:
    """Say whether an operating system left this behind, or it is hidden.

    Examples
    --------
    >>> is_noise("__MACOSX"), is_noise("._1.jpg"), is_noise("notes.txt")
    (True, True, False)
    """
    return name.startswith(".") or name.lower() in _NOISE


def describe_left_out(paths: list[str]) -> str:
    """Count files by the endings of their names, and name the first ones.

    Examples
    --------
    >>> describe_left_out(["a/notes.txt", "a/1.heic", "b/2.heic"])
    "3 files (2 of .heic, 1 of .txt): 'a/notes.txt', 'a/1.heic', 'b/2.heic'"
    """
    endings = Counter(Path(path).suffix.lower() or "no ending" for path in paths)
    kinds = ", ".join(f"{n} of {ending}" for ending, n in endings.most_common())
    return f"{len(paths)} {'file' if len(paths) == 1 else 'files'} ({kinds}): {first_names(paths)}"


def first_names(names: list[str]) -> str:
    """Name the first ones, and count the others.

    Examples
    --------
    >>> first_names(["a", "b", "c", "d", "e", "f", "g"])
    "'a', 'b', 'c', 'd', 'e' and 2 more"
    """
    more = f" and {len(names) - _N_NAMED} more" if len(names) > _N_NAMED else ""
    return f"{', '.join(repr(name) for name in names[:_N_NAMED])}{more}"


def _files(root: Path, *, is_hidden: bool = False) -> list[tuple[str, bool, bool]]:
    """List all files, with whether they lie in `root` itself, and are hidden; a folder is entered once."""
    files: list[tuple[str, bool, bool]] = []
    entered: set[tuple[int, int]] = set()
    hidden: set[str] = {str(root)} if is_hidden else set()

    def closed(problem: OSError) -> None:
        if problem.filename not in hidden:
            raise problem

    for folder, names, file_names in os.walk(root, onerror=closed, followlinks=True):
        status = os.stat(folder)  # noqa: PTH116 - os.walk gives text
        if (status.st_dev, status.st_ino) in entered:  # a link to a folder above it
            names.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        names.sort(key=lambda name: (is_noise(name), name))
        in_hidden = folder in hidden
        hidden.update(os.path.join(folder, name) for name in names if in_hidden or is_noise(name))  # noqa: PTH118
        files += [
            (os.path.join(folder, name), folder == str(root), in_hidden or is_noise(name))  # noqa: PTH118
            for name in file_names
        ]
    return files
