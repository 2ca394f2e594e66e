"""Is a teacher better than the student as it starts? Labels tell, by folds, before any training."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import column_or_1d

from sktransfer.exceptions import TeacherWarning
from sktransfer.labels import as_label_array, is_unlabeled

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BETTER_BY", "LabelledRows", "labelled_rows", "score_by_folds"]

BETTER_BY = 0.02
"""Lead in accuracy from which on a teacher counts as better.

With 10 labels a class, MobileNetV2 was taken for better than the bundled network on digits over photographs, where
it is worse, in 10 % of 40 draws, and in 25 % without a margin; a worse teacher harms more than a better one helps.
"""

_FOLDS = 5
_REPEATED = 3  # times, where the labels are few
_FEW = 500
_ENOUGH = 2000  # rows; more would not change the answer


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Rows whose labels allow a cross-validation.

    Parameters
    ----------
    rows : ndarray of shape (n_labelled,), dtype intp
        Numbers of the images.
    codes : ndarray of shape (n_labelled,), dtype intp
        Their classes, from 0; two of each at least.
    seed : int
        Seed of the folds, which are the same for all vectors.
    """

    rows: NDArray[np.intp]
    codes: NDArray[np.intp]
    seed: int

    def score(self, vectors: NDArray[np.float32]) -> float:
        """Compute the accuracy of a linear classifier of the rows' vectors over the folds."""
        return score_by_folds(vectors, self.codes, self.seed)


def labelled_rows(
    y: object, unlabeled: object, images: tuple[int, NDArray[np.intp]], seed: int
) -> LabelledRows | None:
    """Find the rows on which networks can be compared; None, with a warning, if there are too few.

    Parameters
    ----------
    y : array-like of shape (n_images,) or None
        Labels.
    unlabeled : object
        Label of rows that have none.
    images : (int, ndarray of int)
        Number of images, and rows of those that could not be read.
    seed : int
        Decides about folds, and which rows are taken where there are many.

    Raises
    ------
    ValueError
        If there are more or fewer labels than images.
    """
    reason = "without labels"
    if y is not None:
        reason = "without two classes of two labels each"
        labels = column_or_1d(as_label_array(y))
        _check_lengths(images[0], len(labels))
        rows = np.setdiff1d(np.flatnonzero(~is_unlabeled(labels, unlabeled)), images[1])
        known = as_label_array(labels[rows])
        if len(rows) and type_of_target(known) in ("binary", "multiclass"):
            some = np.sort(np.random.default_rng(seed).permutation(len(rows))[:_ENOUGH])
            _, codes, counts = np.unique(known[some], return_inverse=True, return_counts=True)
            kept = counts[codes] > 1
            classes, codes = np.unique(codes[kept], return_inverse=True)
            if len(classes) > 1:
                return LabelledRows(rows[some[kept]], codes, seed)
    warnings.warn(
        f"{reason}, nothing can tell whether the teacher is better than the student, and a worse one "
        "makes the student worse. Pass y with a few labels, -1 for the other images, or set "
        "check_teacher=False.",
        TeacherWarning,
        stacklevel=3,
    )
    return None


def score_by_folds(vectors: NDArray[np.float32], codes: NDArray[np.intp], seed: int) -> float:
    """Compute the accuracy of a linear classifier of vectors over folds.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 20)
    >>> score_by_folds(rng.normal(size=(40, 3)) + 5 * y[:, None], y, 0)
    1.0
    """
    n_folds = min(_FOLDS, int(np.bincount(codes).min()))
    n_repeats = _REPEATED if len(codes) < _FEW else 1
    folds = RepeatedStratifiedKFold(n_splits=n_folds, n_repeats=n_repeats, random_state=seed)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    return float(np.mean(cross_val_score(model, vectors, codes, cv=folds)))


def _check_lengths(n_images: int, n_labels: int) -> None:
    if n_images != n_labels:
        raise ValueError(
            f"X and y have different lengths: {n_images} images and {n_labels} labels. Pass one label "
            "for each image, or none at all."
        )
