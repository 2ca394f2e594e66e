"""Which rows are of the source and which of the target: by the label, or by the domain's number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from sktransfer.labels import as_label_array, check_lengths, is_unlabeled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "SOURCE",
    "TARGET",
    "Domains",
    "as_labels",
    "join_domains",
    "split_domains",
]

SOURCE, TARGET = 1, -2
"""Numbers of the domains where none are given; skada takes the same."""


@dataclass(frozen=True)
class Domains:
    """The rows of a data set by domain.

    Parameters
    ----------
    numbers : ndarray of shape (n_rows,), dtype int64
        Domain of each row: sources are 0 or more, targets are negative.
    labels : ndarray of shape (n_rows,)
        As they were given; those of target rows are never read.
    """

    numbers: NDArray[np.int64]
    labels: NDArray[np.generic]

    @property
    def is_source(self) -> NDArray[np.bool_]:
        """Whether each row is of a source."""
        return self.numbers >= 0

    @property
    def names(self) -> NDArray[np.int64]:
        """The number of each domain once: sources from the smallest up, then targets."""
        found = np.unique(self.numbers)
        return np.concatenate([found[found >= 0], found[found < 0]])

    @property
    def source_labels(self) -> NDArray[np.generic]:
        """Labels of the source rows; of the type that they have among themselves."""
        return as_label_array(self.labels[self.is_source])


def split_domains(y: object, sample_domain: object = None, *, unlabeled: object = -1) -> Domains:
    """Tell source from target.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        Labels. Without `sample_domain`, rows whose label is `unlabeled` are of the target and all
        others of the source.
    sample_domain : array-like of shape (n_rows,), dtype int, optional
        The domain of each row, 0 or more for sources and negative for targets. The labels of target
        rows then do not matter, and those of source rows must be there.
    unlabeled : object, default=-1
        The label that says there is none, of the type of the others; None and NaN are possible.

    Raises
    ------
    ValueError
        If there are no rows of the source or none of the target, or a source row has no label.

    Examples
    --------
    >>> split_domains(["cat", "?", "dog"], unlabeled="?").numbers
    array([ 1, -2,  1])
    >>> split_domains([5, 7, 7], [0, -1, 3]).source_labels
    array([5, 7])
    """
    labels = as_labels(y)
    without = is_unlabeled(labels, unlabeled)
    if sample_domain is None:
        numbers = np.where(without, TARGET, SOURCE).astype(np.int64)
        _check_both(numbers, labels, unlabeled)
    else:
        numbers = _as_numbers(sample_domain)
        check_lengths(y=labels, sample_domain=numbers)
        _check_both(numbers, labels, unlabeled, given=True)
        missing = without & (numbers >= 0)
        if missing.any():
            raise ValueError(
                f"y holds the label {unlabeled!r}, which says there is none, in {missing.sum()} "
                f"rows of a source (the first is row {missing.argmax()}). Give these rows their "
                "labels, or a negative sample_domain."
            )
    domains = Domains(numbers, labels)
    own = domains.source_labels
    if own.dtype.kind == "f" and not np.isfinite(own).all():
        check_array(own[:, None], input_name="y")
    check_classification_targets(own)
    return domains


def join_domains(
    y: object, sample_domain: object, lengths: Sequence[int], *, unlabeled: object = -1
) -> Domains:
    """Tell the domain of each row of `X`, and of the rows of `X_target` after them if there are any.

    Parameters
    ----------
    y, sample_domain, unlabeled
        As in `split_domains`, of the rows of `X`.
    lengths : sequence of one or two int
        Rows of `X`, and of `X_target`.

    Raises
    ------
    ValueError
        As `split_domains`, and if there are more or fewer labels than rows of `X`.

    Examples
    --------
    >>> join_domains([5, 7], None, [2, 3]).numbers
    array([ 1,  1, -2, -2, -2])
    """
    n_given = len(y) if hasattr(y, "__len__") else lengths[0]
    if n_given != lengths[0]:
        raise ValueError(
            f"X and y have different lengths: {lengths[0]} rows and {n_given} labels. Pass one "
            "label for each row."
        )
    if len(lengths) == 1:
        return split_domains(y, sample_domain, unlabeled=unlabeled)
    labels = as_labels(y)
    numbers = np.where(is_unlabeled(labels, unlabeled), TARGET, SOURCE)
    if sample_domain is not None:
        numbers = np.asarray(sample_domain)
    labels = np.concatenate([labels, np.repeat(labels[:1], lengths[1])])
    numbers = np.concatenate([numbers, np.full(lengths[1], TARGET)])
    return split_domains(labels, numbers, unlabeled=unlabeled)


def as_labels(y: object) -> NDArray[np.generic]:
    """Return labels as an array of one axis, see `sktransfer.labels.as_label_array`."""
    return column_or_1d(as_label_array(y), warn=True)  # type: ignore[no-any-return]


def _as_numbers(sample_domain: object) -> NDArray[np.int64]:
    numbers = column_or_1d(sample_domain)
    is_whole = numbers.dtype.kind in "iu" or (
        numbers.dtype.kind in "bf" and np.array_equal(numbers, np.round(numbers))
    )
    if not is_whole:
        some = ", ".join(map(repr, numbers[:3].tolist()))
        raise ValueError(
            f"sample_domain holds {some}{', ...' if len(numbers) > 3 else ''}, and must hold whole "
            "numbers: 0 or more for rows of a source, negative ones for rows of a target."
        )
    whole: NDArray[np.int64] = numbers.astype(np.int64)
    return whole


def _check_both(
    numbers: NDArray[np.int64],
    labels: NDArray[np.generic],
    unlabeled: object,
    *,
    given: bool = False,
) -> None:
    n_source, n_target = int((numbers >= 0).sum()), int((numbers < 0).sum())
    if n_source and n_target:
        return
    which = "target" if n_source else "source"
    if given:
        raise ValueError(
            f"sample_domain has no {which} row among {len(numbers)}: sources are 0 or more, targets "
            "negative. Adaptation needs rows of both."
        )
    text = str(unlabeled)
    disguised = labels.dtype.kind == "U" and not isinstance(unlabeled, str) and text in labels
    hint = (
        f" y holds the text {text!r}, to which NumPy turns {unlabeled!r} among strings: pass "
        f"unlabeled={text!r}."
        if disguised
        else ""
    )
    marked = "is" if n_source else "is not"
    raise ValueError(
        f"y has no {which} row among {len(labels)}: none {marked} labelled {unlabeled!r}.{hint} Rows "
        f"whose label is unlabeled={unlabeled!r} are of the target; domains can also be told by "
        "sample_domain. Adaptation needs rows of both."
    )
