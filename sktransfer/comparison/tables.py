"""The tables of a comparison, made of its fits."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.dummy import DummyClassifier

from sktransfer.comparison.baseline import LARGEST_CLASS
from sktransfer.comparison.candidates import strategy_of
from sktransfer.comparison.certainty import interval_of, optimism_of
from sktransfer.comparison.grid_fit import best_setting
from sktransfer.comparison.significance import corrected_paired_ttest, holm

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from sktransfer.comparison.candidates import Candidate
    from sktransfer.comparison.fit import Fit, Study
    from sktransfer.comparison.grid_fit import GridFits
    from sktransfer.comparison.prefetch import Pass

__all__ = ["Tables", "tabulate"]

_OF_FEATURES = ("features", "unlabelled")  # strategies that need the one pass


class Tables(NamedTuple):
    """The tables of a comparison, as in :class:`~sktransfer.comparison.StrategyComparison`."""

    results: pd.DataFrame
    fold_scores: pd.DataFrame
    fits: pd.DataFrame
    predictions: pd.DataFrame
    mistakes: pd.DataFrame
    optimism: float


def tabulate(
    candidates: Mapping[str, Candidate],
    found: Mapping[str, GridFits],
    study: Study,
    passed: Pass,
) -> Tables:
    """Make the tables of a comparison.

    Parameters
    ----------
    candidates : mapping of str to Candidate
        Candidates by their names.
    found : mapping of str to GridFits
        Fits of those that were begun.
    study : Study
        Images and folds on which they were made.
    passed : Pass
        Cost of the one pass, whose memory counts for those that use features.
    """
    import pandas as pd

    n_folds = len(study.folds)
    best = {
        name: best_setting(of_one.fits) if of_one.fits else [] for name, of_one in found.items()
    }
    scores = {name: _by_fold(chosen, n_folds) for name, chosen in best.items()}
    order = _best_first(candidates, found, scores)
    whole = {name: scores[name] for name in order if not found[name].note}
    p_values = _p_values(order, whole, study)
    rows = []
    for name, p_value in zip(order, p_values, strict=True):
        chosen, fits = best[name], found[name].fits
        low, high = interval_of(chosen, study)
        params = dict(chosen[0].params) if chosen else {}
        strategy = (
            "largest class"
            if _is_blind(candidates, name)
            else strategy_of(clone(candidates[name].estimator).set_params(**params))
        )
        peak = max((fit.peak_memory_bytes for fit in chosen), default=float("nan"))
        rows.append(
            {
                "candidate": name,
                "strategy": strategy,
                "best_params": params,
                "score_mean": _mean(fit.score for fit in chosen),
                "score_std": float(np.std([fit.score for fit in chosen])) if chosen else np.nan,
                "score_low": low,
                "score_high": high,
                "p_value": p_value,
                "n_settings": len({fit.setting for fit in fits}),
                "fit_seconds": _mean(fit.fit_seconds for fit in chosen),
                "predict_seconds": _mean(fit.predict_seconds for fit in chosen),
                "search_seconds": float(np.nansum([fit.wall_seconds for fit in fits])),
                "peak_memory_bytes": float(
                    max(peak, passed.peak_memory_bytes) if strategy in _OF_FEATURES else peak
                ),
                "size_bytes": _mean(fit.size_bytes for fit in chosen),
                "note": found[name].note,
                "error": next((_said(fit) for fit in chosen if fit.error is not None), ""),
            }
        )
    fold_scores = pd.DataFrame(
        {name: scores[name] for name in order}, index=pd.RangeIndex(n_folds, name="fold")
    )
    every = [
        {"candidate": name, **vars(fit), "error": _said(fit)}
        for name in order
        for fit in found[name].fits
    ]
    of_images = ["predicted", "confidence"]
    settings = [
        list(fits)
        for name in order
        if not _is_blind(candidates, name)
        for _, fits in groupby(found[name].fits, key=lambda fit: fit.setting)
    ]
    return Tables(
        results=pd.DataFrame(rows),
        fold_scores=fold_scores,
        fits=pd.DataFrame(every).drop(columns=of_images, errors="ignore"),
        predictions=_predictions({name: best[name] for name in order}, study),
        mistakes=_mistakes(best[order[0]] if order else [], study),
        optimism=optimism_of([fits for fits in settings if len(fits) == n_folds], study),
    )


def _p_values(
    order: Sequence[str], scores: Mapping[str, NDArray[np.float64]], study: Study
) -> NDArray[np.float64]:
    """Test every candidate against the best, corrected for their number.

    Those that were stopped or left out have none. Where several have the same highest mean, each is
    tested against all of these and has the largest p-value, so that it does not matter which of them
    comes first.
    """
    n_train, n_test = study.mean_sizes
    found = np.full(len(order), np.nan)
    if study.y_target is not None or not order or order[0] not in scores:
        return found
    top = scores[order[0]].mean()
    leading = [name for name in scores if scores[name].mean() == top]
    for number, name in enumerate(order[1:], 1):
        for leader in leading if name in scores else []:
            both = ~np.isnan(scores[name]) & ~np.isnan(scores[leader])
            if both.any() and name != leader:
                difference = scores[leader][both] - scores[name][both]
                p_value = corrected_paired_ttest(difference, n_train=n_train, n_test=n_test)
                found[number] = np.fmax(found[number], p_value)
    return holm(found)


def _best_first(
    candidates: Mapping[str, Candidate],
    found: Mapping[str, GridFits],
    scores: Mapping[str, NDArray[np.float64]],
) -> list[str]:
    """Order candidates: the best of those that are complete, the others by their mean, blind answers last.

    Stable: of equals, the first.
    """
    means = {
        name: _mean(value for value in of_one if not np.isnan(value))
        if not _failed(found[name])
        else np.nan
        for name, of_one in scores.items()
    }
    seeing = [name for name in found if not _is_blind(candidates, name)]
    order = sorted(seeing, key=lambda name: -np.nan_to_num(means[name], nan=-np.inf))
    complete = [name for name in order if not found[name].note and not np.isnan(means[name])]
    if complete:
        order.remove(complete[0])
        order.insert(0, complete[0])
    blind = [name for name in found if _is_blind(candidates, name) and not np.isnan(means[name])]
    return order + blind


def _failed(found: GridFits) -> bool:
    return bool(found.fits) and any(fit.error is not None for fit in best_setting(found.fits))


def _by_fold(fits: Sequence[Fit], n_folds: int) -> NDArray[np.float64]:
    scores = np.full(n_folds, np.nan)
    for fit in fits:
        scores[fit.fold] = fit.score
    return scores


def _predictions(best: Mapping[str, Sequence[Fit]], study: Study) -> pd.DataFrame:
    """List what the best settings predict for images that they have not seen."""
    import pandas as pd

    predicted = {
        name: {fit.fold: fit.predicted for fit in fits if fit.predicted is not None}
        for name, fits in best.items()
    }
    if study.classes is None or not any(predicted.values()):
        return pd.DataFrame({"fold": [], "image": [], "label": []})
    classes = np.array(
        [*study.classes.tolist(), None], dtype=object
    )  # -1 is the last: none of them
    labels = study.y if study.y_target is None else study.y_target
    parts = []
    for fold, (_, test) in enumerate(study.folds):
        rows = test if study.y_target is None else np.arange(len(labels))
        columns = {
            name: classes[of_one[fold]] if fold in of_one else np.full(len(rows), None)
            for name, of_one in predicted.items()
        }
        parts.append(pd.DataFrame({"fold": fold, "image": rows, "label": labels[rows], **columns}))
    return pd.concat(parts, ignore_index=True)


def _mistakes(fits: Sequence[Fit], study: Study) -> pd.DataFrame:
    """List the images that a setting gets wrong without having seen them, surest first."""
    import pandas as pd

    columns = ["image", "fold", "label", "predicted", "confidence"]
    if study.classes is None:
        return pd.DataFrame({name: [] for name in columns})
    classes = np.array([*study.classes.tolist(), None], dtype=object)
    labels = study.y if study.y_target is None else study.y_target
    parts = [pd.DataFrame({name: [] for name in columns})]
    for fit in fits:
        if fit.predicted is not None:
            rows = study.folds[fit.fold][1] if study.y_target is None else np.arange(len(labels))
            wrong = classes[fit.predicted] != labels[rows].astype(object)
            sure = np.nan if fit.confidence is None else fit.confidence[wrong]
            values = (
                rows[wrong],
                fit.fold,
                labels[rows][wrong],
                classes[fit.predicted][wrong],
                sure,
            )
            parts.append(pd.DataFrame(dict(zip(columns, values, strict=True))))
    table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    return table.sort_values("confidence", ascending=False, ignore_index=True, kind="stable")


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return float(np.mean(found)) if found else float("nan")


def _is_blind(candidates: Mapping[str, Candidate], name: str) -> bool:
    return name == LARGEST_CLASS and isinstance(candidates[name].estimator, DummyClassifier)


def _said(fit: Fit) -> str:
    return "" if fit.error is None else f"{type(fit.error).__name__}: {fit.error}"
