"""The folder in which `embed` keeps features until its file is written: nobody else's is touched."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["folder_beside", "remove_folder"]

_MARKER = "made-by-sktransfer-embed"


def folder_beside(out: Path) -> tuple[Path, bool]:
    """Find or make the folder of an unfinished file, and say whether it was there.

    Parameters
    ----------
    out : Path
        File that features are to be written to; the folder is ``out.store``, or the next free of
        ``out.store-2`` and so on where that was not made here.
    """
    for number in itertools.count(1):
        folder = out.with_name(f"{out.name}.store" + (f"-{number}" if number > 1 else ""))
        if not folder.is_symlink() and (folder / _MARKER).is_file():
            return folder, True
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        (folder / _MARKER).touch()
        return folder, False
    raise AssertionError("numbers do not end")


def remove_folder(folder: Path) -> None:
    """Remove the store's files and the folder, unless something else lies in it."""
    for file in folder.glob("features-*.sqlite*"):
        file.unlink(missing_ok=True)
    (folder / _MARKER).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
