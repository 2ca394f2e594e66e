"""Parquet files: a column of encoded images, or a column of paths."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from sktransfer.exceptions import ImageError
from sktransfer.inference.sources.paths import source_of_paths
from sktransfer.inference.sources.remote import open_file, signature_of, size_of
from sktransfer.inference.sources.shards import Row, Shard, Source, digest_of, ranges
from sktransfer.tables import beside

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["ParquetShard", "needs_pyarrow", "source_of_parquet"]

_PATH = "path"


@dataclass(frozen=True)
class ParquetShard(Shard):
    """Rows of one Parquet file with a column of encoded images.

    Parameters
    ----------
    file : str
        The file.
    first_in_file : int
        First row, counted in the file.
    column : str
        Column of bytes, or of structs with a field ``bytes`` and perhaps ``path``.
    named : bool
        Whether a column ``path`` names the images.
    """

    file: str
    first_in_file: int
    column: str
    named: bool

    def read(self, at_once: int) -> Iterator[list[Row]]:
        """Read the row groups that hold the rows."""
        with open_file(self.file) as opened:
            table = _parquet(opened)
            groups, skipped = _groups(table.metadata, self.first_in_file, self.n_rows)
            columns = [self.column, *([_PATH] if self.named else [])]
            rows: list[Row] = []
            number, end = self.first_in_file - skipped, self.first_in_file + self.n_rows
            for batch in table.iter_batches(at_once, row_groups=groups, columns=columns):
                for record in batch.to_pylist():
                    if self.first_in_file <= number < end:
                        rows.append(_row(record, self.column, f"{self.file}#{number}"))
                    number += 1
                    if len(rows) == at_once:
                        yield rows
                        rows = []
            if rows:
                yield rows


def source_of_parquet(name: str, files: Sequence[str], shard_rows: int) -> Source:
    """Cut Parquet files into shards, none of which lies in two files.

    Raises
    ------
    ImageError
        If a file has neither a column of bytes nor a column ``path``.
    """
    shards: list[Shard] = []
    words: list[object] = []
    paths: list[str] = []
    n_rows = 0
    for file in files:
        with open_file(file) as opened:
            table = _parquet(opened)
            column = _column_of_bytes(table.schema_arrow)
            names = table.schema_arrow.names
            if column is None and _PATH not in names:
                raise ImageError(
                    f"the file {file!r} has neither a column of encoded images nor a column 'path'; its "
                    f"columns are {', '.join(map(repr, names))}. Name the column of paths 'path'."
                )
            if column is None:
                given = table.read([_PATH]).column(_PATH).to_pylist()
                if None in given:
                    raise ImageError(
                        f"row {given.index(None)} of {file!r} has no path. Fill it in or remove the row."
                    )
                paths += [beside(file, str(path)) for path in given]
                continue
            in_file = table.metadata.num_rows
        words += [signature_of(file), size_of(file), in_file]
        for first, some in ranges(in_file, shard_rows):
            start = n_rows + first
            shards.append(
                ParquetShard(len(shards), start, some, file, first, column, _PATH in names)
            )
        n_rows += in_file
    if paths and shards:
        raise ImageError(
            f"some files of {name!r} hold encoded images and some paths. Run them one after the other."
        )
    return (
        source_of_paths(name, paths, shard_rows)
        if paths
        else Source(name, tuple(shards), digest_of(words))
    )


def needs_pyarrow(what: str) -> None:
    """Refuse to go on without pyarrow, with the command that installs it."""
    if find_spec("pyarrow") is None:
        raise ImportError(
            f"{what} needs the package pyarrow. Install it with: pip install pyarrow."
        )


def _parquet(opened: Any) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(opened)


def _column_of_bytes(schema: Any) -> str | None:
    """Find the first column of bytes, or of structs with a field of them."""
    import pyarrow as pa

    def is_bytes(kind: Any) -> bool:
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    for field in schema:
        kind = field.type
        if is_bytes(kind):
            return str(field.name)
        if pa.types.is_struct(kind) and "bytes" in [inner.name for inner in kind]:
            return str(field.name)
    return None


def _groups(metadata: Any, first: int, n_rows: int) -> tuple[list[int], int]:
    """Find the row groups that hold some rows, and how many rows come before these in them."""
    groups: list[int] = []
    skipped = start = 0
    for group in range(metadata.num_row_groups):
        end = start + metadata.row_group(group).num_rows
        if end > first and start < first + n_rows:
            if not groups:
                skipped = first - start
            groups.append(group)
        start = end
    return groups, skipped


def _row(record: dict[str, Any], column: str, place: str) -> Row:
    content, name = record[column], record.get(_PATH)
    if isinstance(content, dict):
        content, name = content["bytes"], name or content.get("path")
    if content is None:
        return Row(str(name or place), None, "has no content in the table")
    return Row(str(name or place), content)
