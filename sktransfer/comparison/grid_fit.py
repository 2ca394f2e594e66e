"""The fits of a comparison: each setting of each candidate, fitted and scored on each fold."""

from __future__ import annotations

import pickle
import time
import warnings
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import ParameterGrid

from sktransfer.adaptation.target_rows import fit_on
from sktransfer.comparison.peak_memory import peak_memory
from sktransfer.comparison.resuming import Journal, key_of
from sktransfer.exceptions import ImageError
from sktransfer.features.store import Store, open_store
from sktransfer.images.indexing import take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sktransfer.comparison.candidates import Candidate

__all__ = ["Fit", "Study", "best_setting", "fit_folds", "fit_grid", "keys_of_fits"]


@dataclass(frozen=True)
class Fit:
    """One setting of one candidate, fitted and scored on one fold.

    Parameters
    ----------
    params : mapping of str to object
        The setting.
    fold : int
        Number of the fold.
    score : float
        Score on the test part; NaN if the fit failed.
    fit_seconds, predict_seconds : float
        Time to fit and to score, as if no feature had been in the store.
    wall_seconds : float
        Time that passed.
    peak_memory_bytes : float
        Peak memory above the level before; NaN where the system does not tell.
    size_bytes : float
        Size of the pickle; NaN if it cannot be pickled.
    error : Exception or None
        What ended the fit, if it failed.
    """

    params: Mapping[str, Any]
    fold: int
    score: float = np.nan
    fit_seconds: float = np.nan
    predict_seconds: float = np.nan
    wall_seconds: float = np.nan
    peak_memory_bytes: float = np.nan
    size_bytes: float = np.nan
    error: Exception | None = None


_MEASURES = tuple(field.name for field in fields(Fit) if field.type == "float")


@dataclass(frozen=True, eq=False)
class Study:
    """Everything that all fits of a comparison have in common.

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
        Place where finished fits are found and kept.
    key : str
        Digest of the images; "" without a journal.
    finished : Path or None
        File that grows by one byte with each finished fit, for the progress bar.
    """

    X: Any
    y: NDArray[np.generic]
    X_target: Any
    y_target: NDArray[np.generic] | None
    folds: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]
    scoring: str | Callable[..., float] | None
    journal: Journal | None
    key: str
    finished: Path | None = None


def keys_of_fits(candidate: Candidate, study: Study) -> list[str]:
    """Say what every fit of a candidate depends on, in the order in which `fit_grid` fits.

    To be called before anything is fitted, because a fit may change what an estimator's code uses,
    such as a model that it loads once.

    Returns
    -------
    list of str
        Keys of the journal; empty ones without a journal.
    """
    if study.journal is None:
        return [""] * len(ParameterGrid(candidate.param_grid)) * len(study.folds)
    return [
        key_of(images=study.key, train=train, test=test, candidate=estimator, scoring=study.scoring)
        for _, estimator in _settings(candidate)
        for train, test in study.folds
    ]


def fit_grid(
    name: str, candidate: Candidate, study: Study, keys: Sequence[str], n_jobs: int | None
) -> list[Fit]:
    """Fit and score every setting of a candidate on every fold.

    Parameters
    ----------
    name : str
        Name of the candidate, for the warning.
    candidate : Candidate
        Estimator and grid.
    study : Study
        Images, folds, scoring, and what is known already.
    keys : sequence of str
        See `keys_of_fits`.
    n_jobs : int or None
        Processes.

    Returns
    -------
    list of Fit
        In the order of the settings, all folds of one after another.

    Raises
    ------
    ImageError
        If an image cannot be used, which is not a fault of the candidate.

    Warns
    -----
    FitFailedWarning
        If a fit ends by another error; its score is NaN, and the others stand.
    """
    tasks = product(list(_settings(candidate)), range(len(study.folds)))
    found: list[Fit] = Parallel(n_jobs=n_jobs)(
        delayed(_fit)(estimator, params, study, fold, key)
        for ((params, estimator), fold), key in zip(tasks, keys, strict=True)
    )
    errors = [fit.error for fit in found if fit.error is not None]
    if errors:
        warnings.warn(
            f"{len(errors)} of {len(found)} fits of the candidate {name!r} failed. The first: "
            f"{type(errors[0]).__name__}: {errors[0]}",
            FitFailedWarning,
            stacklevel=4,
        )
    return found


def fit_folds(estimator: Any, study: Study) -> list[Fit]:
    """Fit and score an estimator on every fold, in this process."""
    return [_fit(estimator, {}, study, fold, "") for fold in range(len(study.folds))]


def best_setting(fits: Sequence[Fit]) -> list[Fit]:
    """Choose the fits of the setting with the highest mean score; of equals, the first.

    A setting of which a fit failed is chosen only if there is no other.
    """
    n_folds = 1 + max(fit.fold for fit in fits)
    settings = [list(fits[start : start + n_folds]) for start in range(0, len(fits), n_folds)]
    means = np.array([np.mean([fit.score for fit in setting]) for setting in settings])
    return settings[0 if np.isnan(means).all() else int(np.nanargmax(means))]


def _settings(candidate: Candidate) -> Iterator[tuple[Mapping[str, Any], Any]]:
    """Set a clone of a candidate's estimator as each setting of its grid says."""
    for params in ParameterGrid(candidate.param_grid):
        yield params, clone(candidate.estimator).set_params(**clone(params, safe=False))


def _fit(estimator: Any, params: Mapping[str, Any], study: Study, fold: int, key: str) -> Fit:
    """Find a fit in the journal, or do the work and write it there."""
    result = Fit(params, fold)
    known = None if study.journal is None else study.journal.read(key)
    if known is not None and set(_MEASURES) <= set(known):
        measured: dict[str, Any] = {
            name: np.nan if known[name] is None else known[name] for name in _MEASURES
        }
        result = replace(result, **measured)
    else:
        try:
            result = _measured(estimator, study, result)
        except ImageError:
            raise
        except Exception as exc:  # noqa: BLE001 - the row of the candidate says what it was
            result = replace(result, error=exc)
        if study.journal is not None and result.error is None:
            figures = {name: getattr(result, name) for name in _MEASURES}
            kept = {name: None if np.isnan(value) else value for name, value in figures.items()}
            study.journal.write(key, kept)
    if study.finished is not None:
        with study.finished.open("ab") as file:
            file.write(b".")
    return result


def _measured(estimator: Any, study: Study, fit: Fit) -> Fit:
    """Fit and score a clone on one fold, and measure.

    Features that are found in the store took time when they were computed. That time is added to
    what the clock shows, so that candidates are compared as if each had to compute its own.
    """
    train, test = study.folds[fit.fold]
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
    return replace(
        fit,
        score=float(score),
        fit_seconds=fit_end - start + fit_saved - saved,
        predict_seconds=end - fit_end + end_saved - fit_saved,
        wall_seconds=end - start,
        peak_memory_bytes=float(peak.n_bytes),
        size_bytes=_size_of(fitted),
    )


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


def _size_of(fitted: object) -> float:
    counter = _Counter()
    try:
        pickle.dump(fitted, counter, protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError):  # a lambda for a head, for example
        return float("nan")
    return float(counter.n_bytes)
