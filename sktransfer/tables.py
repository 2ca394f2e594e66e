"""A CSV file of paths and labels -> image paths, labels and groups."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from sktransfer.exceptions import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["ImageTable", "beside", "load_image_table", "parse_image_table"]

_NAMES: Final = {
    "path": ("path", "filename", "file_name", "filepath", "file", "image"),
    "label": ("label", "class"),
    "group": ("group",),
}
"""Names of a column by what it holds; the first that a table has counts."""


class ImageTable(NamedTuple):
    """The columns of a table of images that this package knows."""

    paths: NDArray[np.object_]
    labels: NDArray[np.str_] | None
    groups: NDArray[np.str_] | None


def load_image_table(
    file: str | os.PathLike[str],
    *,
    path_column: str | None = None,
    label_column: str | None = None,
) -> ImageTable:
    r"""Read a CSV file whose first line names its columns.

    Only reads the table: no image is opened.

    Parameters
    ----------
    file : str or path-like
        In UTF-8, with commas, semicolons or tabs between its columns. One is called ``path`` (or
        ``filename``, ``file``, ``image``), and if there are any, ``label`` (or ``class``) and
        ``group``, in capitals or not, in any order and among others. Paths that are not absolute,
        nor URLs, start where the file lies. Images of one group, such as several photographs of one
        animal, belong in the same part of a split.
    path_column, label_column : str or None, default=None
        Names of these columns, where they are called otherwise, in capitals or not.

    Returns
    -------
    ImageTable
        paths : ndarray of shape (n_images,), dtype object
            Paths as str, in the order of the file; an `X` for every estimator of this package.
        labels, groups : ndarray of shape (n_images,), dtype str, or None
            None if there is no such column.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImageError
        If the file has no column ``path`` or none of a name that is given, no rows, an empty cell, or
        is no table.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "images.csv")
    ...     _ = file.write_text("path,label\n1.jpg,ant\n2.jpg,bee\n")
    ...     table = load_image_table(file)
    >>> [Path(path).name for path in table.paths], table.labels.tolist(), table.groups
    (['1.jpg', '2.jpg'], ['ant', 'bee'], None)
    """
    with Path(file).open("rb") as opened:
        content = opened.read()
    names = {"path": path_column, "label": label_column}
    return parse_image_table(content, os.fspath(file), {k: v for k, v in names.items() if v})


def parse_image_table(
    content: bytes, file: str, called: Mapping[str, str] | None = None
) -> ImageTable:
    """Read the content of a CSV file; see `load_image_table`.

    Parameters
    ----------
    content : bytes
        Bytes of the file.
    file : str
        Path or URL of the file, where paths that are not absolute start.
    called : mapping of str to str or None, default=None
        Names of the columns "path" and "label", where the user has said them.
    """
    called = called or {}
    try:
        lines = io.StringIO(content.decode("utf-8-sig"), newline="")
        reader = csv.DictReader(lines, delimiter=_delimiter(lines.readline()))
        lines.seek(0)
        columns = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as exc:
        raise ImageError(f"the file {file!r} is no table in CSV and UTF-8 ({exc}).") from exc
    found = {
        role: _named(file, columns, (called[role],) if role in called else names)
        for role, names in _NAMES.items()
    }
    for role, name in called.items():
        if found[role] is None:
            raise ImageError(f"the table {file!r} has no column {name!r}; {_shown(columns)}.")
    path = found["path"]
    if path is None:
        raise ImageError(
            f"the table {file!r} has no column 'path'; {_shown(columns)}. Name the columns in its first "
            "line: path,label; or tell which holds the paths (path_column, or --path-column)."
        )
    if not rows:
        raise ImageError(f"the table {file!r} has no rows.")
    paths = [beside(file, name) for name in _column(file, rows, path)]
    labels, groups = (
        None if name is None else np.array(_column(file, rows, name))
        for name in (found["label"], found["group"])
    )
    return ImageTable(np.array(paths, dtype=object), labels, groups)


def beside(file: str, path: str) -> str:
    """Let a path start where a file lies, unless it is absolute or a URL.

    Examples
    --------
    >>> beside("s3://bucket/table.csv", "a.jpg"), beside("s3://bucket/table.csv", "s3://other/b.jpg")
    ('s3://bucket/a.jpg', 's3://other/b.jpg')
    """
    if "://" in path:
        return path
    if "://" in file:
        return path if path.startswith("/") else f"{file.rsplit('/', 1)[0]}/{path}"
    return str(Path(file).parent / path)


def _delimiter(first_line: str) -> str:
    """Find what stands between the columns: the most frequent of three signs; a comma if there is none."""
    return max(",;\t", key=first_line.count)


def _shown(columns: list[str]) -> str:
    return f"its columns are {', '.join(map(repr, columns)) or 'none'}"


def _named(file: str, columns: list[str], names: Sequence[str]) -> str | None:
    """Find the column that has the first of some names; None if none has any.

    Raises
    ------
    ImageError
        If two columns have this name.
    """
    for name in names:
        matching = [column for column in columns if column.lower() == name.lower()]
        if len(matching) > 1:
            raise ImageError(
                f"the table {file!r} has {len(matching)} columns {name!r}, and only one "
                "can be read. Rename or remove the others."
            )
        if matching:
            return matching[0]
    return None


def _column(file: str, rows: list[dict[str, str]], name: str) -> list[str]:
    values = [(row[name] or "").strip() for row in rows]
    if "" in values:
        raise ImageError(
            f"row {values.index('') + 1} of the table {file!r} has no {name}. Fill in the cell "
            "or remove the row."
        )
    return values
