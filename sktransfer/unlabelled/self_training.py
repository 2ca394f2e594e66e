"""`NeighborSelfTrainingClassifier`: labels spread over neighbours, and count where a classifier agrees."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import has_fit_parameter

from sktransfer.parameters import checked, integer, number
from sktransfer.unlabelled.neighbors import nearest_others, unit_length
from sktransfer.unlabelled.partly_labelled import PartlyLabelled

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["NeighborSelfTrainingClassifier"]

_SPREAD = 0.9  # alpha of equation (3) of Zhou et al.: share that comes from the neighbours
_N_STEPS = 60  # after which 0.9 ** n is below 0.002
_POWER = 3  # of the cosine, which tells near from nearer


@dataclass(kw_only=True, eq=False, repr=False)
class NeighborSelfTrainingClassifier(PartlyLabelled):
    """Learn from labelled vectors, and from unlabelled ones whose neighbours and classifier agree.

    Labels are spread over a graph of nearest neighbours [1]_. An unlabelled row counts with the label
    that reaches it if a classifier of the labelled rows alone predicts the same label, and of each
    class the surer half of these rows is taken, each with a small weight [2]_. Neighbours are looked
    for among all rows, each column standardised by all of them. Neighbours that share a background
    rather than a class lead astray: compare it with the classifier alone, by
    :class:`~sktransfer.LabeledFold`.

    Parameters
    ----------
    estimator : classifier or None, default=None
        Classifier of vectors; None is logistic regression on vectors that are standardised by all
        rows of the fit, and of unit length. One that takes no weights counts the rows that were
        taken like labelled ones.
    n_neighbors : int, default=10
        Number of neighbours of a row, by the cosine.
    unlabeled : object, default=-1
        Label of rows that have none, of the type of the others; None, NaN and pandas' NA are possible.
    weight : float, default=0.3
        Weight of a row that was taken, if the label that reached it is certain; less if it is not.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted, without `unlabeled`.
    estimator_ : classifier
        The classifier of labelled rows and those that were taken.
    transduction_ : ndarray of shape (n_rows,)
        Labels of the rows of the fit with which they counted; `unlabeled` where a row was not taken.
    n_features_in_ : int
        Number of columns of `X`.

    Raises
    ------
    ValueError
        From `fit`, if fewer than two classes have labels.

    See Also
    --------
    NeighborSmoother : Averages vectors with their neighbours.
    LabeledFold : Folds that say whether either helps.

    References
    ----------
    .. [1] Zhou, Bousquet, Lal, Weston, Schölkopf, "Learning with local and global consistency",
       NIPS 2003, equation 3.
    .. [2] Iscen, Tolias, Avrithis, Chum, "Label propagation for deep semi-supervised learning", CVPR
       2019, equations 5 and 10: weights of certainty by the entropy.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 100)
    >>> X = rng.normal(size=(200, 5)) + 4 * np.eye(5)[y]
    >>> few = np.where(np.arange(200) % 100 < 2, y, -1)  # two labels a class
    >>> model = NeighborSelfTrainingClassifier().fit(X, few)
    >>> bool(model.score(X, y) > 0.95)
    True
    """

    estimator: object = field(default=None, kw_only=False)
    n_neighbors: int = checked(10, integer(1, "neighbours of a row"))
    unlabeled: object = -1
    weight: float = checked(0.3, number(0, 1, "the weight of rows that were taken", closed=True))

    def fit(self, X: object, y: ArrayLike) -> NeighborSelfTrainingClassifier:
        """Fit the classifier to labelled rows, and again with the unlabelled rows that are taken.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Vectors.
        y : array-like of shape (n_rows,)
            Labels, `unlabeled` where there is none.

        Returns
        -------
        NeighborSelfTrainingClassifier
            The estimator itself.
        """
        values, labels, labelled, others, known = self._rows_of(X, y)
        classes, codes = np.unique(known, return_inverse=True)
        self.classes_ = classes
        self._scaler = StandardScaler().fit(values)
        given = self._given(values)
        self.estimator_ = self._classifier().fit(given[labelled], known)
        taken, taken_codes, weights = self._agreed(values, labelled, others, codes)
        if len(taken):
            rows = np.concatenate([labelled, taken])
            counted = np.concatenate([np.ones(len(labelled)), self.weight * weights])
            self.estimator_ = _fit_weighted(
                self._classifier(), given[rows], classes[np.r_[codes, taken_codes]], counted
            )
        self.transduction_ = labels.copy()
        self.transduction_[taken] = classes[taken_codes]
        return self

    def _classifier(self) -> Any:
        if self.estimator is None:
            return LogisticRegression(C=100.0, max_iter=1000)
        return super()._classifier()

    def _directions(self, X: NDArray[np.floating]) -> NDArray[np.floating]:
        """Standardise vectors by all rows of the fit, and divide them by their length."""
        return unit_length(self._scaler.transform(X))

    def _given(self, X: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the vectors that the classifier is given."""
        return self._directions(X) if self.estimator is None else X

    def _agreed(
        self,
        X: NDArray[np.floating],
        labelled: NDArray[np.intp],
        others: NDArray[np.intp],
        codes: NDArray[np.intp],
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
        """Choose unlabelled rows: rows, codes of their labels, and certainty from 0 to 1."""
        nothing = np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0)
        if not len(others):
            return nothing
        directions = self._directions(X)
        shares = spread_labels(directions, labelled, codes, len(self.classes_), self.n_neighbors)
        shares = shares[others]
        reached = shares.sum(1) > 0
        if not reached.any():
            return nothing
        others, shares = others[reached], shares[reached]
        guess = shares.argmax(1)
        agree = self.classes_[guess] == self.estimator_.predict(self._given(X)[others])
        certain = _certainty(shares)
        chosen = np.zeros(len(others), bool)
        for code in np.unique(guess[agree]):
            rows = np.flatnonzero(agree & (guess == code))
            surest_first = rows[np.argsort(-certain[rows], kind="stable")]
            chosen[surest_first[: (len(rows) + 1) // 2]] = True
        return others[chosen], guess[chosen], certain[chosen]


def spread_labels(
    X: NDArray[np.floating],
    labelled: NDArray[np.intp],
    codes: NDArray[np.intp],
    n_classes: int,
    n_neighbors: int,
) -> NDArray[np.float64]:
    """Spread labels over a graph of nearest neighbours: (n_rows, n_classes), rows that sum to one.

    Classes start with the same total, and end with it, so that a class with more labels, or in a
    denser place, wins nothing. Rows that no label reaches are zero.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        All vectors.
    labelled : ndarray of shape (n_labelled,)
        Rows that have labels.
    codes : ndarray of shape (n_labelled,)
        Their classes, from 0.
    n_classes : int
        Number of classes.
    n_neighbors : int
        Number of neighbours of a row.

    Examples
    --------
    >>> X = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    >>> spread_labels(X, np.array([0, 2]), np.array([0, 1]), 2, 1).argmax(1).tolist()
    [0, 0, 1, 1]
    """
    n_rows = len(X)
    found = nearest_others(X, X, unit_length(X), n_neighbors)
    affinity = np.clip(found.cosines.astype(np.float64), 0, None) ** _POWER
    starts = np.repeat(np.arange(n_rows), found.rows.shape[1])
    directed = sparse.coo_array((affinity.ravel(), (starts, found.rows.ravel())), (n_rows, n_rows))
    mutual = sparse.csr_array(directed + directed.T)
    degree: NDArray[np.float64] = np.asarray(mutual.sum(1)).ravel()
    scale = sparse.diags_array(1 / np.sqrt(np.where(degree > 0, degree, 1)))
    graph = sparse.csr_array(scale @ mutual @ scale)
    start = np.zeros((n_rows, n_classes))
    start[labelled, codes] = 1 / np.bincount(codes, minlength=n_classes)[codes]
    total = start.copy()
    for _ in range(_N_STEPS):
        total = _SPREAD * (graph @ total) + (1 - _SPREAD) * start
    total = total / np.where(total.sum(0) > 0, total.sum(0), 1)
    whole = total.sum(1, keepdims=True)
    shares: NDArray[np.float64] = total / np.where(whole > 0, whole, 1)
    return shares


def _certainty(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return one less the entropy of each row, in units of its largest possible value."""
    logs = np.log(np.where(shares > 0, shares, 1))
    certainty: NDArray[np.float64] = 1 + (shares * logs).sum(1) / np.log(shares.shape[1])
    return np.clip(certainty, 0, 1)


def _fit_weighted(
    estimator: Any, X: NDArray[np.floating], y: NDArray[np.generic], weights: NDArray[np.float64]
) -> Any:
    """Fit a classifier, or the last step of a pipeline, with weights if it takes them."""
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        named = {f"{name}__sample_weight": weights}
        return estimator.fit(X, y, **(named if has_fit_parameter(last, "sample_weight") else {}))
    takes = has_fit_parameter(estimator, "sample_weight")
    return estimator.fit(X, y, **({"sample_weight": weights} if takes else {}))
