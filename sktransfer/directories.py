"""What lies in a folder and below it: images, and what is left out of them."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from sktransfer.formats import image_extensions

__all__ = ["FolderContents", "describe_left_out", "is_noise", "look_into"]

_NOISE = frozenset({"__macosx", "thumbs.db", "desktop.ini", "ehthumbs.db"})
_N_NAMED = 5


class FolderContents(NamedTuple):
    """Paths of a folder's images, those in its sub-folders, and all other files but noise."""

    direct: list[str]
    nested: list[str]
    left_out: list[str]

    @property
    def images(self) -> list[str]:
        """All images, sorted."""
        return sorted(self.direct + self.nested)


def look_into(folder: Path) -> FolderContents:
    """List what lies in a folder and its sub-folders, also where links lead, without opening it."""
    extensions = image_extensions()
    found = FolderContents([], [], [])
    for path, is_direct in _files(folder):
        if Path(path).suffix.lower() not in extensions or not os.path.isfile(path):  # noqa: PTH113
            found.left_out.append(path)
        else:
            (found.direct if is_direct else found.nested).append(path)
    return FolderContents(*(sorted(paths) for paths in found))


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
    names = ", ".join(repr(path) for path in paths[:_N_NAMED])
    more = f" and {len(paths) - _N_NAMED} more" if len(paths) > _N_NAMED else ""
    return f"{len(paths)} {'file' if len(paths) == 1 else 'files'} ({kinds}): {names}{more}"


def _files(root: Path) -> list[tuple[str, bool]]:
    """List all files, with whether they lie in `root` itself; a folder is entered once."""
    files: list[tuple[str, bool]] = []
    entered: set[tuple[int, int]] = set()
    for folder, names, file_names in os.walk(root, onerror=_raise, followlinks=True):
        status = os.stat(folder)  # noqa: PTH116 - os.walk gives text
        if (status.st_dev, status.st_ino) in entered:  # a link to a folder above it
            names.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        names[:] = sorted(name for name in names if not is_noise(name))
        files += [
            (os.path.join(folder, name), folder == str(root))  # noqa: PTH118
            for name in file_names
            if not is_noise(name)
        ]
    return files


def _raise(problem: OSError) -> None:
    raise problem
