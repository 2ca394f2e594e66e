"""What images without labels gained in a comparison, in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sktransfer.comparison.significance import corrected_paired_ttest
from sktransfer.formatting import as_p_value, counted
from sktransfer.standings import SIGNIFICANT

if TYPE_CHECKING:
    import pandas as pd

    from sktransfer.comparison.fit import Study
    from sktransfer.comparison.tables import Tables

__all__ = ["unlabelled_gain"]

_WITH = ("unlabelled", "distilled")
_OTHERS_THAT_DO_NOT_COUNT = (*_WITH, "largest class")


def unlabelled_gain(tables: Tables, study: Study) -> str:
    """Say whether unlabelled images helped: the best candidate that used them against the best that did not.

    Parameters
    ----------
    tables : Tables
        Tables of the comparison.
    study : Study
        Its images and folds.

    Returns
    -------
    str
        A sentence or two; "" if no candidate uses unlabelled images.
    """
    results = tables.results
    using = results[results["strategy"].isin(_WITH)]
    if study.X_unlabeled is None or using.empty:
        return ""
    images = f"The {counted(len(study.X_unlabeled), 'image')} without labels"
    others = _complete(results[~results["strategy"].isin(_OTHERS_THAT_DO_NOT_COUNT)])
    complete = _complete(using)
    if complete.empty and (using["note"] != "").all():
        return f"{images} did not help: no candidate that used them could reach the best."
    if complete.empty or others.empty:
        return f"Whether the images without labels helped cannot be told: {_missing(complete)}."
    with_them, without = complete.iloc[0], others.iloc[0]
    gain = float(with_them["score_mean"] - without["score_mean"])
    p_value = _p_value(
        tables.fold_scores, str(with_them["candidate"]), str(without["candidate"]), study
    )
    if gain == 0:
        verdict = f"{images} made no difference"
    elif gain < 0:
        verdict = f"{images} did not help"
    elif p_value < SIGNIFICANT:
        verdict = f"{images} helped"
    else:
        verdict = f"Whether the {images[4:]} helped is not shown"
    shown = "" if np.isnan(p_value) else f", p {_with_sign(p_value)}"
    return (
        f"{verdict}: {with_them['candidate']} scores {_signed(gain)} against the best without them, "
        f"{without['candidate']} ({without['score_mean']:.3f}{shown})."
    )


def _complete(rows: pd.DataFrame) -> pd.DataFrame:
    """Leave the candidates that were fitted on every fold."""
    return rows[(rows["note"] == "") & (rows["error"] == "") & rows["score_mean"].notna()]


def _missing(complete: pd.DataFrame) -> str:
    return (
        "no candidate that uses them was fitted on every fold"
        if complete.empty
        else "no candidate without them was fitted on every fold"
    )


def _p_value(fold_scores: pd.DataFrame, one: str, other: str, study: Study) -> float:
    """Test the difference of two candidates; NaN where all folds were scored on the same images."""
    if study.y_target is not None:
        return float("nan")
    n_train, n_test = study.mean_sizes
    difference = fold_scores[one].to_numpy() - fold_scores[other].to_numpy()
    return corrected_paired_ttest(difference, n_train=n_train, n_test=n_test)


def _with_sign(p_value: float) -> str:
    shown = as_p_value(p_value)
    return shown if shown.startswith("<") else f"= {shown}"


def _signed(change: float) -> str:
    return f"{change:+.3f}".replace("-", "−")
