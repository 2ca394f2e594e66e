"""Writing files: the file that was there is replaced by a whole new one, or stays as it is."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_writable", "whole_file"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LONGEST_SUFFIX = 16


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give the name of an empty file to write to, which takes the place of `path` at the end.

    The unfinished file lies beside the target under a name that nobody can guess. It is flushed to
    the disk before it replaces the target in one step, and removed if anything fails. A link is
    followed: what it points to is replaced. A file that is replaced keeps its permissions, a new
    one gets those that the process gives to files.

    Parameters
    ----------
    path : str or path-like
        The target. A device or a pipe cannot be replaced: it is written to at the end.

    Raises
    ------
    OSError
        If the target cannot be written; what was there is then as it was.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(Path(folder, "notes.txt")) as unfinished:
    ...         _ = unfinished.write_text("done")
    ...     [file.name for file in Path(folder).iterdir()]
    ['notes.txt']
    """
    target = Path(os.path.realpath(path))
    before = _status(target)
    is_file = before is None or stat.S_ISREG(before.st_mode)
    _check_replaceable(target, before)
    unfinished = _new_file(target.parent if is_file else Path(tempfile.gettempdir()), target)
    try:
        yield unfinished
        _flush(unfinished)
        if is_file:
            if before is not None:
                unfinished.chmod(stat.S_IMODE(before.st_mode))
            unfinished.replace(target)
            with contextlib.suppress(OSError):  # not every system can flush a folder
                _flush(target.parent)
        else:
            with unfinished.open("rb") as source, target.open("wb") as out:
                shutil.copyfileobj(source, out)
    except OSError as exc:
        if exc.errno in _FULL:
            raise OSError(exc.errno, os.strerror(exc.errno), str(path)) from exc
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def check_writable(option: str, file: Path) -> None:
    """Check that a file can be written, before the work whose result goes there.

    Parameters
    ----------
    option : str
        Name of the parameter or option that gave the file, for the message.
    file : Path
        The file to be written, there or not.

    Raises
    ------
    OSError
        If it is a folder or no regular file, or its folder does not exist or cannot be written to.
    """
    named = f"{option} {str(file)!r}"
    target = Path(os.path.realpath(file))
    if str(file) == "-":
        raise OSError(f"{named} is no file, and stdout is for what the command says. Give a name.")
    try:
        before = _status(target)
        if before is not None and stat.S_ISDIR(before.st_mode):
            raise IsADirectoryError(f"{named} is a folder. Give the name of a file.")
        if before is not None and not stat.S_ISREG(before.st_mode):
            raise OSError(f"{named} is a device or a pipe. Give the name of a file.")
        if not target.parent.is_dir():
            raise FileNotFoundError(
                f"{named}: the folder {str(target.parent if file.is_symlink() else file.parent)!r} "
                "does not exist. Make it first."
            )
        _check_replaceable(target, before)
        _new_file(target.parent, target).unlink()
    except OSError as exc:
        if exc.errno is None:
            raise
        raise type(exc)(f"{named} cannot be written: {exc.strerror}. Give another file.") from exc


def _status(target: Path) -> os.stat_result | None:
    try:
        return target.stat()
    except FileNotFoundError:
        return None


def _check_replaceable(target: Path, before: os.stat_result | None) -> None:
    """Refuse to replace a folder, and a file that somebody has protected."""
    if before is None:
        return
    if stat.S_ISDIR(before.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))


def _new_file(folder: Path, target: Path) -> Path:
    """Make an empty file that nobody else has; the kernel gives it the usual permissions."""
    suffix = target.suffix if len(target.suffix) <= _LONGEST_SUFFIX else ""
    name = folder / f".sktransfer-{secrets.token_hex(12)}{suffix}"
    try:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except OSError as exc:
        raise OSError(exc.errno, exc.strerror, str(target)) from exc
    return name


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
