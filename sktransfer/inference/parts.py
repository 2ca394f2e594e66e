"""Parts: one Parquet file a shard, written whole or not at all."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sktransfer.writing import whole_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sktransfer.inference.model import Answers, ServedModel
    from sktransfer.inference.sources import Row, Shard

__all__ = ["PartRecord", "name_of_part", "read_record", "write_part"]

_RECORD = b"sktransfer"


@dataclass(frozen=True)
class PartRecord:
    """Figures of one part, kept in its file.

    Parameters
    ----------
    rows : int
        Number of rows.
    seconds : float
        Time from the first row read to the file written.
    threads, workers : int
        Threads of the worker, and number of workers of the run that computed it.
    failed : list of int
        Rows without a result, counted through the source.
    size : int
        Bytes of the file.
    """

    rows: int
    seconds: float
    threads: int
    workers: int
    failed: list[int]
    size: int = 0


def name_of_part(shard: Shard, model: str, source: str) -> str:
    """Name the part of a shard by its number, and by the digests of model and source."""
    return f"part-{shard.number:07d}-{model[:8]}-{source[:8]}.parquet"


def write_part(
    file: Path,
    shard: Shard,
    served: ServedModel,
    *,
    at_once: int,
    on_error: str,
    threads: int,
    workers: int,
) -> None:
    """Compute the rows of a shard and write them: path, results, error."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    began = time.perf_counter()
    tables, failed, start = [], [], shard.first
    for rows in shard.read(at_once):
        answers = served.answer(rows, on_error)
        failed += [start + row for row, error in enumerate(answers.errors) if error is not None]
        start += len(rows)
        tables.append(_as_table(rows, answers, served.columns))
    if start - shard.first != shard.n_rows:
        raise ValueError(
            f"shard {shard.number} has {start - shard.first} rows and had {shard.n_rows} when the run began: "
            "the source has changed. Write to another folder."
        )
    table = pa.concat_tables(tables)
    record = {
        "rows": shard.n_rows,
        "seconds": time.perf_counter() - began,
        "threads": threads,
        "workers": workers,
        "failed": failed,
    }
    metadata = {**(table.schema.metadata or {}), _RECORD: json.dumps(record).encode()}
    with whole_file(file) as unfinished:
        pq.write_table(table.replace_schema_metadata(metadata), unfinished)


def read_record(file: Path) -> PartRecord:
    """Read the figures of a part."""
    import pyarrow.parquet as pq

    metadata: dict[bytes, Any] = pq.read_schema(file).metadata
    return PartRecord(**json.loads(metadata[_RECORD]), size=file.stat().st_size)


def _as_table(rows: Sequence[Row], answers: Answers, names: Sequence[str]) -> Any:
    import pyarrow as pa

    kind = answers.values.dtype
    arrow = pa.string() if kind.kind in "UO" else pa.from_numpy_dtype(kind)
    columns: dict[str, Any] = {"path": pa.array([row.name for row in rows], pa.string())}
    for name, column in zip(names, answers.columns(), strict=True):
        columns[name] = pa.array(column, arrow, from_pandas=False)
    columns["error"] = pa.array(answers.errors, pa.string())
    return pa.table(columns)
