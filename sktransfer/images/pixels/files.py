"""The bytes of one file, if it is a regular file of a size that an image can have."""

from __future__ import annotations

import errno
import os
import re
import stat
from typing import TYPE_CHECKING

from PIL import Image

from sktransfer.images.pixels.problems import Unusable

if TYPE_CHECKING:
    from typing import BinaryIO

__all__ = ["file_bytes", "is_shortage", "max_file_bytes", "not_empty"]

_BYTES_PER_PIXEL = 8  # red, green, blue and alpha of 16 bits each, without compression
_SMALLEST_LIMIT = 64 << 20
_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_OPEN_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe that took the file's place would wait for a writer
)
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


_WEB_ADDRESS = re.compile(r"[a-z0-9]{2,}://", re.IGNORECASE)


def file_bytes(path: str) -> bytes:
    """Read a file; whatever else lies at the path is never opened for reading.

    Raises
    ------
    Unusable
        If there is no regular file, or it is empty or larger than `max_file_bytes`.
    OSError, MemoryError
        If the process has no memory or no files left, which says nothing about the image.
    """
    try:
        _refuse_no_file(os.stat(path))  # noqa: PTH116 - pathlib refuses some names before the system does
        with os.fdopen(os.open(path, _OPEN_FLAGS), "rb") as file:
            _refuse_no_file(os.fstat(file.fileno()))
            return not_empty(_read(file), "an empty file")
    except (FileNotFoundError, NotADirectoryError) as exc:
        if _WEB_ADDRESS.match(path):
            raise Unusable(
                "is a web address", "Download it, and pass the path of the file"
            ) from exc
        raise Unusable("does not exist", "Correct the path") from exc
    except (OSError, ValueError) as exc:
        if is_shortage(exc):
            raise
        reason = getattr(exc, "strerror", None) or exc
        raise Unusable(f"cannot be read ({reason})", "Correct the path") from exc


def is_shortage(exc: BaseException) -> bool:
    """Say whether the process ran out of memory or of open files, whatever it was reading."""
    return isinstance(exc, MemoryError) or getattr(exc, "errno", None) in _SHORTAGES


def max_file_bytes() -> int | None:
    """Return the size in bytes of the largest file that is read, or None if all are.

    Eight bytes for each pixel that ``PIL.Image.MAX_IMAGE_PIXELS`` allows, so that one limit
    rules both.
    """
    if Image.MAX_IMAGE_PIXELS is None:
        return None
    return max(_SMALLEST_LIMIT, _BYTES_PER_PIXEL * Image.MAX_IMAGE_PIXELS)


def not_empty(data: bytes, name: str) -> bytes:
    """Return `data`, unless there are none."""
    if not data:
        raise Unusable(f"is {name}")
    return data


def _refuse_no_file(status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        _refuse_size(status.st_size)
        return
    name = next((name for test, name in _KINDS if test(status.st_mode)), "no regular file")
    remedy = "Pass the paths of the files in it" if "directory" in name else "Correct the path"
    raise Unusable(f"is {name}", remedy)


def _refuse_size(n_bytes: int) -> None:
    limit = max_file_bytes()
    if limit is not None and n_bytes > limit:
        raise Unusable(
            f"has {n_bytes} bytes or more, while {limit} are possible: {_BYTES_PER_PIXEL} for each "
            "pixel that PIL.Image.MAX_IMAGE_PIXELS allows",
            "Raise that limit if you trust the file",
        )


def _read(file: BinaryIO) -> bytes:
    """Read as many bytes as the file has now, even if it grows; one of ``/proc`` has none."""
    return file.read(os.fstat(file.fileno()).st_size)
