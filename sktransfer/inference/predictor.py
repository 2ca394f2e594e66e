"""`BatchPredictor`: a model as a function of batches, for data sets that an engine already holds."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from sktransfer.inference.model import ServedModel, digest_of_file, load_served
from sktransfer.inference.sources import Row

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BatchPredictor"]

_COLUMNS: Final = ("bytes", "image", "path")


class BatchPredictor:
    """A saved model that adds its results to batches of a table.

    For those who hold a data set of Ray, Dask or Spark already; it is loaded once a process::

        ds.map_batches(BatchPredictor, fn_constructor_args=["model.joblib"], concurrency=8)  # Ray
        ddf.map_partitions(BatchPredictor("model.joblib"))                                   # Dask
        sdf.mapInPandas(lambda batches: map(predictor, batches), schema)                      # Spark

    Parameters
    ----------
    model : str or path
        A file that joblib or :func:`~sktransfer.save_model` wrote.
    method : {"predict", "transform", "predict_proba", "decision_function"}, default="predict"
        Method of the model.
    column : str or None, default=None
        Column of images: encoded bytes, or paths. None takes ``bytes``, ``image`` or ``path``.
    on_error : {"nan", "raise"}, default="nan"
        Treatment of images that cannot be read, as in :func:`~sktransfer.batch_inference`.

    See Also
    --------
    batch_inference : From files to a folder of results.

    Examples
    --------
    >>> import pandas as pd
    >>> predictor = BatchPredictor("model.joblib")  # doctest: +SKIP
    >>> predictor(pd.DataFrame({"path": ["ant.jpg", "bee.jpg"]}))  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | PathLike[str],
        method: str = "predict",
        *,
        column: str | None = None,
        on_error: Literal["nan", "raise"] = "nan",
    ) -> None:
        if not isinstance(model, str | PathLike):
            raise TypeError(
                f"model is a {type(model).__name__}. Pass the path of a file that joblib.dump or "
                "save_model wrote, which every process loads once."
            )
        if not Path(model).is_file():
            raise FileNotFoundError(f"the model {str(model)!r} does not exist. Check the path.")
        self.model, self.method = str(Path(model).absolute()), method
        self.column, self.on_error = column, on_error
        self._digest = digest_of_file(Path(model))

    def __call__(self, batch: Any) -> Any:
        """Add columns of results, and ``error``, to a batch.

        Parameters
        ----------
        batch : DataFrame or dict of arrays
            Rows of a table.

        Returns
        -------
        DataFrame or dict of arrays
            A new one of the same kind.

        Raises
        ------
        ValueError
            If there is no column of images.
        """
        import pandas as pd

        if isinstance(batch, pd.DataFrame):
            return self._with_results(batch)
        table = pd.DataFrame({name: list(values) for name, values in batch.items()})
        found = self._with_results(table)
        added = [name for name in found.columns if name not in batch]
        return {**batch, **{name: found[name].to_numpy() for name in added}}

    def _with_results(self, table: pd.DataFrame) -> pd.DataFrame:
        served: ServedModel = load_served(self.model, self._digest, self.method)
        images = table[self._column_of(table)].tolist()
        rows = [
            Row(image if isinstance(image, str) else f"row {number}", image)
            for number, image in enumerate(images)
        ]
        answers = served.answer(rows, self.on_error)
        results: dict[str, Any] = dict(zip(served.columns, answers.columns(), strict=True))
        results["error"] = np.array(answers.errors, dtype=object)
        return table.assign(**results)

    def _column_of(self, table: pd.DataFrame) -> str:
        wanted = _COLUMNS if self.column is None else (self.column,)
        for name in wanted:
            if name in table.columns:
                return name
        raise ValueError(
            f"the batch has no column {' or '.join(map(repr, wanted))}; its columns are "
            f"{', '.join(map(repr, table.columns))}. Name the column of images by column=."
        )
