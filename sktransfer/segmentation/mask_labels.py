"""Labels of pixels and their codes: which classes there are, and which pixels count nowhere."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.exceptions import ImageWarning, MaskError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from sktransfer.segmentation.masks import MaskSequence

__all__ = [
    "MaskLabels",
    "as_labels",
    "class_weights",
    "classes_of",
    "code_dtype",
    "is_unlabeled",
    "labels_of",
]


@dataclass(frozen=True, eq=False)
class MaskLabels:
    """Classes of pixels, and the way from labels to codes and back.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted labels.
    unlabeled : ndarray of shape (n_labels,)
        Labels that count nowhere.

    Examples
    --------
    >>> labels = MaskLabels(np.array([0, 255]), np.array([-1]))
    >>> labels.encode(np.array([[255, -1, 0]])).tolist()
    [[1, 2, 0]]
    >>> labels.decode(np.array([[1, 0]])).tolist()
    [[255, 0]]
    """

    classes: NDArray[np.generic]
    unlabeled: NDArray[np.generic]

    @property
    def nowhere(self) -> int:
        """The code of pixels that count nowhere, one above those of the classes."""
        return len(self.classes)

    def encode(self, mask: NDArray[np.generic], described: str = "a mask") -> NDArray[np.generic]:
        """Map labels (height, width) to codes, `nowhere` for those that count nowhere.

        Raises
        ------
        MaskError
            If a label is not among the classes.
        """
        values, places = np.unique(mask, return_inverse=True)
        codes = np.full(len(values), self.nowhere, code_dtype(len(self.classes)))
        for at, value in enumerate(values):
            found = np.flatnonzero(self.classes == value)
            if len(found):
                codes[at] = found[0]
            elif not is_unlabeled(values[at : at + 1], self.unlabeled)[0]:
                raise MaskError(
                    f"{described} holds the label {value.item()!r}, which is not among the classes "
                    f"{self.classes.tolist()} that were fitted. Correct the mask, fit masks that hold "
                    "this label, or add it to unlabeled so that its pixels count nowhere."
                )
        return codes[places].reshape(mask.shape)

    def decode(self, codes: NDArray[np.generic]) -> NDArray[np.generic]:
        """Map codes of classes to labels."""
        labels: NDArray[np.generic] = self.classes[codes]
        return labels


def as_labels(unlabeled: Any) -> NDArray[np.generic]:
    """Return the labels that count nowhere as an array: one, or several.

    Raises
    ------
    TypeError
        If it is neither a label nor a sequence of labels.

    Examples
    --------
    >>> as_labels(-1).tolist(), as_labels([11, 255]).tolist(), as_labels(None).tolist()
    ([-1], [11, 255], [])
    """
    if unlabeled is None:
        return np.array([], np.int64)
    several = isinstance(unlabeled, list | tuple | set | frozenset | np.ndarray | range)
    values = list(unlabeled) if several else [unlabeled]
    for value in values:
        if not isinstance(value, Integral | str | np.str_ | np.bool_):
            raise TypeError(
                f"unlabeled={unlabeled!r} holds a {type(value).__name__}. Pass a label, an int or a str, "
                "or a list of labels."
            )
    return np.array(values)


def is_unlabeled(labels: NDArray[np.generic], unlabeled: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Tell which labels count nowhere; names and numbers are never equal."""
    if (labels.dtype.kind in "SU") != (unlabeled.dtype.kind in "SU"):
        return np.zeros(labels.shape, bool)
    found: NDArray[np.bool_] = np.isin(labels, unlabeled)
    return found


def code_dtype(n_classes: int) -> np.dtype[Any]:
    """Return the smallest dtype for codes of so many classes and one more."""
    return np.min_scalar_type(n_classes)


def classes_of(
    masks: Iterable[NDArray[np.generic]], unlabeled: NDArray[np.generic]
) -> NDArray[np.generic]:
    """Collect the labels of masks, sorted, without those that count nowhere."""
    found: set[Any] = set()
    dtypes = set()
    for mask in masks:
        values = np.unique(mask)
        dtypes.add(mask.dtype)
        found.update(values[~is_unlabeled(values, unlabeled)].tolist())
    kinds = {isinstance(label, str | bytes) for label in found}
    if len(kinds) > 1:
        raise MaskError(
            "some masks hold numbers and others names. Pass labels of one kind, and number names by a "
            "table of your own."
        )
    if not found:
        return np.array([], np.int64)
    return np.array(sorted(found), np.result_type(*dtypes))


def labels_of(
    found: list[NDArray[np.generic]], unlabeled: object, masks: MaskSequence, row: int
) -> MaskLabels:
    """Collect the classes of masks.

    Raises
    ------
    MaskError
        If no pixel is labelled, or all are of one class.
    """
    left_out = as_labels(unlabeled)
    classes = classes_of(found, left_out)
    if len(classes) < 2:
        held = f"only the class {classes.tolist()}" if len(classes) else "no labelled pixel"
        raise MaskError(
            f"the masks hold {held}; the first is {masks.describe(row)}, and unlabeled={unlabeled!r} "
            "counts nowhere. Pass masks of at least two classes."
        )
    if len(classes) > 2 and classes.dtype.kind in "iu" and classes[-1] == 255 > len(classes):
        warnings.warn(
            f"255 is one of the classes {classes.tolist()}, while it often marks pixels without a label. "
            "Set unlabeled=255 if it does.",
            ImageWarning,
            stacklevel=4,
        )
    return MaskLabels(classes, left_out)


def class_weights(
    class_weight: object, classes: NDArray[np.generic], counts: NDArray[np.int64]
) -> NDArray[np.float32] | None:
    """Compute the weight of each class from numbers of pixels.

    Raises
    ------
    ValueError
        If it is something else, or names a label that no mask holds.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, dict):
        unknown = [label for label in class_weight if label not in classes.tolist()]
        if unknown:
            raise ValueError(
                f"class_weight names {unknown[0]!r}, which is not among the classes {classes.tolist()}."
            )
        return np.array([class_weight.get(label, 1.0) for label in classes.tolist()], np.float32)
    if class_weight != "balanced":
        raise ValueError(
            f"class_weight={class_weight!r} is not possible. Choose None, 'balanced', or a dict from "
            "class to weight."
        )
    return np.asarray(counts.sum() / (len(classes) * np.maximum(counts, 1)), np.float32)
