"""`LabeledFold`: folds over the labelled rows, in which unlabelled ones train and are never scored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import StratifiedKFold, check_cv
from sklearn.utils.validation import column_or_1d

from sktransfer.labels import as_label_array, is_unlabeled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

__all__ = ["LabeledFold"]


@dataclass(kw_only=True)
class LabeledFold:
    """Split the labelled rows as `cv` does, and train on the unlabelled ones in every fold.

    Parameters
    ----------
    cv : int or splitter, default=5
        Splitter of the labelled rows. An int gives that many shuffled folds, in each of which the
        classes have their shares.
    unlabeled : object, default=-1
        Label of rows that have none; None, NaN and pandas' NA are possible.
    random_state : int, RandomState or None, default=None
        Seed of the folds, if `cv` is an int.

    See Also
    --------
    LabeledClassifier : Ends a pipeline whose other steps learn from all rows.

    Examples
    --------
    >>> y = np.array([0, 1, -1, 0, 1, -1])
    >>> for train, test in LabeledFold(2, random_state=0).split(np.zeros((6, 1)), y):
    ...     train.tolist(), test.tolist()
    ([0, 2, 4, 5], [1, 3])
    ([1, 2, 3, 5], [0, 4])

    In a search, estimators that take unlabelled rows are compared with others on the same rows:

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_val_score
    >>> from sktransfer import NeighborSelfTrainingClassifier
    >>> X = np.array([[0.0, 1], [1, 0], [0.1, 1], [0, 1.1], [1, 0.1], [1, 0.2]])
    >>> model = NeighborSelfTrainingClassifier(n_neighbors=2)
    >>> cross_val_score(model, X, y, cv=LabeledFold(2, random_state=0)).tolist()
    [1.0, 1.0]
    """

    cv: object = field(default=5, kw_only=False)
    unlabeled: object = -1
    random_state: object = None

    def split(
        self,
        X: object,  # noqa: ARG002 - API of scikit-learn
        y: ArrayLike,
        groups: ArrayLike | None = None,
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Yield the rows that train and the rows that are scored, fold by fold.

        Parameters
        ----------
        X : object
            Ignored.
        y : array-like of shape (n_rows,)
            Labels, `unlabeled` where there is none.
        groups : array-like of shape (n_rows,), optional
            Groups of all rows, for splitters that know of groups. Unlabelled rows whose group is
            scored do not train.

        Yields
        ------
        train, test : ndarray of shape (n_train,) and (n_test,), dtype intp
            Rising. All of `test` are labelled.

        Raises
        ------
        ValueError
            If no row has a label, or as the splitter does.
        """
        labelled, labels, splitter = self._labelled(y)
        rows = np.zeros((len(labels), 1))
        of_rows = None if groups is None else column_or_1d(np.asarray(groups))
        own = None if of_rows is None else of_rows[labelled]
        others = np.setdiff1d(np.arange(len(as_label_array(y))), labelled)
        for train, test in splitter.split(rows, labels, own):
            apart = others
            if of_rows is not None and own is not None:
                apart = others[~np.isin(of_rows[others], own[test])]
            yield np.sort(np.concatenate([labelled[train], apart])), np.sort(labelled[test])

    def get_n_splits(
        self,
        X: object = None,  # noqa: ARG002 - API of scikit-learn
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X : object
            Ignored.
        y : array-like of shape (n_rows,), optional
            Labels, for splitters that count them.
        groups : array-like of shape (n_rows,), optional
            Groups of all rows.
        """
        if y is None:
            return int(self._splitter().get_n_splits())
        labelled, labels, splitter = self._labelled(y)
        own = None if groups is None else np.asarray(groups)[labelled]
        return int(splitter.get_n_splits(np.zeros((len(labels), 1)), labels, own))

    def _labelled(self, y: ArrayLike) -> tuple[NDArray[np.intp], NDArray[np.generic], Any]:
        """Find the labelled rows, their labels, and the splitter for them."""
        labels = column_or_1d(as_label_array(y))
        labelled = np.flatnonzero(~is_unlabeled(labels, self.unlabeled))
        if not len(labelled):
            raise ValueError(
                f"y has no label: all {len(labels)} rows are unlabeled={self.unlabeled!r}. Folds are "
                "made of the rows that have one."
            )
        own = as_label_array(labels[labelled])
        return labelled, own, self._splitter(own)

    def _splitter(self, labels: NDArray[np.generic] | None = None) -> Any:
        if isinstance(self.cv, int):
            return StratifiedKFold(self.cv, shuffle=True, random_state=self.random_state)
        return check_cv(self.cv, labels, classifier=True)
