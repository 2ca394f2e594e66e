"""The folder in which a command keeps what it has finished until all is done: nobody else's is touched."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["folder_beside", "kept_beside", "remove_folder"]

_MARKER = "made-by-sktransfer-{}"
_RESULTS = "results/*.json"
_FILES = (
    "features-*.sqlite*",
    "features/features-*.sqlite*",
    "training-*.pt",
    "features/training-*.pt",
    ".sktransfer-*.pt",
    "features/.sktransfer-*.pt",
    _RESULTS,
    "results/*.unfinished",
)


def folder_beside(out: Path, command: str, kind: str) -> tuple[Path, bool]:
    """Find or make the folder of an unfinished file, and say whether it was there.

    Parameters
    ----------
    out : Path
        File that the command is to write; the folder is ``out.kind``, or the next free of
        ``out.kind-2`` and so on where that was not made here.
    command : str
        Name of the command, which marks the folder.
    kind : str
        Name after which the folder is called.
    """
    marker = _MARKER.format(command)
    for number in itertools.count(1):
        folder = out.with_name(f"{out.name}.{kind}" + (f"-{number}" if number > 1 else ""))
        if not folder.is_symlink() and (folder / marker).is_file():
            return folder, True
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        (folder / marker).touch()
        return folder, False
    raise AssertionError("numbers do not end")


def remove_folder(folder: Path, command: str) -> None:
    """Remove the files that a command has kept and the folder, unless something else lies in it."""
    for pattern in _FILES:
        for file in folder.glob(pattern):
            file.unlink(missing_ok=True)
    (folder / _MARKER.format(command)).unlink(missing_ok=True)
    for part in (folder / "features", folder / "results", folder):
        with contextlib.suppress(OSError):
            part.rmdir()


@contextlib.contextmanager
def kept_beside(out: Path, command: str) -> Iterator[tuple[Path, bool]]:
    """Keep results in a folder beside a file while a block works, and remove it when that is done.

    Yields
    ------
    folder : Path
    was_there : bool
        Whether an earlier run has left it. A block that ends in an error, or is interrupted, leaves it if
        there are results in it.
    """
    folder, was_there = folder_beside(out, command, "resume")
    try:
        yield folder, was_there
    except BaseException:
        if not any(folder.glob(_RESULTS)):
            remove_folder(folder, command)
        raise
    remove_folder(folder, command)
