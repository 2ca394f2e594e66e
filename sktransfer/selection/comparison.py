"""Pipelines of images, each grid-searched over the same folds, in one table, best first.

A comparison is a dictionary of :class:`Candidate`: a pipeline and the grid to search in it.
:func:`feature_candidates` makes the dictionary, :func:`compare_candidates` runs any of them, and
:func:`compare_features` does both.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d

from sktransfer.features.transformer import DeepFeatureTransformer
from sktransfer.selection.pixels import PixelTransformer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pandas as pd
    import torch
    from numpy.typing import ArrayLike, NDArray

    from sktransfer.images import ImageShape

__all__ = [
    "Candidate",
    "FeatureComparison",
    "compare_candidates",
    "compare_features",
    "feature_candidates",
]


class Candidate(NamedTuple):
    """A pipeline and the grid of parameters to search in it."""

    pipeline: Pipeline
    """Takes images and ends in a classifier; never fitted itself, only its clones are."""
    param_grid: Mapping[str, Sequence[Any]]
    """As in GridSearchCV; the empty mapping scores the pipeline as it is."""


@dataclass(frozen=True, eq=False)
class FeatureComparison:
    """What a comparison found.

    Attributes
    ----------
    results_ : DataFrame, one row per candidate, best first
        Columns ``candidate``; ``best_params`` (a dict); ``score_mean`` and ``score_std`` of the
        best parameters over the folds; ``n_settings``, how many settings the grid held;
        ``fit_seconds``, the mean time to fit the best setting on one fold (features already in the
        store count as free); ``search_seconds``, the time of the candidate's whole search.
    best_estimator_ : Pipeline
        The winner with its best parameters, fitted on all images.
    searches_ : dict of str to GridSearchCV
        Every search with its ``cv_results_``.

    Notes
    -----
    The mean score is that of the best of several settings on the folds that chose it, and so a
    little optimistic, more so with few images. For a figure to publish, score ``best_estimator_``
    on images that took no part in the comparison.
    """

    results_: pd.DataFrame
    best_estimator_: Pipeline
    searches_: dict[str, GridSearchCV]

    @property
    def best_candidate_(self) -> str:
        """Name of the candidate with the highest mean score."""
        return str(self.results_["candidate"].iloc[0])

    @property
    def best_score_(self) -> float:
        """Mean score of the winner over the folds."""
        return float(self.results_["score_mean"].iloc[0])

    @property
    def best_params_(self) -> dict[str, Any]:
        """Parameters of the winner that the grid chose."""
        return dict(self.results_["best_params"].iloc[0])


def compare_features(
    X: Any,
    y: ArrayLike,
    *,
    backbone: str | torch.nn.Module = "tiny",
    weights: str = "default",
    layers: Sequence[Any] | None = None,
    poolings: Sequence[str] = ("avg", "max"),
    cv: int | Any = 5,
    scoring: str | Callable[..., float] | None = None,
    image_shape: ImageShape = None,
    pixel_size: int = 32,
    device: str = "auto",
    batch_size: int = 32,
    cache: str | None = "memory",
    n_jobs: int | None = None,
    random_state: int | None = 0,
    verbose: int = 0,
) -> FeatureComparison:
    """Compare raw pixels with the features of a pre-trained network under three heads.

    Each of "raw pixels + logistic regression", "features + logistic regression", "features + SVM"
    and "features + random forest" is grid-searched over layers, poolings and a few parameters of
    the head, all on the same stratified folds.

    Parameters
    ----------
    X : images
        Any of the kinds that :class:`~sktransfer.DeepFeatureTransformer` takes.
    y : array-like of shape (n_images,)
        Labels of two or more classes, numbers or strings.
    backbone, weights, device, batch_size, image_shape
        As in :class:`~sktransfer.DeepFeatureTransformer`.
    layers : sequence or None, default=None
        The choices to search, each a value for the transformer's `layers`: a name, a negative int
        counted from the end, or a list of these to concatenate. None searches the last stage, the
        one before it, and both together: ``[-1, -2, [-2, -1]]``.
    poolings : sequence of str, default=("avg", "max")
        The choices to search, each a value for the transformer's `pooling`.
    cv : int or splitter, default=5
        An int gives that many shuffled, stratified folds.
    scoring : str, callable or None, default=None
        As in GridSearchCV; None is accuracy. The highest mean wins.
    pixel_size : int, default=32
        Side of the images of the raw pixels, in pixels.
    cache : "memory", path of a folder or None, default="memory"
        Where the features of an image are kept between folds and settings. With several processes,
        "memory" becomes a temporary folder that they share, because they share no memory.
    n_jobs : int or None, default=None
        Processes of each search.
    random_state : int or None, default=0
        Decides the folds and the random forest.
    verbose : int, default=0
        1 shows progress on stderr.

    Returns
    -------
    FeatureComparison
        With ``results_``, ``best_estimator_`` and ``searches_``.

    Raises
    ------
    ValueError
        If `cv` asks for more folds than the smallest class has images, or `layers` or `poolings`
        is empty.

    Examples
    --------
    >>> from sktransfer.datasets import load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> comparison = compare_features(X[:100], y[:100], layers=[-1], poolings=["avg"], cv=2)
    >>> len(comparison.results_)
    4
    >>> comparison.best_estimator_.predict(X[100:103]).shape
    (3,)
    """
    labels = _check_labels(X, y)
    folds = _check_folds(cv, labels, random_state)
    with _shared_store(cache, n_jobs) as store:
        features = DeepFeatureTransformer(
            backbone,
            weights=weights,
            image_shape=image_shape,
            device=device,
            batch_size=batch_size,
            cache=store,
            random_state=random_state,
        )
        candidates = feature_candidates(
            features,
            layers=layers,
            poolings=poolings,
            pixel_size=pixel_size,
            random_state=random_state,
        )
        _fill_store(features, X, candidates, verbose)
        comparison = compare_candidates(
            X, labels, candidates, cv=folds, scoring=scoring, n_jobs=n_jobs, verbose=verbose
        )
    _set_cache(comparison.best_estimator_, cache)
    return comparison


def feature_candidates(
    features: DeepFeatureTransformer,
    *,
    layers: Sequence[Any] | None = None,
    poolings: Sequence[str] = ("avg", "max"),
    pixel_size: int = 32,
    random_state: int | None = 0,
) -> dict[str, Candidate]:
    """Make the four candidates of :func:`compare_features`, to change or add to.

    Parameters
    ----------
    features : DeepFeatureTransformer
        Cloned into each candidate; its `layers` and `pooling` are what the grids search.
    layers, poolings, pixel_size, random_state
        As in :func:`compare_features`.

    Returns
    -------
    dict of str to Candidate

    Examples
    --------
    >>> from sktransfer import DeepFeatureTransformer
    >>> list(feature_candidates(DeepFeatureTransformer("tiny")))  # doctest: +NORMALIZE_WHITESPACE
    ['raw pixels + logistic regression', 'features + logistic regression', 'features + SVM',
     'features + random forest']
    """
    grid = {
        "features__layers": _check_choices(
            "layers", [-1, -2, [-2, -1]] if layers is None else layers
        ),
        "features__pooling": _check_choices("poolings", poolings),
    }
    pixels = PixelTransformer(pixel_size, image_shape=features.image_shape)
    logistic = LogisticRegression(max_iter=2000)
    forest = RandomForestClassifier(random_state=random_state)
    return {
        "raw pixels + logistic regression": Candidate(
            _scaled(pixels, logistic), {"head__C": [0.001, 0.01, 0.1]}
        ),
        "features + logistic regression": Candidate(
            _scaled(clone(features), logistic), {**grid, "head__C": [0.001, 0.01, 0.1]}
        ),
        "features + SVM": Candidate(_scaled(clone(features), SVC()), {**grid, "head__C": [1, 10]}),
        "features + random forest": Candidate(
            Pipeline([("features", clone(features)), ("head", forest)]),
            {**grid, "head__min_samples_leaf": [1, 3]},
        ),
    }


def compare_candidates(
    X: Any,
    y: ArrayLike,
    candidates: Mapping[str, Candidate],
    *,
    cv: int | Any = 5,
    scoring: str | Callable[..., float] | None = None,
    n_jobs: int | None = None,
    random_state: int | None = 0,
    verbose: int = 0,
) -> FeatureComparison:
    """Grid-search every candidate on the same folds and fit the best of them on all images.

    Parameters
    ----------
    X : images
        Whatever the pipelines take.
    y : array-like of shape (n_images,)
        Labels.
    candidates : mapping of str to Candidate
        Or to a pair of a pipeline and a grid.
    cv, scoring, n_jobs, random_state, verbose
        As in :func:`compare_features`.

    Returns
    -------
    FeatureComparison

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from sktransfer.datasets import load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> dummy = Pipeline([("pixels", PixelTransformer(8)), ("head", DummyClassifier())])
    >>> compare_candidates(X[:100], y[:100], {"dummy": Candidate(dummy, {})}).best_candidate_
    'dummy'
    """
    from tqdm import tqdm

    _check_choices("candidates", list(candidates))
    labels = _check_labels(X, y)
    folds = _check_folds(cv, labels, random_state)
    searches, seconds = {}, {}
    with tqdm(candidates.items(), disable=not verbose, unit="candidate") as progress:
        for name, (pipeline, param_grid) in progress:
            progress.set_description(name)
            search = GridSearchCV(
                pipeline,
                dict(param_grid),
                scoring=scoring,
                cv=folds,
                n_jobs=n_jobs,
                refit=False,  # only the winner is fitted again, below
                error_score="raise",  # an unreadable image must not become a score of NaN
            )
            start = time.perf_counter()
            searches[name] = search.fit(X, labels)
            seconds[name] = time.perf_counter() - start
    results = _tabulate(searches, seconds)
    winner = results["candidate"].iloc[0]
    best = clone(candidates[winner][0]).set_params(**results["best_params"].iloc[0])
    return FeatureComparison(results, best.fit(X, labels), searches)


def _scaled(features: Any, head: Any) -> Pipeline:
    return Pipeline([("features", features), ("scale", StandardScaler()), ("head", clone(head))])


def _tabulate(searches: Mapping[str, GridSearchCV], seconds: Mapping[str, float]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for name, search in searches.items():
        found, best = search.cv_results_, search.best_index_
        rows.append(
            {
                "candidate": name,
                "best_params": search.best_params_,
                "score_mean": float(found["mean_test_score"][best]),
                "score_std": float(found["std_test_score"][best]),
                "n_settings": len(found["params"]),
                "fit_seconds": float(found["mean_fit_time"][best]),
                "search_seconds": seconds[name],
            }
        )
    table = pd.DataFrame(rows)
    return table.sort_values("score_mean", ascending=False, kind="stable", ignore_index=True)


def _fill_store(
    features: DeepFeatureTransformer, X: Any, candidates: Mapping[str, Candidate], verbose: int
) -> None:
    """Pass all images through the network before the searches, so that none has to wait for it.

    The searches would fill the store by themselves, fold by fold; this does it with one progress
    bar, and before several processes start to ask for the same images at the same time.
    """
    if features.cache is None:
        return
    grid = candidates["features + logistic regression"].param_grid
    layers = _distinct_layers(grid["features__layers"])
    for pooling in grid["features__pooling"]:
        filler = clone(features).set_params(layers=layers, pooling=pooling, verbose=verbose)
        filler.fit(X).transform(X)


def _distinct_layers(choices: Sequence[Any]) -> list[Any] | None:
    """Return every layer that some choice names; None if the default layer is all there is."""
    flat = [
        layer
        for choice in choices
        for layer in (choice if isinstance(choice, list | tuple) else [choice])
    ]
    named = list(dict.fromkeys(-1 if layer is None else layer for layer in flat))
    return None if named == [-1] else named


@contextmanager
def _shared_store(cache: str | None, n_jobs: int | None) -> Iterator[str | None]:
    """Replace a store in memory by a temporary folder if several processes are to share it."""
    if cache != "memory" or effective_n_jobs(n_jobs) == 1:
        yield cache
        return
    with tempfile.TemporaryDirectory(prefix="sktransfer-", ignore_cleanup_errors=True) as folder:
        yield folder


def _set_cache(pipeline: Pipeline, cache: str | None) -> None:
    if isinstance(pipeline.named_steps["features"], DeepFeatureTransformer):
        pipeline.set_params(features__cache=cache)


def _check_choices(name: str, choices: Any) -> list[Any]:
    if isinstance(choices, str):
        raise TypeError(
            f"{name}={choices!r} must be a list of the choices to search. "
            f"Pass {name}=[{choices!r}]."
        )
    if not len(choices):
        raise ValueError(f"{name}={choices!r} is empty; give at least one to search.")
    return list(choices)


def _check_labels(X: Any, y: ArrayLike) -> NDArray[Any]:
    labels: NDArray[Any] = np.asarray(column_or_1d(y))
    check_consistent_length(X, labels)
    check_classification_targets(labels)
    return labels


def _check_folds(cv: int | Any, labels: NDArray[Any], random_state: int | None) -> Any:
    if not isinstance(cv, int):
        return cv
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise ValueError(
            f"y holds a single class, {classes.tolist()[0]!r}; a comparison needs two or more."
        )
    if counts.min() < cv:
        smallest = classes[counts.argmin()].item()
        advice = f"Set cv={counts.min()} or lower, or add" if counts.min() > 1 else "Add"
        raise ValueError(
            f"cv={cv} asks for {cv} folds, but the class {smallest!r} has only {counts.min()} "
            f"image(s). {advice} images of this class."
        )
    return StratifiedKFold(n_splits=cv, shuffle=True, random_state=random_state)
