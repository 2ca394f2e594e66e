"""Columns of pandas, polars and Arrow as arrays, without a dependency on any of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from sktransfer.exceptions import ImageError

__all__ = ["column_names", "column_values"]


def column_names(X: Any) -> list[str] | None:
    """Return the names of the columns of a table, or None if `X` is no table.

    Examples
    --------
    >>> import pandas as pd
    >>> column_names(pd.DataFrame({"path": ["1.jpg"]})), column_names(["1.jpg"])
    (['path'], None)
    """
    if hasattr(X, "column_names"):  # of Arrow
        return [str(name) for name in X.column_names]
    is_table = hasattr(X, "to_numpy") and hasattr(X, "columns")
    return [str(name) for name in X.columns] if is_table else None


def column_values(X: object) -> Any:
    """Turn a column or a table into an array; leave everything else as it is.

    Examples
    --------
    >>> import pandas as pd
    >>> column_values(pd.Series(["1.jpg", "2.jpg"], dtype=object)).tolist()
    ['1.jpg', '2.jpg']
    """
    if hasattr(X, "to_pylist"):  # Arrow: a column, or the one column of a table
        return _of_arrow(X)
    return X.to_numpy() if hasattr(X, "to_numpy") else X


def _of_arrow(X: Any) -> Any:
    names = column_names(X)
    if names is None:
        return _as_array(X.to_pylist())
    columns = [X.column(position).to_pylist() for position in range(len(names))]
    if len(names) == 1:
        return _as_array(columns[0])
    if any(isinstance(value, str | bytes) for column in columns for value in column[:1]):
        raise ImageError(
            f"X has {len(names)} columns ({', '.join(map(repr, names))}), and only one can hold "
            "the images. Select the column that holds them."
        )
    return np.array(columns).T


def _as_array(values: list[object]) -> object:
    """Keep texts and bytes one by one: NumPy's own would lose the zeros at the end of bytes."""
    if any(isinstance(value, str | bytes) or value is None for value in values):
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column
    return values
