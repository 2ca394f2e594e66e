"""A run of batch inference: its parts, its table, and what more images would take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sktransfer.inference.parts import PartRecord, read_record

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

__all__ = ["Estimate", "InferenceRun"]


@dataclass(frozen=True)
class Estimate:
    """What a number of images would take, judged by a run that is done.

    Parameters
    ----------
    n_rows : int
        Number of images.
    hours : float
        Time by the clock with as many workers as the run had.
    core_hours : float
        Hours of one core.
    gigabytes : float
        Size of the parts, in 10**9 bytes.
    """

    n_rows: int
    hours: float
    core_hours: float
    gigabytes: float

    def __str__(self) -> str:
        """Put it in words."""
        return (
            f"{self.n_rows:,} images: {self.hours:,.2f} hours, {self.core_hours:,.2f} core-hours, "
            f"{self.gigabytes:,.3f} GB of results"
        )


class InferenceRun:
    """The result of :func:`~sktransfer.batch_inference`.

    Parameters
    ----------
    out : Path
        Folder of the parts.
    parts : list of Path
        Parts in the order of the source.
    n_computed : int
        Number of parts that this call computed; the others were there.
    seconds : float
        Time of the call.

    Attributes
    ----------
    n_rows_ : int
        Number of images.
    failed_ : list of int
        Rows of images that could not be read; `table` has the reasons.
    seconds_ : float
        Time of the call, in seconds; of a run that was continued, only of its last call.

    See Also
    --------
    batch_inference : Makes it.

    Examples
    --------
    >>> from sktransfer import batch_inference
    >>> run = batch_inference("model.joblib", "photos", "results")  # doctest: +SKIP
    >>> run.table()["prediction"].value_counts(), run.failed_  # doctest: +SKIP
    >>> print(run.estimate(1_000_000_000))  # doctest: +SKIP
    """

    def __init__(self, out: Path, parts: list[Path], n_computed: int, seconds: float) -> None:
        self.out, self.parts, self.n_computed = out, parts, n_computed
        self.seconds_ = seconds
        self._records: list[PartRecord] = [read_record(part) for part in parts]
        self.n_rows_ = sum(record.rows for record in self._records)
        self.failed_ = [row for record in self._records for row in record.failed]

    def table(self) -> pd.DataFrame:
        """Read all parts.

        Returns
        -------
        DataFrame
            A row for each image, in the order of the source: ``path``; the result, in one column
            ``prediction`` or in one for each class or feature; and ``error``, the reason where there is
            none. Whole numbers are of pandas' own type, which can be missing.
        """
        import pandas as pd
        import pyarrow as pa
        import pyarrow.parquet as pq

        tables = [pq.read_table(part) for part in self.parts]
        whole = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype()}
        table: pd.DataFrame = pa.concat_tables(tables).to_pandas(types_mapper=whole.get)
        return table

    def estimate(self, n_rows: int) -> Estimate:
        """Estimate what a number of images would take, by the time and size of the parts.

        The start of an engine and the loading of the model are left out: they are made once. Images
        are taken to be like these, and to come as fast from where they lie.

        Parameters
        ----------
        n_rows : int
            Number of images.

        Returns
        -------
        Estimate
            Hours, core-hours and gigabytes.
        """
        share = n_rows / self.n_rows_
        seconds = sum(record.seconds / record.workers for record in self._records) * share
        core_seconds = sum(record.seconds * record.threads for record in self._records) * share
        size = sum(record.size for record in self._records) * share
        return Estimate(n_rows, seconds / 3600, core_seconds / 3600, size / 1e9)

    def __repr__(self) -> str:
        """Say in a line what there is."""
        return (
            f"InferenceRun({str(self.out)!r}: {self.n_rows_} rows in {len(self.parts)} parts, "
            f"{len(self.failed_)} failed)"
        )
