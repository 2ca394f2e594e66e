"""A scorer of scikit-learn that would count rows without a label as errors is named in a warning."""

from __future__ import annotations

import sys
import warnings
from typing import Any

from sktransfer.exceptions import TrainingWarning

__all__ = ["warn_of_unlabeled_in_scorer"]

_SCORERS = "sklearn.metrics._scorer"  # private; tried with scikit-learn 1.6 to 1.9
_DEPTH = 8  # frames between a scorer and `predict`


def warn_of_unlabeled_in_scorer(estimator: Any) -> None:
    """Warn if a scorer such as "accuracy" asks a copy that a search made for its predictions.

    Such a scorer compares all rows of the part that is held back, those of the target too, whose
    label says that there is none; each of them counts as an error. It only warns, and only where
    the rows of the target were marked by their labels, so a miss or a false alarm changes nothing.
    """
    if not getattr(estimator, "_is_copy", False) or not getattr(
        estimator, "_marks_by_label", False
    ):
        return
    if _called_by_a_scorer():
        unlabeled = estimator.unlabeled
        warnings.warn(
            f"a scorer of scikit-learn counts rows labelled unlabeled={unlabeled!r} as errors of "
            f"{type(estimator).__name__}. In a search or cross-validation leave scoring=None, which "
            "scores the rows that have a label, or pass UnsupervisedScorer(), which needs none.",
            TrainingWarning,
            stacklevel=3,
        )


def _called_by_a_scorer() -> bool:
    frame = sys._getframe(3)  # who called `predict`
    for _ in range(_DEPTH):
        module = str(frame.f_globals.get("__name__"))
        if module == _SCORERS or module.startswith("sktransfer.") or frame.f_back is None:
            return module == _SCORERS
        frame = frame.f_back
    return False
