"""What a comparison is measured by: the score, and what is reached without looking at an image."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.metrics import get_scorer_names

from sktransfer.comparison.candidates import Candidate
from sktransfer.comparison.grid_fit import GridFits, fit_folds

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sktransfer.comparison.fit import Study

__all__ = ["LARGEST_CLASS", "choose_scoring", "largest_class"]

LARGEST_CLASS = "always the largest class"
"""Name of the row of a comparison that no image decides."""

_UNBALANCED = 3.0  # images of the largest class for each of the smallest


def choose_scoring(
    scoring: str | Callable[..., float] | None, labels: NDArray[np.generic]
) -> tuple[str | Callable[..., float], str]:
    """Choose what to score by, where the user leaves it open.

    Parameters
    ----------
    scoring : str, callable or None
        Choice of the user; None leaves it open.
    labels : ndarray of shape (n_images,)
        Labels that are scored.

    Returns
    -------
    scoring : str or callable
        "balanced_accuracy" if the largest class has more than three times the images of the
        smallest, otherwise "accuracy".
    reason : str
        Sentence that says why; "" if there is nothing to say.

    Examples
    --------
    >>> scoring, reason = choose_scoring(None, np.array(["good"] * 40 + ["defect"] * 5))
    >>> scoring
    'balanced_accuracy'
    >>> print(reason)
    Scored by balanced accuracy, the mean over the classes of the share found: 'good' has 40 images and 'defect' 5, \
so that naming 'good' always would be 0.889 accurate.
    """
    if scoring is not None:
        _refuse_unknown(scoring)
        return scoring, ""
    classes, counts = np.unique(labels, return_counts=True)
    most, least = int(counts.argmax()), int(counts.argmin())
    if counts[most] <= _UNBALANCED * counts[least]:
        return "accuracy", ""
    largest, smallest = classes.tolist()[most], classes.tolist()[least]
    return "balanced_accuracy", (
        "Scored by balanced accuracy, the mean over the classes of the share found: "
        f"{largest!r} has {counts[most]:,} images and {smallest!r} {counts[least]:,}, so that naming "
        f"{largest!r} always would be {counts[most] / counts.sum():.3f} accurate."
    )


def _refuse_unknown(scoring: str | Callable[..., float]) -> None:
    """Refuse the name of no score before anything is fitted."""
    names = get_scorer_names()
    if callable(scoring) or scoring in names:
        return
    near = difflib.get_close_matches(str(scoring), names, n=3)
    nearest = f" Nearest: {', '.join(map(repr, near))}." if near else ""
    raise ValueError(
        f"scoring={scoring!r} is no score of scikit-learn.{nearest} sklearn.metrics.get_scorer_names() "
        "lists all; a function (estimator, X, y) is possible too."
    )


def largest_class(study: Study) -> tuple[Candidate, GridFits]:
    """Score the constant answer that the training part of each fold suggests.

    Parameters
    ----------
    study : Study
        Labels, folds and scoring; its images are not looked at.

    Returns
    -------
    candidate : Candidate
        Candidate that answers so.
    fits : GridFits
        One for each fold; with an error where the scoring wants more than such an answer.
    """
    n_target = 0 if study.y_target is None else len(study.y_target)
    blind = replace(
        study,
        X=np.zeros((len(study.y), 1)),
        X_target=None if study.y_target is None else np.zeros((n_target, 1)),
        journal=None,
        deadline=None,
    )
    candidate = Candidate(DummyClassifier(strategy="most_frequent"))
    fits = fit_folds(candidate.estimator, blind)
    return candidate, GridFits(
        [
            replace(
                fit, fit_seconds=0.0, predict_seconds=0.0, wall_seconds=0.0, peak_memory_bytes=0.0
            )
            for fit in fits
        ]
    )
