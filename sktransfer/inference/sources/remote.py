"""Files of any file system that fsspec knows, such as s3://, gs:// and memory://; local ones without it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sktransfer.folders import list_images
from sktransfer.formats import image_extensions

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "PACKED",
    "PARQUET",
    "TARS",
    "fetch",
    "is_glob",
    "is_image",
    "is_remote",
    "list_files",
    "open_file",
    "signature_of",
    "size_of",
]


PARQUET: Final = (".parquet", ".pq")
TARS: Final = (".tar", ".tar.gz", ".tgz")
PACKED: Final = (*PARQUET, *TARS)
"""Endings of files that hold many images."""


def is_remote(path: str) -> bool:
    """Tell whether a path is a URL.

    Examples
    --------
    >>> is_remote("s3://bucket/a.jpg"), is_remote("C:/a.jpg")
    (True, False)
    """
    return "://" in path


def is_glob(path: str) -> bool:
    """Tell whether a path holds a wildcard, and no file has just this name."""
    has_wildcard = any(sign in path for sign in "*?[")
    return has_wildcard and (is_remote(path) or not Path(path).exists())


def is_image(name: str) -> bool:
    """Tell whether a name ends as that of an image does."""
    return Path(name).suffix.lower() in image_extensions()


def list_files(path: str) -> list[str]:
    """List the files that a wildcard stands for, or the images of a folder, sorted.

    A remote folder that holds files of many images is taken for a folder of these.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    if is_remote(path):
        files = _system_of(path)
        names = files.glob(path) if is_glob(path) else files.find(path)
        found = sorted(str(files.unstrip_protocol(name)) for name in names)
        if not is_glob(path):
            packed = [name for name in found if name.lower().endswith(PACKED)]
            found = packed or [name for name in found if is_image(name)]
    elif is_glob(path):
        pattern = Path(path)
        found = sorted(
            map(str, Path(pattern.anchor or ".").glob(str(pattern.relative_to(pattern.anchor))))
        )
    else:
        return [str(name) for name in list_images(path)]
    if not found:
        raise FileNotFoundError(f"the source {path!r} holds no image. Check the path.")
    return found


def open_file(path: str) -> Any:
    """Open a local or remote file for reading bytes."""
    return _system_of(path).open(path, "rb") if is_remote(path) else Path(path).open("rb")


def size_of(path: str) -> int:
    """Return the size of a file in bytes."""
    return int(_system_of(path).size(path)) if is_remote(path) else Path(path).stat().st_size


def signature_of(path: str) -> str:
    """Name a file with what tells another of the same name apart: size and time of change, if it is local."""
    if is_remote(path):
        return path
    try:
        status = Path(path).stat()
    except OSError:
        return path
    return f"{path} {status.st_size} {status.st_mtime_ns}"


def fetch(paths: Sequence[str]) -> list[bytes | Exception]:
    """Fetch remote files, several at a time where the file system can; errors are returned."""
    files = _system_of(paths[0])
    plain = [str(files._strip_protocol(path)) for path in paths]
    found: dict[str, Any] = files.cat(plain, on_error="return")
    return [found[path] for path in plain]


def _system_of(path: str) -> Any:
    if find_spec("fsspec") is None:
        raise ImportError(
            f"the source {path!r} is a URL, which needs the package fsspec (and s3fs for s3://, gcsfs for "
            "gs://). Install it with: pip install fsspec."
        )
    import fsspec

    return fsspec.core.url_to_fs(path)[0]
