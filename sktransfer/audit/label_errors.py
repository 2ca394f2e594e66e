"""Label errors: labels with which a classifier that never saw them confidently disagrees."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import StratifiedGroupKFold

from sktransfer.ranking.transferability import linear_probe

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Suspicion", "confident_disagreement", "out_of_fold_probabilities"]

_MAJORITY = 0.5


class Suspicion(NamedTuple):
    """What is suspected of each label."""

    suspect: NDArray[np.bool_]
    suggested: NDArray[np.intp]  # codes; the given one where nothing is suspected
    given_probability: NDArray[np.float64]
    suggested_probability: NDArray[np.float64]


def out_of_fold_probabilities(
    features: NDArray[np.float32],
    codes: NDArray[np.intp],
    groups: NDArray[np.intp],
    *,
    n_classes: int,
    cv: int,
    random_state: int | None,
) -> NDArray[np.float64]:
    """Predict the class of each image by a linear classifier fitted without it and its duplicates.

    Returns
    -------
    ndarray of shape (n_images, n_classes), dtype float64
        NaN for images of classes that have fewer than two.
    """
    counts = np.bincount(codes, minlength=n_classes)
    judged = np.flatnonzero(counts[codes] > 1)
    probabilities = np.full((len(codes), len(counts)), np.nan)
    if len(np.unique(codes[judged])) < 2:
        return probabilities
    n_splits = max(2, min(cv, int(counts[counts > 1].min())))
    folds = StratifiedGroupKFold(n_splits, shuffle=True, random_state=random_state)
    probe = linear_probe()
    for train, test in folds.split(judged, codes[judged], groups[judged]):
        if len(test) == 0 or len(np.unique(codes[judged[train]])) < 2:
            continue
        fitted = clone(probe).fit(features[judged[train]], codes[judged[train]])
        rows = np.zeros((len(test), len(counts)))
        rows[:, fitted.classes_] = fitted.predict_proba(features[judged[test]])
        probabilities[judged[test]] = rows
    return probabilities


def confident_disagreement(
    probabilities: NDArray[np.float64], codes: NDArray[np.intp]
) -> Suspicion:
    """Apply confident learning ([1]_, equations 1 and 2) to out-of-fold probabilities.

    A class is confidently predicted for an image if its probability is at least the mean that the
    class has among the images labelled so. A label is suspect if the most probable of the classes
    so predicted is another: the image lies off the diagonal of the confident joint. Beyond the
    paper, it must also be more probable than all others together, because the mean of a class that
    the classifier hardly knows is low.

    Parameters
    ----------
    probabilities : ndarray of shape (n_images, n_classes)
        Rows of NaN are not judged.
    codes : ndarray of shape (n_images,), dtype intp
        The labels given.

    References
    ----------
    .. [1] Northcutt, Jiang, Chuang, "Confident learning: estimating uncertainty in dataset labels",
       Journal of Artificial Intelligence Research 70, 2021.

    Examples
    --------
    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.9, 0.1]])
    >>> confident_disagreement(p, np.array([0, 0, 1, 1])).suspect
    array([False, False, False,  True])
    """
    n = len(codes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # means of classes none of which is judged
        thresholds = np.array(
            [np.nanmean(probabilities[codes == k, k]) for k in range(probabilities.shape[1])]
        )
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)  # NaN compares as False
    best = confident.argmax(1)
    suspect = (confident.max(1) > _MAJORITY) & (best != codes)
    suggested = np.where(suspect, best, codes)
    rows = np.arange(n)
    return Suspicion(suspect, suggested, probabilities[rows, codes], probabilities[rows, suggested])
