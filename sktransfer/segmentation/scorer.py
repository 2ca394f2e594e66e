"""`MaskScorer`: how well predicted masks agree with true ones, for searches and for tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import MetadataRequest

from sktransfer.exceptions import MaskError
from sktransfer.images.indexing import take
from sktransfer.parameters import check_choice
from sktransfer.reference_page import ReferencePage
from sktransfer.segmentation.boundaries import boundary_f, match_boundaries
from sktransfer.segmentation.confusion import Confusion, count_pixels
from sktransfer.segmentation.mask_labels import MaskLabels, as_labels, classes_of
from sktransfer.segmentation.masks import MaskSequence, as_mask_sequence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["METHODS", "MaskScorer"]

METHODS: Final = ("iou", "dice", "accuracy", "boundary_f")
"""What `MaskScorer` measures."""

_AT_ONCE = 16  # images whose masks are predicted together, so that memory stays flat


class MaskScorer(ReferencePage, BaseEstimator):  # type: ignore[misc] # sklearn is untyped
    """A scorer of masks for `scoring` in searches; the greater, the better.

    Pixels are counted over the whole data set, so that a score depends neither on batches nor on
    images that lack a class. A class that neither side has a pixel of is left out of the mean.

    Parameters
    ----------
    method : {"iou", "dice", "accuracy", "boundary_f"}, default="iou"
        - "iou": intersection over union, averaged over classes.
        - "dice": twice the intersection over the sum of both, averaged over classes.
        - "accuracy": the part of the pixels that is right.
        - "boundary_f": precision and recall of outlines within 0.75 % of the image's diagonal,
          their harmonic mean averaged over classes.
    label : int, str or None, default=None
        The one class that is scored; with "accuracy", the part of its pixels that is found.
    per_image : bool, default=False
        Whether each image is scored by itself and the scores averaged, which gives small objects in
        images of their own more weight.
    unlabeled : int, str or sequence of these, default=-1
        Labels of true masks whose pixels are not counted.

    See Also
    --------
    FineTuneSegmenter : Trains what is scored.
    find_regions : Boxes and areas of the objects in masks.

    Examples
    --------
    >>> scorer = MaskScorer(unlabeled=255)
    >>> true = np.array([[[0, 0, 1, 255]]])
    >>> float(scorer.measure(true, np.array([[[0, 1, 1, 1]]])))
    0.5
    """

    def __init__(
        self,
        method: str = "iou",
        *,
        label: object = None,
        per_image: bool = False,
        unlabeled: object = -1,
    ) -> None:
        self.method = method
        self.label = label
        self.per_image = per_image
        self.unlabeled = unlabeled

    def __call__(self, estimator: object, X: object, y: object) -> float:
        """Score the masks that a fitted estimator predicts.

        Parameters
        ----------
        estimator : object
            Fitted, with `predict` that returns masks.
        X : images
            As in its `fit`.
        y : masks
            True masks, as in its `fit`.

        Returns
        -------
        float
            In 0..1.

        Raises
        ------
        MaskError
            If true masks hold a label that `estimator` was not fitted with, or no pixel counts.
        """
        known = getattr(estimator, "classes_", None)
        masks = as_mask_sequence(y, getattr(estimator, "image_shape", None))
        return self._score(masks, _predicted(estimator, X, len(masks)), known)

    def measure(self, y_true: object, y_pred: object) -> float:
        """Score masks that have been predicted.

        Parameters
        ----------
        y_true, y_pred : masks
            Masks of equal sizes.

        Returns
        -------
        float
            In 0..1.
        """
        predicted = as_mask_sequence(y_pred, name="y_pred")
        rows = (predicted.read(row) for row in range(len(predicted)))
        return self._score(as_mask_sequence(y_true, name="y_true"), rows, None)

    def scores_by_label(self, y_true: object, y_pred: object) -> dict[object, float]:
        """Score each class by itself over the whole data set; classes on neither side are left out.

        Parameters
        ----------
        y_true, y_pred : masks
            Masks of equal sizes.

        Returns
        -------
        dict
            From label to score.
        """
        predicted = as_mask_sequence(y_pred, name="y_pred")
        rows = (predicted.read(row) for row in range(len(predicted)))
        counts, classes = self._counts(as_mask_sequence(y_true, name="y_true"), rows, None)
        scores = self._of_classes(sum(counts))
        return {
            label: float(score)
            for label, score in zip(classes.tolist(), scores, strict=True)
            if not np.isnan(score)
        }

    def _score(self, true: MaskSequence, predicted: Iterator[object], known: object) -> float:
        check_choice("method", self.method, METHODS)
        counts, classes = self._counts(true, predicted, known)
        parts = counts if self.per_image else [sum(counts)]
        scores = [self._one(part, classes) for part in parts]
        usable = [score for score in scores if not np.isnan(score)]
        if not usable:
            what = "pixel counts" if self.label is None else f"pixel is of label={self.label!r}"
            raise MaskError(
                f"no {what}, in true masks or predicted ones, so there is no score. Pass masks with "
                f"other labels than unlabeled={self.unlabeled!r}, and a `label` that they hold."
            )
        return float(np.mean(usable))

    def _counts(
        self, true: MaskSequence, predicted: Iterator[Any], known: object
    ) -> tuple[list[NDArray[np.int64]], NDArray[np.generic]]:
        """Count pixels image by image, in codes of all classes of either side."""
        left_out = as_labels(self.unlabeled)
        raw: list[tuple[NDArray[np.generic], NDArray[np.int64]]] = []
        for row, mask in enumerate(predicted):
            truth = true.read(row)
            if truth.shape != mask.shape:
                raise MaskError(
                    f"{true.describe(row)} has the shape {truth.shape}, while the predicted mask has "
                    f"{mask.shape}. Pass masks in the size of their images."
                )
            if known is not None:
                MaskLabels(np.asarray(known), left_out).encode(truth, true.describe(row))
            labels = classes_of([truth, mask], np.array([], truth.dtype))
            raw.append((labels, self._count(truth, mask, labels, left_out)))
        if len(raw) != len(true):
            raise MaskError(
                f"there are {len(true)} true masks and {len(raw)} predicted ones. Pass one for each "
                "image."
            )
        given = [label for labels, _ in raw for label in labels.tolist()]
        given += [] if known is None else np.asarray(known).tolist()
        classes = np.unique(np.array(given))
        return [_widened(part, labels, classes) for labels, part in raw], classes

    def _count(
        self,
        truth: NDArray[np.generic],
        mask: NDArray[np.generic],
        labels: NDArray[np.generic],
        left_out: NDArray[np.generic],
    ) -> NDArray[np.int64]:
        from sktransfer.segmentation.mask_labels import is_unlabeled

        counted = ~is_unlabeled(truth, left_out)
        one, other = (np.searchsorted(labels, part) for part in (truth, mask))
        if self.method == "boundary_f":
            return match_boundaries(one, other, counted, len(labels))
        return count_pixels(one[counted], other[counted], len(labels))

    def _one(self, counts: Any, classes: NDArray[np.generic]) -> float:
        if self.label is None and self.method == "accuracy":
            return Confusion(counts).accuracy()
        scores = self._of_classes(counts)
        if self.label is not None:
            found = np.flatnonzero(classes == self.label)
            return float(scores[found[0]]) if len(found) else float("nan")
        return float(np.mean(scores[~np.isnan(scores)])) if not np.isnan(scores).all() else np.nan

    def _of_classes(self, counts: Any) -> NDArray[np.float64]:
        if self.method == "boundary_f":
            return boundary_f(counts)
        confusion = Confusion(counts)
        measures = {"iou": confusion.iou, "dice": confusion.dice, "accuracy": confusion.recall}
        return measures[self.method]()

    def get_metadata_routing(self) -> MetadataRequest:
        """Return what a scorer asks for: nothing beside X and y."""
        return MetadataRequest(owner=type(self).__name__)


def _predicted(estimator: Any, X: Any, n_rows: int) -> Iterator[object]:
    """Predict masks, some images at a time."""
    for start in range(0, n_rows, _AT_ONCE):
        rows = np.arange(start, min(start + _AT_ONCE, n_rows))
        yield from estimator.predict(take(X, rows))


def _widened(
    counts: NDArray[np.int64], labels: NDArray[np.generic], classes: NDArray[np.generic]
) -> NDArray[np.int64]:
    """Put the counts of some classes into their places among all."""
    places = np.searchsorted(classes, labels)
    if counts.shape[1] == 4 and counts.shape[0] != counts.shape[1]:
        wide = np.zeros((len(classes), 4), np.int64)
        wide[places] = counts
        return wide
    wide = np.zeros((len(classes), len(classes)), np.int64)
    wide[np.ix_(places, places)] = counts
    return wide
