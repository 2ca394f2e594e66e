"""Which settings are worth another fold: those that can still be chosen, or reach the best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from sktransfer.proportions import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["can_be_chosen", "can_reach", "fold_blocks"]

_FEWEST_FOLDS = 3  # before a spread means anything
_CONFIDENCE = 0.95  # of the upper limit
_RISK = 0.1  # that a setting stops although its mean over all folds would be the highest


def fold_blocks(n_folds: int, first: int = 1) -> Iterator[range]:
    """Divide folds into blocks, after each of which settings may stop.

    Parameters
    ----------
    n_folds : int
        Number of folds.
    first : {1, 2}, default=1
        Folds of the first block: 2 where one does not keep all processes busy.

    Examples
    --------
    >>> list(fold_blocks(5)), list(fold_blocks(3, first=2))
    ([range(0, 1), range(1, 2), range(2, 3), range(3, 5)], [range(0, 3)])
    """
    later = [*range(first, _FEWEST_FOLDS), *range(_FEWEST_FOLDS, n_folds, max(2, n_folds // 5))]
    starts = [0, *(start for start in later if start < n_folds - 1)]
    for start, stop in zip(starts, [*starts[1:], n_folds], strict=True):
        yield range(start, stop)


def can_reach(
    scores: NDArray[np.float64],
    best: NDArray[np.float64],
    *,
    n_train: float,
    n_test: float,
    of_images: bool = False,
) -> bool:
    """Tell whether a setting may be as good as the best, by the folds that are done.

    Parameters
    ----------
    scores, best : ndarray of shape (n_done,)
        Scores of the setting and of the best one on the same folds.
    n_train, n_test : float
        Images on which a fold is fitted and scored, on average.
    of_images : bool, default=False
        Whether scores are shares of images, which have an interval already after the first fold.

    Returns
    -------
    bool
        Whether the upper limit of the corrected interval (see
        `sktransfer.comparison.significance.corrected_paired_ttest`) of the mean difference reaches zero.
        One image of a fold, at least, counts as the standard deviation, because a few folds may agree
        by chance. One or two folds decide only if Wilson's intervals of the two shares lie apart.

    Examples
    --------
    >>> best = np.array([0.9, 0.95, 0.9])
    >>> [can_reach(best - less, best, n_train=80, n_test=20) for less in (0.05, 0.5)]
    [True, False]
    """
    difference = scores - best
    if np.isnan(difference).any():
        return True
    if len(difference) < _FEWEST_FOLDS:
        n_images = len(difference) * n_test
        _, highest = wilson_interval(float(scores.mean()) * n_images, n_images)
        lowest, _ = wilson_interval(float(best.mean()) * n_images, n_images)
        return not of_images or highest >= lowest
    deviation = max(float(difference.std(ddof=1)), 1 / n_test)
    widening = np.sqrt(1 / len(difference) + n_test / n_train)
    half = stats.t.ppf(_CONFIDENCE, df=len(difference) - 1) * widening * deviation
    return bool(difference.mean() + half >= 0)


def can_be_chosen(
    scores: NDArray[np.float64],
    best: NDArray[np.float64],
    *,
    n_left: int,
    n_rivals: int,
    n_test: float,
) -> bool:
    """Tell whether a setting may have a higher mean over all folds than the best of its candidate.

    That is a question of the folds that are left, and easier than whether the setting is better: the
    choice among settings is made by these folds, and near a tie it matters little.

    Parameters
    ----------
    scores, best : ndarray of shape (n_done,)
        Scores of the setting and of the best one of the same candidate on the same folds.
    n_left : int
        Folds that are left.
    n_rivals : int
        Settings that the best one has to beat, among which the risk of a wrong stop is divided.
    n_test : float
        Images on which a fold is scored, on average.

    Returns
    -------
    bool
        Whether the lead lies within the prediction interval of what the folds that are left may take
        back, by Student's t (Hahn, "Factors for calculating two-sided prediction intervals", Journal of
        the American Statistical Association 64, 1969). As for `can_reach`, a few folds decide nothing, and
        the standard deviation is at least one image of a fold.

    Examples
    --------
    >>> best = np.array([0.9, 0.95, 0.9])
    >>> rest = {"n_left": 2, "n_rivals": 1, "n_test": 20}
    >>> [can_be_chosen(best - less, best, **rest) for less in (0.02, 0.1)]
    [True, False]
    """
    lead, n_done = best - scores, len(scores)
    if n_done < _FEWEST_FOLDS or np.isnan(lead).any():
        return True
    deviation = max(float(lead.std(ddof=1)), 1 / n_test)
    spread = deviation * np.sqrt(n_left + n_left**2 / n_done)  # of the sum of the leads to come
    quantile = stats.t.ppf(1 - _RISK / n_rivals, df=n_done - 1)
    return bool((n_done + n_left) * lead.mean() <= quantile * spread)
