"""The fits of a candidate: each setting on each fold, as long as it can still be the best."""

from __future__ import annotations

import warnings
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import ParameterGrid

from sktransfer.comparison.fit import Fit, Study, fit_and_score
from sktransfer.comparison.racing import can_be_chosen, can_reach, fold_blocks
from sktransfer.comparison.resuming import identity_of_result, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from sktransfer.comparison.candidates import Candidate
    from sktransfer.comparison.workers import Workers

__all__ = ["GridFits", "best_setting", "fit_folds", "fit_grid", "keys_of_fits"]


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
    same = {"images": study.key, "scoring": identity_of_result(study.scoring)}
    folds = [
        {"train": identity_of_result(train), "test": identity_of_result(test)}
        for train, test in study.folds
    ]
    settings = [identity_of_result(estimator) for _, estimator in _settings(candidate)]
    return [key_of(candidate=setting, **fold, **same) for setting in settings for fold in folds]


class GridFits(NamedTuple):
    """The fits of a candidate, and why there are fewer than its grid and the folds ask for."""

    fits: list[Fit]
    note: str = ""


def fit_grid(
    name: str,
    candidate: Candidate,
    study: Study,
    keys: Sequence[str],
    workers: Workers,
    *,
    leader: NDArray[np.float64] | None = None,
    told: Callable[[Fit], None] = lambda _: None,
) -> GridFits:
    """Fit and score every setting of a candidate on every fold, as long as it can still be the best.

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
    workers : Workers
        Workers that do the fits.
    leader : ndarray of shape (n_folds,) or None, default=None
        Scores of the best setting of the candidates before.
    told : callable
        Called with each fit as soon as it is done.

    Returns
    -------
    GridFits
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
    n_folds = len(study.folds)
    settings = list(_settings(candidate))
    alive, done, scores = list(range(len(settings))), [], np.full((len(settings), n_folds), np.nan)
    for block in fold_blocks(n_folds, first=1 if len(alive) >= workers.n_processes else 2):
        tasks = [
            partial(
                fit_and_score,
                settings[number][1],
                Fit(settings[number][0], fold, number),
                study,
                keys[number * n_folds + fold],
                workers.n_threads,
            )
            for number in alive
            for fold in block
        ]
        for fit in workers.run(tasks, n_later=len(alive) * (n_folds - block.stop)):
            if fit is not None:
                done.append(fit)
                scores[fit.setting, fit.fold] = fit.score
                told(fit)
        if study.y_target is None:
            alive = _survivors(alive, scores[:, : block.stop], leader, study)
    _warn_of_failures(name, done)
    return GridFits(
        sorted(done, key=lambda fit: (fit.setting, fit.fold)), _why_fewer(done, alive, n_folds)
    )


def _survivors(
    alive: list[int],
    scores: NDArray[np.float64],
    leader: NDArray[np.float64] | None,
    study: Study,
) -> list[int]:
    """Leave out the settings that will not be chosen, and all if none can reach the best candidate."""
    means = scores[alive].mean(axis=1)
    own = None if np.isnan(means).all() else scores[alive[int(np.nanargmax(means))]]
    best = own
    if leader is not None:
        leading = leader[: scores.shape[1]]
        best = leading if own is None or leading.mean() >= own.mean() else own
    if best is None:
        return alive
    n_train, n_test = study.mean_sizes
    n_left, n_rivals = len(study.folds) - scores.shape[1], max(1, len(alive) - 1)
    of_images = study.scoring == "accuracy"
    return [
        number
        for number in alive
        if can_reach(scores[number], best, n_train=n_train, n_test=n_test, of_images=of_images)
        and (
            own is None
            or can_be_chosen(scores[number], own, n_left=n_left, n_rivals=n_rivals, n_test=n_test)
        )
    ]


def _why_fewer(done: Sequence[Fit], alive: Sequence[int], n_folds: int) -> str:
    """Say why no setting was fitted on every fold; "" if one was."""
    counts = Counter(fit.setting for fit in done)
    most = max(counts.values(), default=0)
    if most == n_folds:
        return ""
    return (
        f"stopped by the time limit after {most} of {n_folds} folds"
        if alive
        else f"stopped after {most} of {n_folds} folds: it cannot reach the best"
    )


def _warn_of_failures(name: str, fits: Sequence[Fit]) -> None:
    errors = [fit.error for fit in fits if fit.error is not None]
    if errors:
        warnings.warn(
            f"{len(errors)} of {len(fits)} fits of the candidate {name!r} failed. The first: "
            f"{type(errors[0]).__name__}: {errors[0]}",
            FitFailedWarning,
            stacklevel=5,
        )


def fit_folds(estimator: Any, study: Study) -> list[Fit]:
    """Fit and score an estimator on every fold, in this process."""
    fits = (fit_and_score(estimator, Fit({}, fold), study) for fold in range(len(study.folds)))
    return [fit for fit in fits if fit is not None]


def best_setting(fits: Sequence[Fit]) -> list[Fit]:
    """Choose the fits of the setting with the highest mean score; of equals, the first.

    Settings that were fitted on fewer folds than others are chosen only if a fit of all others failed,
    and one of which a fit failed only if there is no other.
    """
    settings: dict[int, list[Fit]] = {}
    for fit in fits:
        settings.setdefault(fit.setting, []).append(fit)
    n_folds = max(map(len, settings.values()))

    def quality(setting: list[Fit]) -> tuple[bool, bool, float]:
        mean = float(np.mean([fit.score for fit in setting]))
        return not np.isnan(mean), len(setting) == n_folds, float(np.nan_to_num(mean))

    return max(settings.values(), key=quality)


def _settings(candidate: Candidate) -> Iterator[tuple[Mapping[str, Any], Any]]:
    """Set a clone of a candidate's estimator as each setting of its grid says."""
    for params in ParameterGrid(candidate.param_grid):
        yield params, clone(candidate.estimator).set_params(**clone(params, safe=False))
