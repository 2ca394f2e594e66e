"""One fit of a comparison: a setting of a candidate, fitted and scored on a fold, with what it costs."""

from __future__ import annotations

import pickle
import time
import warnings
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.metrics import accuracy_score, balanced_accuracy_score, check_scoring
from sklearn.pipeline import Pipeline

from sktransfer.adaptation.target_rows import fit_on, learns_from_unlabelled
from sktransfer.comparison.peak_memory import peak_memory
from sktransfer.comparison.predicting import predict_with_confidence
from sktransfer.comparison.span import fit_in_span, is_linear_on_top
from sktransfer.comparison.workers import limited_threads
from sktransfer.exceptions import ImageError, OneClassWarning
from sktransfer.features.store import Store, open_store
from sktransfer.images.indexing import take

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from sktransfer.comparison.resuming import Journal

__all__ = ["Fit", "Study", "fit_and_score"]

_SCORES = {"accuracy": accuracy_score, "balanced_accuracy": balanced_accuracy_score}


@dataclass(frozen=True)
class Fit:
    """One setting of one candidate, fitted and scored on one fold.

    Parameters
    ----------
    params : mapping of str to object
        The setting.
    fold : int
        Number of the fold.
    setting : int
        Number of the setting in its grid.
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
    predicted : ndarray of intp or None
        Predicted classes of the test part, as rows of the study's; -1 for none of them. None where the
        score is not of predicted classes.
    confidence : ndarray of float32 or None
        Probability, or margin, of each predicted class; None where there is neither.
    error : Exception or None
        Error that ended the fit, if it failed.
    """

    params: Mapping[str, Any]
    fold: int
    setting: int = 0
    score: float = np.nan
    fit_seconds: float = np.nan
    predict_seconds: float = np.nan
    wall_seconds: float = np.nan
    peak_memory_bytes: float = np.nan
    size_bytes: float = np.nan
    predicted: NDArray[np.intp] | None = None
    confidence: NDArray[np.float32] | None = None
    error: Exception | None = None


_MEASURES = tuple(field.name for field in fields(Fit) if field.type == "float")
_OF_IMAGES = {"predicted": np.intp, "confidence": np.float32}
_KEPT = {*_MEASURES, *_OF_IMAGES}


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
    classes : ndarray or None
        Classes of the labels, sorted; None for masks.
    deadline : float or None
        Moment at which no further fit begins, in seconds as of `time.time`.
    X_unlabeled : images or None
        Images without labels, on which candidates that take them train in every fold.
    """

    X: Any
    y: NDArray[np.generic]
    X_target: Any
    y_target: NDArray[np.generic] | None
    folds: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]
    scoring: str | Callable[..., float] | None
    journal: Journal | None
    key: str
    classes: NDArray[np.generic] | None = None
    deadline: float | None = None
    X_unlabeled: Any = None

    def without_deadline(self) -> Study:
        """Return the same study, whose time is never over."""
        return replace(self, deadline=None)

    @property
    def mean_sizes(self) -> tuple[float, float]:
        """Images on which a fold is fitted and scored, on average over the folds."""
        n_train, n_test = (np.mean([len(fold[part]) for fold in self.folds]) for part in (0, 1))
        return float(n_train), float(n_test)

    def n_fitted_on(self, estimator: Any) -> float:
        """Images on which an estimator is fitted in a fold, on average, those without labels too."""
        takes_more = self.X_unlabeled is not None and learns_from_unlabelled(estimator)
        return self.mean_sizes[0] + (len(self.X_unlabeled) if takes_more else 0)


def fit_and_score(
    estimator: Any, fit: Fit, study: Study, key: str = "", n_threads: int | None = None
) -> Fit | None:
    """Find a fit in the journal, or do the work and write it there.

    Parameters
    ----------
    estimator : estimator
        Is cloned.
    fit : Fit
        Setting and fold; nothing has been measured yet.
    study : Study
        Images, folds, scoring, and what is known already.
    key : str, default=""
        Key of the journal.
    n_threads : int or None, default=None
        Number of threads for a network; None leaves it as it is. Pipelines get one thread.

    Returns
    -------
    Fit or None
        What was measured, or the error that ended the fit; None if the study's time is over.

    Raises
    ------
    ImageError
        If an image cannot be used, which is not a fault of the candidate.
    """
    known = None if study.journal is None else study.journal.read(key)
    if known is not None and set(known) >= _KEPT:
        return _as_kept(fit, known)
    if study.deadline is not None and time.time() > study.deadline:
        return None
    try:
        with limited_threads(1 if isinstance(estimator, Pipeline) else n_threads):
            fit = _measured(estimator, study, fit)
    except ImageError:
        raise
    except Exception as exc:  # noqa: BLE001 - the row of the candidate says what it was
        return replace(fit, error=exc)
    if study.journal is not None:
        study.journal.write(key, _to_keep(fit))
    return fit


def _to_keep(fit: Fit) -> dict[str, Any]:
    figures = {name: getattr(fit, name) for name in _MEASURES}
    kept = {name: None if np.isnan(value) else value for name, value in figures.items()}
    arrays = {name: getattr(fit, name) for name in _OF_IMAGES}
    return kept | {name: None if of is None else of.tolist() for name, of in arrays.items()}


def _as_kept(fit: Fit, known: Mapping[str, Any]) -> Fit:
    measured: dict[str, Any] = {
        name: np.nan if known[name] is None else known[name] for name in _MEASURES
    }
    arrays: dict[str, Any] = {
        name: None if known[name] is None else np.asarray(known[name], dtype=dtype)
        for name, dtype in _OF_IMAGES.items()
    }
    return replace(fit, **measured, **arrays)


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
    with peak_memory() as peak, warnings.catch_warnings():
        # The score says it; the winner warns again.
        warnings.simplefilter("ignore", OneClassWarning)
        start, saved = time.perf_counter(), _seconds_saved(stores)
        if is_linear_on_top(fitted):
            fit_in_span(fitted, X_train, study.y[train])
        else:
            fit_on(fitted, X_train, study.y[train], study.X_target, study.X_unlabeled)
        fit_end, fit_saved = time.perf_counter(), _seconds_saved(stores)
        score, predicted, confidence = _score(fitted, study, X_test, y_test)
        end, end_saved = time.perf_counter(), _seconds_saved(stores)
    return replace(
        fit,
        score=score,
        predicted=predicted,
        confidence=confidence,
        fit_seconds=fit_end - start + fit_saved - saved,
        predict_seconds=end - fit_end + end_saved - fit_saved,
        wall_seconds=end - start,
        peak_memory_bytes=float(peak.n_bytes),
        size_bytes=_size_of(fitted),
    )


def _score(
    fitted: Any, study: Study, X: Any, y: NDArray[np.generic]
) -> tuple[float, NDArray[np.intp] | None, NDArray[np.float32] | None]:
    """Score a fitted candidate; where the score is of predicted classes, return these and how sure it is."""
    metric = _SCORES.get(study.scoring) if isinstance(study.scoring, str) else None
    if study.classes is None or metric is None or not hasattr(fitted, "predict"):
        return float(check_scoring(fitted, study.scoring)(fitted, X, y)), None, None
    of_source = study.X_target is not None and study.y_target is None
    labels, confidence = predict_with_confidence(fitted, X, of_source=of_source)
    code_of = {label: code for code, label in enumerate(study.classes.tolist())}
    predicted = np.array([code_of.get(label, -1) for label in labels.tolist()], dtype=np.intp)
    return float(metric(y, labels)), predicted, confidence


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
