"""What the table of a comparison says: scores with their intervals, ties, and which candidate to take."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

__all__ = [
    "SIGNIFICANT",
    "SIMPLE_FIRST",
    "advised",
    "interval_of_record",
    "score_of_record",
    "ties",
]

SIGNIFICANT = 0.05
"""Below this p-value, a candidate is called worse."""

SIMPLE_FIRST = (
    "raw pixels",
    "features",
    "unlabelled",
    "other",
    "frozen",
    "partial",
    "distilled",
    "adaptation",
    "scratch",
    "full",
)
"""Strategies from the simplest and cheapest on."""

_AS_GOOD = 0.01  # of the mean score
_BLIND = "largest class"


def ties(results: pd.DataFrame) -> list[str]:
    """List the candidates that are not shown to be worse than the best, it first.

    Parameters
    ----------
    results : DataFrame
        Results of a comparison. Candidates that were stopped, left out or failed are no ties, nor is the answer
        that looks at no image.
    """
    best, others = results.iloc[0], results.iloc[1:]
    whole = others["score_mean"].notna()
    for column, value in (("note", ""), ("error", "")):
        if column in others.columns:
            whole &= others[column] == value
    if "strategy" in others.columns:
        whole &= others["strategy"] != _BLIND
    tied = others[whole & (others["p_value"] >= SIGNIFICANT)]
    return [str(best["candidate"]), *map(str, tied["candidate"])]


def advised(results: pd.DataFrame) -> str:
    """Choose the simplest and then the quickest of the ties whose mean is hardly lower than the best.

    Parameters
    ----------
    results : DataFrame
        Results of a comparison.
    """
    rows = results[results["candidate"].isin(ties(results))]
    near = rows[rows["score_mean"] >= rows["score_mean"].iloc[0] - _AS_GOOD]
    if not {"strategy", "fit_seconds"} <= set(near.columns):
        return str(rows["candidate"].iloc[0])
    simplicity = near["strategy"].map(SIMPLE_FIRST.index)
    order = near.assign(simplicity=simplicity).sort_values(
        ["simplicity", "fit_seconds"], kind="stable"
    )
    return str(order["candidate"].iloc[0])


def interval_of_record(record: Mapping[str, Any]) -> tuple[float, float]:
    """Return the 95 % interval of a row, or else its mean less and plus the folds' standard deviation."""
    low, high = (float(record.get(name, math.nan)) for name in ("score_low", "score_high"))
    if math.isfinite(low) and math.isfinite(high):
        return low, high
    mean, std = float(record["score_mean"]), float(record["score_std"])
    return mean - std, mean + std


def score_of_record(record: Mapping[str, Any]) -> str:
    """Write the score of a row with its interval, or else with the folds' standard deviation.

    Examples
    --------
    >>> score_of_record({"score_mean": 0.9875, "score_std": 0.02, "score_low": 0.93, "score_high": 1.0})
    '0.988 (0.93 to 1.00)'
    >>> score_of_record({"score_mean": 0.9875, "score_std": 0.02})
    '0.988 ± 0.020'
    """
    mean = f"{record['score_mean']:.3f}"
    if math.isfinite(float(record.get("score_low", math.nan))):
        return f"{mean} ({record['score_low']:.2f} to {record['score_high']:.2f})"
    return f"{mean} ± {record['score_std']:.3f}"
