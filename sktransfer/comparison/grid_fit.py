"""One cell of a comparison: one setting of one candidate, fitted and scored on one fold.

:class:`Cell` lets GridSearchCV walk over settings and folds, in as many processes as it is told,
although each cell also measures time, memory and size, and is looked up in a journal first.
"""

from __future__ import annotations

import pickle
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import check_scoring
from sklearn.model_selection import GridSearchCV

from sktransfer.adaptation.target_rows import fit_on
from sktransfer.comparison.peak_memory import peak_memory
from sktransfer.comparison.resuming import Journal, key_of
from sktransfer.features.store import Store, open_store
from sktransfer.images.indexing import take

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sktransfer.comparison.candidates import Candidate

__all__ = ["MEASURES", "Study", "search_grid"]

MEASURES = (
    "score",
    "fit_seconds",
    "predict_seconds",
    "wall_seconds",
    "peak_memory_bytes",
    "size_bytes",
)
"""What is known of a cell; each is a column ``mean_test_...`` of ``cv_results_``."""

_UNKNOWN = -1.0  # what a size is while GridSearchCV has it, which warns of NaN


@dataclass(frozen=True, eq=False)
class Study:
    """What all cells of a comparison have in common.

    Parameters
    ----------
    X, y : images and ndarray of shape (n_images,)
        Labelled images.
    X_target : images or None
        Images of the target domain, for candidates whose `fit` takes domains.
    y_target : ndarray of shape (n_target_images,) or None
        Their labels, if they are what is scored on.
    folds : sequence of (train, test)
        Rows of `X`.
    scoring : str, callable or None
        As in GridSearchCV.
    journal : Journal or None
        Where finished cells are found and kept.
    key : str
        Digest of the images; "" without a journal.
    finished : Path or None
        A file that grows by one byte with each finished cell, for the progress bar.
    """

    X: Any
    y: NDArray[Any]
    X_target: Any
    y_target: NDArray[Any] | None
    folds: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]
    scoring: str | Callable[..., float] | None
    journal: Journal | None
    key: str
    finished: Path | None = None


class Cell(BaseEstimator):  # type: ignore[misc] # sklearn is untyped
    """An estimator whose X is the number of a fold.

    Parameters
    ----------
    estimator : estimator
        The candidate; its parameters are those of the cell.
    study : Study
        Is shared by all clones.
    """

    def __init__(self, estimator: Any, study: Study) -> None:
        self.estimator = estimator
        self.study = study

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return those of the candidate."""
        return dict(self.estimator.get_params(deep))

    def set_params(self, **params: Any) -> Cell:
        """Set those of the candidate."""
        self.estimator.set_params(**params)
        return self

    def __sklearn_clone__(self) -> Cell:
        return Cell(clone(self.estimator), self.study)

    def fit(self, X: Sequence[int], y: None = None) -> Cell:  # noqa: ARG002 - API
        """Fit and score the candidate on the fold whose number is all that X holds."""
        (fold,) = X
        self.measured_ = _measured(self.estimator, self.study, int(fold))
        return self


def search_grid(candidate: Candidate, study: Study, n_jobs: int | None) -> GridSearchCV:
    """Search a grid over the folds of a study.

    Returns
    -------
    GridSearchCV
        As if fitted with ``refit=False``, and with a ``mean_test_...`` and so on for each of
        `MEASURES`. Its estimator, folds and scoring are those of the candidate, so that it can be
        cloned and fitted as any other search.
    """
    folds = range(len(study.folds))
    search = GridSearchCV(
        Cell(candidate.estimator, study),
        candidate.param_grid,
        scoring=_read,
        cv=[([fold], [fold]) for fold in folds],
        n_jobs=n_jobs,
        refit=False,
        error_score="raise",  # an unreadable image must not become a score of NaN
    )
    search.fit(np.array(folds))
    found = search.cv_results_
    for mean in ("mean", "std"):  # of the cell's own clock, also if it was found in the journal
        found[f"{mean}_fit_time"] = found[f"{mean}_test_fit_seconds"]
        found[f"{mean}_score_time"] = found[f"{mean}_test_predict_seconds"]
    for measure in MEASURES[1:]:
        del found[f"rank_test_{measure}"]
    for name, values in found.items():
        if name.endswith("_bytes"):
            values[values == _UNKNOWN] = np.nan
    search.best_index_ = int(found["rank_test_score"].argmin())
    search.best_params_ = found["params"][search.best_index_]
    search.best_score_ = float(found["mean_test_score"][search.best_index_])
    return search.set_params(
        estimator=candidate.estimator, scoring=study.scoring, cv=list(study.folds)
    )


def _read(cell: Cell, X: Any, y: None = None) -> dict[str, float]:  # noqa: ARG001 - a scorer
    return cell.measured_


def _measured(estimator: Any, study: Study, fold: int) -> dict[str, float]:
    """Find the cell in the journal, or do the work and write it there."""
    if study.journal is None:
        result = _work(estimator, study, fold)
    else:
        train, test = study.folds[fold]
        key = key_of(
            images=study.key,
            train=train,
            test=test,
            candidate=estimator,
            scoring=study.scoring,
        )
        known = study.journal.read(key)
        if known is None or not set(MEASURES) <= set(known):
            result = _work(estimator, study, fold)
            study.journal.write(key, result)
        else:
            result = {measure: known[measure] for measure in MEASURES}
    if study.finished is not None:
        with study.finished.open("ab") as file:
            file.write(b".")
    return result


def _work(estimator: Any, study: Study, fold: int) -> dict[str, float]:
    """Fit and score a clone on one fold, and measure.

    Features that are found in the store took time when they were computed. That time is added to
    what the clock shows, so that candidates are compared as if each had to compute its own.
    """
    train, test = study.folds[fold]
    X_train = take(study.X, train)
    if study.y_target is None:
        X_test, y_test = take(study.X, test), study.y[test]
    else:
        X_test, y_test = study.X_target, study.y_target
    stores = _stores_of(estimator)
    fitted = clone(estimator)
    with peak_memory() as peak:
        start, saved = time.perf_counter(), _seconds_saved(stores)
        fit_on(fitted, X_train, study.y[train], study.X_target)
        fit_end, fit_saved = time.perf_counter(), _seconds_saved(stores)
        score = check_scoring(fitted, study.scoring)(fitted, X_test, y_test)
        end, end_saved = time.perf_counter(), _seconds_saved(stores)
    return {
        "score": float(score),
        "fit_seconds": fit_end - start + fit_saved - saved,
        "predict_seconds": end - fit_end + end_saved - fit_saved,
        "wall_seconds": end - start,
        "peak_memory_bytes": _UNKNOWN if np.isnan(peak.n_bytes) else peak.n_bytes,
        "size_bytes": _size_of(fitted),
    }


def _stores_of(estimator: Any) -> list[Store]:
    params = estimator.get_params(deep=True)
    caches = [value for name, value in params.items() if name.split("__")[-1] == "cache"]
    stores = {id(store): store for cache in caches if (store := open_store(cache)) is not None}
    return list(stores.values())


def _seconds_saved(stores: Sequence[Store]) -> float:
    return sum(store.info().seconds_saved for store in stores)


class _Counter:
    """A file that only counts what is written to it."""

    def __init__(self) -> None:
        self.n_bytes = 0

    def write(self, data: Any) -> int:
        n_bytes = memoryview(data).nbytes
        self.n_bytes += n_bytes
        return n_bytes


def _size_of(fitted: Any) -> float:
    counter = _Counter()
    try:
        pickle.dump(fitted, counter, protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError):  # a lambda for a head, for example
        return _UNKNOWN
    return float(counter.n_bytes)
