"""All candidates of a comparison in turn, cheap ones first, within the time that it may take."""

from __future__ import annotations

import gc
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sktransfer.comparison.budget import cheap_first, expected_fit_seconds
from sktransfer.comparison.grid_fit import GridFits, best_setting, fit_grid
from sktransfer.comparison.progress import shown_progress
from sktransfer.formatting import as_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from sktransfer.comparison.budget import Budget
    from sktransfer.comparison.candidates import Candidate
    from sktransfer.comparison.fit import Study
    from sktransfer.comparison.workers import Workers

__all__ = ["fit_all"]


def fit_all(
    candidates: Mapping[str, Candidate],
    study: Study,
    keys: Mapping[str, Sequence[str]],
    workers: Workers,
    budget: Budget,
    found: dict[str, GridFits],
    *,
    seconds_per_image: float,
    verbose: int,
) -> None:
    """Fit every candidate, as far as the time goes.

    Parameters
    ----------
    candidates : mapping of str to Candidate
        Candidates by their names.
    study : Study
        Images, folds, scoring, and what is known already.
    keys : mapping of str to sequence of str
        See `sktransfer.comparison.grid_fit.keys_of_fits`.
    workers : Workers
        Workers that do the fits.
    budget : Budget
        The time; the first candidate is finished in any case.
    found : dict of str to GridFits
        Is filled, so that what was finished is there after an interruption.
    seconds_per_image : float
        Seconds of the one pass through the network, once that was loaded; 0 if there was none.
    verbose : int
        1 shows progress on stderr.

    Raises
    ------
    Exception
        The first error, if every fit of every candidate failed.
    """
    names = cheap_first(candidates)
    cost = {
        name: expected_fit_seconds(
            candidates[name].estimator,
            study.n_fitted_on(candidates[name].estimator),
            seconds_per_image,
        )
        for name in names
    }
    workers.expect(sum(cost[name] * _n_missing(study, keys[name]) for name in names))
    with shown_progress(
        {name: len(keys[name]) for name in names}, cost, verbose=verbose
    ) as progress:
        for name in names:
            expected = cost[name] * _n_missing(study, keys[name])
            if found and not budget.leaves(expected):
                found[name] = GridFits([], _left_out(budget, expected))
            else:
                progress.begins(name)
                gc.collect()  # what earlier candidates have left must not count for this one
                found[name] = fit_grid(
                    name,
                    candidates[name],
                    study if found else study.without_deadline(),
                    keys[name],
                    workers,
                    leader=_leader(found, len(study.folds)),
                    told=partial(progress.fitted, name),
                )
            progress.ends(name, found[name])
    errors = [fit.error for of_one in found.values() for fit in of_one.fits]
    if errors[0] is not None and all(errors):
        raise errors[0]


def _n_missing(study: Study, keys: Sequence[str]) -> int:
    """Count the fits that the journal does not hold."""
    if study.journal is None:
        return len(keys)
    return sum(study.journal.read(key) is None for key in keys)


def _left_out(budget: Budget, expected: float) -> str:
    assert budget.limit_s is not None
    limit = as_seconds(budget.limit_s)
    if budget.is_over():
        return f"left out: the time limit of {limit} had been reached"
    return f"left out: it would take about {as_seconds(expected)}, and the time limit is {limit}"


def _leader(found: Mapping[str, GridFits], n_folds: int) -> NDArray[np.float64] | None:
    """Return the scores of the best setting that was fitted on every fold; None if there is none."""
    best: NDArray[np.float64] | None = None
    for of_one in found.values():
        fits = best_setting(of_one.fits) if of_one.fits else []
        scores = np.array([fit.score for fit in fits])
        if len(scores) == n_folds and (best is None or scores.mean() > best.mean()):
            best = None if np.isnan(scores).any() else scores
    return best
