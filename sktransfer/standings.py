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

_SIMPLE_HEADS = ("logistic regression", "SVM", "random forest")  # on the same features
_AS_GOOD = 0.01  # of the mean score
_QUANTILE = 1.96  # of the intervals
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
    """Choose the candidate to take: the simplest of those that are as good as the best.

    Of the ties whose mean is at most .01 lower than the best, the simplest strategy, and then the quickest
    to fit. Of classifiers on the same features the linear one, or else the SVM, is taken already if its
    mean is within one standard error of the best (Breiman, Friedman, Olshen and Stone, "Classification and
    Regression Trees", 1984, section 3.4.3): with few images the best of several heads is best by luck.

    Parameters
    ----------
    results : DataFrame
        Results of a comparison.
    """
    rows = results[results["candidate"].isin(ties(results))]
    if not {"strategy", "fit_seconds"} <= set(rows.columns):
        return str(rows["candidate"].iloc[0])
    rows = rows.assign(
        simplicity=rows["strategy"].map(SIMPLE_FIRST.index), head=rows["candidate"].map(_head)
    )
    order = ["simplicity", "head", "fit_seconds"]
    best = rows["score_mean"].iloc[0]
    near = rows[rows["score_mean"] >= best - _AS_GOOD].sort_values(order, kind="stable")
    taken = near.iloc[0]
    low, high = interval_of_record({str(k): v for k, v in results.iloc[0].items()})
    simpler = rows[
        (rows["strategy"] == taken["strategy"])
        & (rows["head"] < taken["head"])
        & (rows["score_mean"] >= best - (high - low) / 2 / _QUANTILE)
    ].sort_values(order, kind="stable")
    return str((taken if simpler.empty else simpler.iloc[0])["candidate"])


def _head(candidate: str) -> int:
    """Rank the classifier that a ready-made candidate is named after by its simplicity."""
    name = str(candidate).rpartition(" + ")[2]
    return _SIMPLE_HEADS.index(name) if name in _SIMPLE_HEADS else 0


def interval_of_record(record: Mapping[str, Any]) -> tuple[float, float]:
    """Return the 95 % interval of a row, or else its mean less and plus the folds' standard deviation."""
    low, high = (float(record.get(name, math.nan)) for name in ("score_low", "score_high"))
    if math.isfinite(low) and math.isfinite(high):
        return low, high
    mean, std = float(record["score_mean"]), float(record.get("score_std", math.nan))
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
