"""How far a score can be trusted: its interval, and what choosing by it adds to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sktransfer.proportions import mean_share_interval, wilson_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sktransfer.comparison.fit import Fit, Study

__all__ = ["interval_of", "optimism_of"]

_N_DRAWS = 200


def interval_of(fits: Sequence[Fit], study: Study) -> tuple[float, float]:
    """Compute the 95 % interval of a setting's score, from the images that it had not seen.

    Parameters
    ----------
    fits : sequence of Fit
        One for each fold that is done.
    study : Study
        Labels, folds and scoring.

    Returns
    -------
    low, high : float
        Interval of accuracy by Wilson, of balanced accuracy by the posterior of its classes; an image that
        repeated folds score several times counts once. NaN for another scoring.
    """
    hits, scored = _hits(fits, study)
    labels = study.y if study.y_target is None else study.y_target
    share = np.divide(hits, scored, out=np.zeros_like(hits), where=scored > 0)
    if not scored.any():
        return float("nan"), float("nan")
    if study.scoring == "accuracy":
        return wilson_interval(float(share.sum()), int((scored > 0).sum()))
    _, codes = np.unique(labels, return_inverse=True)
    seen = np.bincount(codes, weights=scored > 0)
    return mean_share_interval(np.bincount(codes, weights=share)[seen > 0], seen[seen > 0])


def optimism_of(settings: Sequence[Sequence[Fit]], study: Study, random_state: int = 0) -> float:
    """Estimate how much the best mean score of several settings exceeds what the choice is worth.

    Images are drawn with replacement, again and again; each time the best setting on those drawn is
    scored on those left out, and the mean loss is the optimism: the bootstrap of [1]_, without a bias
    correction of its own, on predictions that are there.

    Parameters
    ----------
    settings : sequence of sequence of Fit
        Fits of each setting, one for each fold.
    study : Study
        Labels, folds and scoring.
    random_state : int, default=0
        Seed of the draws.

    Returns
    -------
    float
        0 or more; NaN where predictions of single images are not kept.

    References
    ----------
    .. [1] Tsamardinos, Greasidou, Borboudakis, "Bootstrapping the out-of-sample predictions for
       efficient and accurate cross-validation", Machine Learning 107, 2018.
    """
    if study.y_target is not None or not settings:
        return float("nan")
    counted = [_hits(fits, study) for fits in settings]
    scored = counted[0][1]
    if not (scored > 0).all():
        return float("nan")
    share = np.array([hits / scored for hits, _ in counted])
    weights = _weights(study)
    random = np.random.default_rng(random_state)
    losses = []
    for _ in range(_N_DRAWS):
        drawn = np.bincount(
            random.integers(0, share.shape[1], share.shape[1]), minlength=share.shape[1]
        )
        left = drawn == 0
        means = (share * weights * drawn).sum(axis=1) / (weights * drawn).sum()
        best = int(means.argmax())
        outside = float((share[best] * weights)[left].sum() / weights[left].sum())
        losses.append(float(means[best]) - outside)
    return max(0.0, float(np.mean(losses)))


def _hits(fits: Sequence[Fit], study: Study) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Count for each image how often it was scored and how often rightly."""
    labels = study.y if study.y_target is None else study.y_target
    hits, scored = np.zeros(len(labels)), np.zeros(len(labels))
    if study.classes is None:
        return hits, scored
    code_of = {label: code for code, label in enumerate(study.classes.tolist())}
    codes = np.array([code_of.get(label, -2) for label in labels.tolist()])
    for fit in fits:
        if fit.predicted is not None:
            rows = study.folds[fit.fold][1] if study.y_target is None else np.arange(len(labels))
            np.add.at(scored, rows, 1)
            np.add.at(hits, rows, fit.predicted == codes[rows])
    return hits, scored


def _weights(study: Study) -> NDArray[np.float64]:
    """Weigh images so that the mean is the score: all alike, or all classes alike."""
    if study.scoring != "balanced_accuracy":
        return np.ones(len(study.y))
    _, codes, counts = np.unique(study.y, return_inverse=True, return_counts=True)
    weights: NDArray[np.float64] = 1 / counts[codes]
    return weights
