"""`compare_strategies`: every candidate grid-searched over the same folds, in one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sktransfer.adaptation.target_rows import (
    check_target_labels,
    fit_on,
    learns_from_unlabelled,
    split_target,
)
from sktransfer.backbones import ChosenBackbone, choose_backbone
from sktransfer.comparison.alignment_gain import alignment_gain
from sktransfer.comparison.baseline import LARGEST_CLASS, choose_scoring, largest_class
from sktransfer.comparison.budget import Budget
from sktransfer.comparison.candidates import check_candidates, strategy_candidates
from sktransfer.comparison.fit import Study
from sktransfer.comparison.fit_all import fit_all
from sktransfer.comparison.folds import make_folds
from sktransfer.comparison.grid_fit import GridFits, keys_of_fits
from sktransfer.comparison.mask_candidates import (
    digest_of_masks,
    holds_masks,
    mask_candidates,
    mask_folds,
    mask_rows,
)
from sktransfer.comparison.prefetch import pass_once, shared_cache
from sktransfer.comparison.progress import shows_bars
from sktransfer.comparison.results import StrategyComparison
from sktransfer.comparison.resuming import Journal, digest_of_images
from sktransfer.comparison.tables import tabulate
from sktransfer.comparison.unlabelled_candidates import (
    FROZEN,
    unlabelled_candidates,
    with_frozen,
)
from sktransfer.comparison.unlabelled_gain import unlabelled_gain
from sktransfer.comparison.workers import Workers, limited_threads
from sktransfer.exceptions import ComparisonInterrupted
from sktransfer.features.device import resolve_device
from sktransfer.images.indexing import join
from sktransfer.images.unreadable import every_image_is_needed, numbered_among
from sktransfer.labels import check_class_labels
from sktransfer.unlabelled import LabeledFold

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import ArrayLike

    from sktransfer.features.pooling import PoolingName
    from sktransfer.images import ImageShape

__all__ = ["compare_strategies"]


@every_image_is_needed()
def compare_strategies(
    X: Any,
    y: ArrayLike,
    *,
    candidates: Mapping[str, Any] | Sequence[str] | None = None,
    cv: int | Any = 5,
    scoring: str | Callable[..., float] | None = None,
    groups: ArrayLike | None = None,
    X_target: Any = None,
    y_target: ArrayLike | None = None,
    unlabeled: object = None,
    X_unlabeled: Any = None,
    teacher: Any = None,
    teacher_weights: str | os.PathLike[str] = "default",
    backbone: Any = "auto",
    weights: str | os.PathLike[str] = "default",
    layers: Sequence[Any] | None = None,
    poolings: Sequence[PoolingName] = ("avg", "max"),
    pixel_size: int = 32,
    max_epochs: int = 20,
    image_shape: ImageShape = None,
    image_size: int | None = None,
    device: str = "auto",
    batch_size: int = 32,
    cache: str | os.PathLike[str] | None = "memory",
    resume: str | os.PathLike[str] | None = None,
    n_jobs: int | None = None,
    time_limit: float | None = None,
    random_state: int | None = 0,
    verbose: int = 0,
) -> StrategyComparison:
    """Compare strategies of transfer on your images, in one fair table.

    Each setting of each candidate is fitted and scored on the same folds, with the same seed and
    budget. The network sees each image once for all candidates that use its features. A candidate
    whose fit fails does not end the others: its row says why. The last row is what is reached
    without looking: always the largest class.

    Parameters
    ----------
    X : images
        Any of the kinds that :class:`~sktransfer.DeepFeatureTransformer` takes.
    y : array-like of shape (n_images,), or masks
        Labels of two or more classes, numbers or strings; or a mask for each image, as in
        :class:`~sktransfer.FineTuneSegmenter`, and then every pixel is labelled. Strings are paths
        of masks if the first names a file.
    candidates : mapping, sequence of str or None, default=None
        None compares all that :func:`~sktransfer.comparison.strategy_candidates` makes; a list
        chooses some of these by name; a mapping gives your own: a name to an estimator of images,
        or to a pair of one and a grid as for GridSearchCV.
    cv : int, splitter or iterable of (train, test), default=5
        An int gives that many shuffled, stratified folds. ``RepeatedStratifiedKFold`` makes the
        test against the best sharper.
    scoring : str, callable or None, default=None
        As in GridSearchCV; the highest mean wins. None is the mean IoU of masks and the accuracy of
        classes, but balanced accuracy if the largest class has more than three times the images of
        the smallest.
    groups : array-like of shape (n_images,) or None, default=None
        Images of one group, such as several photographs of one animal, are never in both parts of
        a fold.
    X_target : images or None, default=None
        Unlabelled images of a target domain. Candidates whose `fit` takes domains learn from all of
        them in every fold; the others do not see them.
    y_target : array-like of shape (n_target_images,) or None, default=None
        Labels of these, for scoring only: each candidate is then fitted on the training part of a
        fold and scored on the target, not on the test part. To choose settings by them is to peek;
        they tell what adaptation gains where labels can be had for that. Without them, scores are
        those of the source.
    unlabeled : object, default=None
        The label of rows of `X` that are such images, in place of `X_target`: ``-1``, for example.
        None takes every label for one. Of masks, the label or labels whose pixels count nowhere;
        None is -1.
    X_unlabeled : images or None, default=None
        Images without labels, of the same kind as `X`. With them
        :func:`~sktransfer.comparison.unlabelled_candidates` are compared too, and the candidate whose features
        stay as they are, "features + logistic regression", is always among several that are named. What learns
        from them trains on all of them in every fold; they are never scored. An own candidate is given them if
        it, or the last step of its pipeline, has a parameter `unlabeled`, the label by which it knows them.
    teacher, teacher_weights : default=None and "default"
        Better network from which that of the features learns by these images, as in
        :class:`~sktransfer.DistilledFeatureTransformer`: two candidates more, which train in every fold.
    backbone, weights, layers, poolings, pixel_size, max_epochs, image_shape, image_size, device, \
batch_size
        Of the ready-made candidates, see :func:`~sktransfer.comparison.strategy_candidates`;
        `poolings` and `pixel_size` are of no use to masks, which take 8 images a batch at most.
        "auto" is "resnet50" with its ImageNet weights, downloaded if need be; offline without them
        another network whose weights are in the cache, or "tiny", which knows no photographs, with a
        warning and ``backbone_note_``. On a CPU "mobilenet_v2" is about four times as quick.
    cache : "memory", path of a folder or None, default="memory"
        Place of an image's features between folds and settings. With several processes,
        "memory" becomes a temporary folder that they share, because they share no memory; with
        `resume`, a folder in that one.
    resume : path of a folder or None, default=None
        Folder of finished settings and folds, as JSON. The same call, started again after
        it was interrupted or killed, goes on where it was; another call finds what it has in
        common with earlier ones.
    n_jobs : int or None, default=None
        Processes that fit at the same time. None begins in this process, with one thread, and goes on in
        a process for each core if more than a few seconds of work are left; inside
        `joblib.parallel_config` it is what that says.
    time_limit : float or None, default=None
        Seconds after which no further fit begins. Cheap candidates come first; one that is expected to
        take longer than what is left is left out, and its row says so. The first candidate is always
        finished.
    random_state : int or None, default=0
        Decides the folds and everything random in the ready-made candidates.
    verbose : int, default=0
        1 shows progress on stderr.

    Returns
    -------
    StrategyComparison
        With ``results_``, ``fold_scores_``, ``fits_``, ``best_estimator_`` and ``searches_``.

    Raises
    ------
    ValueError
        If there are fewer than two classes, `cv` asks for more folds than the smallest class has
        images, a candidate's name is unknown, both `X_target` and `unlabeled` are given, there are masks
        and `X_target` or `X_unlabeled`, or a `teacher` without `X_unlabeled`.
    TypeError
        If a candidate is no estimator.
    CacheError
        If `resume` cannot be used as a folder.
    ImageError
        If an image cannot be used.
    ComparisonInterrupted
        At Ctrl-C; a KeyboardInterrupt whose ``results`` is the table so far.
    Exception
        The first error, if every fit of every candidate fails.

    Warns
    -----
    WeightsWarning
        If "auto" is not "resnet50".
    FitFailedWarning
        If fits of a candidate fail.

    See Also
    --------
    StrategyComparison : What it returns.
    recommend_strategy : The rule of thumb, without training.
    rank_backbones : Ranks networks, without training.

    Examples
    --------
    >>> from sktransfer.datasets import load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> comparison = compare_strategies(
    ...     X[:100], y[:100], cv=2, layers=[-1], poolings=["avg"], backbone="tiny",
    ...     candidates=["raw pixels + logistic regression", "features + logistic regression"],
    ... )
    >>> sorted(comparison.results_["strategy"])
    ['features', 'largest class', 'raw pixels']
    >>> comparison.best_estimator_.predict(X[100:103]).shape
    (3,)
    """
    if teacher is not None and X_unlabeled is None:
        raise ValueError(
            "teacher is given without images to learn by. Pass X_unlabeled, or leave teacher None."
        )
    budget = Budget(time_limit)
    of_masks, reason = holds_masks(y), ""
    if of_masks:
        _refuse_more_images(X_target, y_target, X_unlabeled)
        labels, target_labels, classes = mask_rows(X, y), None, None
        folds = mask_folds(cv, len(labels), groups, random_state)
    else:
        X, y, groups, X_target = split_target(X, y, groups, X_target, unlabeled)
        classes, codes = check_class_labels(X, y)
        labels = classes[codes]
        target_labels = check_target_labels(X_target, y_target, classes)
        folds = make_folds(cv, labels, groups, random_state)
        scoring, reason = choose_scoring(
            scoring, labels if target_labels is None else target_labels
        )
    kept = None if resume is None else Path(resume)
    journal = None if kept is None else Journal(kept / "results")
    workers = Workers(n_jobs, len(folds), on_gpu=resolve_device(device).type != "cpu")
    with shared_cache(cache, kept, workers.n_processes) as store:
        shared: dict[str, Any] = {
            "weights": weights,
            "layers": layers,
            "max_epochs": max_epochs,
            "image_shape": image_shape,
            "image_size": image_size,
            "device": device,
            "batch_size": batch_size,
            "cache": cache,
            "random_state": random_state,
        }
        if of_masks:
            nowhere = -1 if unlabeled is None else unlabeled
            presets = mask_candidates(backbone, unlabeled=nowhere, **shared)
        else:
            has_target = X_target is not None
            presets = strategy_candidates(
                backbone, poolings=poolings, pixel_size=pixel_size, has_target=has_target, **shared
            )
        if X_unlabeled is not None:
            of_unlabelled = unlabelled_candidates(
                presets[FROZEN], teacher=teacher, teacher_weights=teacher_weights
            )
            presets |= of_unlabelled
            candidates = with_frozen(candidates, of_unlabelled)
        chosen = check_candidates(candidates, presets)
        network = ChosenBackbone(backbone)
        if any(_holds(candidate.estimator, "backbone", "auto") for candidate in chosen.values()):
            network = choose_backbone(backbone, weights, stacklevel=4)
        chosen = {
            name: candidate._replace(
                estimator=_replaced(
                    _moved(candidate.estimator, cache, store), "backbone", "auto", network.backbone
                )
            )
            for name, candidate in chosen.items()
        }
        if not any(learns_from_unlabelled(candidate.estimator) for candidate in chosen.values()):
            X_unlabeled = None
        everything: Any = X if X_unlabeled is None else join(X, X_unlabeled)
        study = Study(
            X=X,
            y=labels,
            X_target=X_target,
            y_target=target_labels,
            folds=folds,
            scoring=scoring,
            journal=journal,
            key=""
            if journal is None
            else _digest(everything, labels, X_target, target_labels, image_shape),
            classes=classes,
            deadline=budget.deadline,
            X_unlabeled=X_unlabeled,
        )
        keys = {name: keys_of_fits(candidate, study) for name, candidate in chosen.items()}
        passed = pass_once(
            everything, chosen, journal=journal, key=study.key, verbose=verbose and shows_bars()
        )
        fits: dict[str, GridFits] = {}
        try:
            with numbered_among(everything, image_shape):
                fit_all(
                    chosen, study, keys, workers, budget, fits,
                    seconds_per_image=passed.running_seconds / max(1, len(everything)), verbose=verbose,
                )  # fmt: skip
        except KeyboardInterrupt:
            raise ComparisonInterrupted(tabulate(chosen, fits, study, passed).results) from None
        if not of_masks and LARGEST_CLASS not in chosen:
            chosen[LARGEST_CLASS], fits[LARGEST_CLASS] = largest_class(study)
        tables = tabulate(chosen, fits, study, passed)
        winner = tables.results.iloc[0]
        best = clone(chosen[winner["candidate"]].estimator).set_params(**winner["best_params"])
        with limited_threads(1 if isinstance(best, Pipeline) else workers.n_threads):
            fit_on(best, X, labels, study.X_target, X_unlabeled)
    searches = {
        name: GridSearchCV(
            _moved(candidate.estimator, store, cache),
            candidate.param_grid,
            scoring=scoring,
            cv=LabeledFold(folds, unlabeled=None)
            if X_unlabeled is not None and learns_from_unlabelled(candidate.estimator)
            else folds,
            n_jobs=n_jobs,
        )
        for name, candidate in chosen.items()
    }
    return StrategyComparison(
        results_=tables.results,
        fold_scores_=tables.fold_scores,
        fits_=tables.fits,
        best_estimator_=_replaced(best, "cache", store, cache),
        searches_=searches,
        predictions_=tables.predictions,
        mistakes_=tables.mistakes,
        optimism_=tables.optimism,
        pass_seconds_=passed.seconds,
        scoring_=scoring,
        scoring_reason_=reason,
        backbone_=network.backbone,
        backbone_note_=network.note,
        unlabeled_note_=unlabelled_gain(tables, study)
        if study.y_target is None
        else alignment_gain(tables, chosen),
    )


def _refuse_more_images(X_target: object, y_target: object, X_unlabeled: object) -> None:
    if X_target is not None or y_target is not None:
        raise ValueError(
            "X_target and y_target are not possible with masks, because no candidate for masks adapts "
            "to a domain. Leave them None."
        )
    if X_unlabeled is not None:
        raise ValueError(
            "X_unlabeled is not possible with masks, because no candidate for masks learns from images "
            "without any. Leave it None."
        )


def _digest(X: Any, labels: Any, X_target: Any, target_labels: Any, image_shape: ImageShape) -> str:
    is_masks = holds_masks(labels)
    of_y = digest_of_masks(labels) if is_masks else str(joblib.hash((labels, target_labels)))
    parts = [digest_of_images(X, image_shape), of_y]
    if X_target is not None:
        parts.append(digest_of_images(X_target, image_shape))
    return " ".join(parts)


def _moved(estimator: Any, before: Any, after: Any) -> Any:
    """Copy an unfitted estimator, and let the copy keep features elsewhere."""
    return _replaced(clone(estimator), "cache", before, after)


def _replaced(estimator: Any, name: str, before: Any, after: Any) -> Any:
    """Give every parameter of a name, however deep, another value where it has the one before."""
    return estimator.set_params(**dict.fromkeys(_holds(estimator, name, before), after))


def _holds(estimator: Any, name: str, value: Any) -> list[str]:
    """List the parameters of a name that have a value."""
    params = estimator.get_params(deep=True)
    same = (param for param in params if param.split("__")[-1] == name)
    return [
        param for param in same if type(params[param]) is type(value) and params[param] == value
    ]
