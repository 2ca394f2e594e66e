"""From what a user names as source to its shards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sktransfer.exceptions import ImageError
from sktransfer.inference.sources.parquet import needs_pyarrow, source_of_parquet
from sktransfer.inference.sources.paths import source_of_paths
from sktransfer.inference.sources.remote import (
    PACKED,
    PARQUET,
    TARS,
    is_glob,
    is_remote,
    list_files,
    open_file,
)
from sktransfer.inference.sources.tars import source_of_tars
from sktransfer.tables import parse_image_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sktransfer.inference.sources.shards import Source

__all__ = ["open_source"]


def open_source(source: str | os.PathLike[str] | Iterable[object], shard_rows: int) -> Source:
    """List the images of a source, without opening one, and cut them into shards.

    Parameters
    ----------
    source : str, path or sequence of paths
        - a folder of images, or of tar or Parquet files, also as a URL;
        - a file that ends in .csv, with the column ``path``;
        - a file that ends in .parquet, with a column of encoded images or the column ``path``;
        - a file that ends in .tar, .tar.gz or .tgz, with images as WebDataset writes them;
        - a pattern such as ``photos/*.jpg`` or ``s3://bucket/shard-*.tar``;
        - a sequence of paths or URLs of images, or of tar or of Parquet files.
    shard_rows : int
        Largest number of images in a shard. No shard lies in two tar or Parquet files.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or no image.
    ImageError
        If a table has no column of images.

    Examples
    --------
    >>> source = open_source(["a.png", "b.png", "c.png"], 2)
    >>> [shard.n_rows for shard in source.shards]
    [2, 1]
    """
    if not isinstance(source, str | os.PathLike):
        return _of_sequence(source, shard_rows)
    name = os.fspath(source)
    lower = name.lower()
    if is_glob(name):
        return _of_files(name, list_files(name), shard_rows)
    if lower.endswith(PACKED):
        _check_there(name)
        return _of_files(name, [name], shard_rows)
    if lower.endswith(".csv"):
        _check_there(name)
        with open_file(name) as opened:
            table = parse_image_table(opened.read(), name)
        return source_of_paths(name, table.paths.tolist(), shard_rows)
    if not is_remote(name) and Path(name).is_dir():
        packed = sorted(str(file) for file in Path(name).iterdir() if _is_packed(file))
        return _of_files(name, packed or list_files(name), shard_rows)
    _check_there(name)
    if not is_remote(name):
        return source_of_paths(name, [name], shard_rows)
    return _of_files(name, list_files(name), shard_rows)


def _of_sequence(source: Iterable[object], shard_rows: int) -> Source:
    paths = []
    for row, path in enumerate(source):
        if not isinstance(path, str | os.PathLike):
            raise TypeError(
                f"row {row} of the source is a {type(path).__name__}, not a path. Batch inference reads "
                "images from files; for images in memory call the model itself."
            )
        paths.append(os.fspath(path))
    if not paths:
        raise ImageError("the source holds no image: it is empty.")
    return _of_files(f"{len(paths)} files", [str(path) for path in paths], shard_rows)


def _of_files(name: str, files: list[str], shard_rows: int) -> Source:
    if all(file.lower().endswith(TARS) for file in files):
        return source_of_tars(name, files, shard_rows)
    if all(file.lower().endswith(PARQUET) for file in files):
        needs_pyarrow(f"the source {name!r}")
        return source_of_parquet(name, files, shard_rows)
    return source_of_paths(name, files, shard_rows)


def _is_packed(file: Path) -> bool:
    return file.is_file() and file.name.lower().endswith(PACKED)


def _check_there(name: str) -> None:
    if not is_remote(name) and not Path(name).exists():
        raise FileNotFoundError(f"the source {name!r} does not exist. Check the path.")
