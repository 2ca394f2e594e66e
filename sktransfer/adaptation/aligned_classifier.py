"""`DomainAlignedClassifier`: any classifier, on vectors of two domains that were brought together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from sktransfer.adaptation.domains import join_domains
from sktransfer.adaptation.unlabeled_scoring import warn_of_unlabeled_in_scorer
from sktransfer.adaptation.vector_maps import MAPS
from sktransfer.inner_classifier import InnerClassifier, inner_has
from sktransfer.labels import check_lengths, labelled_rows
from sktransfer.parameters import check_parameters, checked, choice, integer
from sktransfer.reference_page import ReferencePage
from sktransfer.training.targets import refuse_missing_y

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from sklearn.utils import Tags

__all__ = ["DomainAlignedClassifier"]


@dataclass(kw_only=True, eq=False, repr=False)
class DomainAlignedClassifier(
    ReferencePage,
    InnerClassifier,
    ClassifierMixin,  # type: ignore[misc] # sklearn is untyped
    BaseEstimator,  # type: ignore[misc]
):
    """Learns from the labelled vectors of a source, after they were made to look like a target's.

    The simple alternatives to :class:`~sktransfer.DANNClassifier`: nothing is trained but the classifier,
    in seconds, behind a frozen network in a Pipeline. Compare an adaptation with them before you
    believe in it.

    Parameters
    ----------
    estimator : classifier or None, default=None
        Classifier of the aligned vectors; None is logistic regression.
    method : {"standardize", "coral", "subspaces", "optimal_transport"}, default="coral"
        - "standardize": each domain gets means of 0 and standard deviations of 1.
        - "coral": then the source gets the covariance of the target [1]_.
        - "subspaces": the principal axes of the source are turned to those of the target [2]_.
        - "optimal_transport": each vector of the source moves to where the cheapest transport carries
          it, with classes kept apart [3]_; needs the package POT, and memory for all pairs.
    n_components : int, default=50
        Dimensions of "subspaces"; fewer where there are fewer rows or columns.
    unlabeled : object, default=-1
        Label of rows of the target, of the type of the others; None, NaN and pandas' NA are possible.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted, without `unlabeled`.
    estimator_ : classifier
        Fitted to the source's vectors.
    n_features_in_ : int
        Number of columns of `X`.

    Raises
    ------
    ImportError
        From `fit`, if POT is needed and not installed.
    ValueError
        From `fit`, if there are not two rows of a domain.

    See Also
    --------
    DANNClassifier : Trains a network, or a bottleneck on vectors, so that the domains cannot be told apart.
    DomainsDisplay : Draws the domains.

    References
    ----------
    .. [1] Sun, Feng, Saenko, "Return of frustratingly easy domain adaptation", AAAI 2016.
    .. [2] Fernando, Habrard, Sebban, Tuytelaars, "Unsupervised visual domain adaptation using subspace
       alignment", ICCV 2013.
    .. [3] Courty, Flamary, Tuia, Rakotomamonjy, "Optimal transport for domain adaptation", TPAMI 2017.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 100)
    >>> source = rng.normal(size=(200, 2)) + 4 * np.eye(2)[y]
    >>> target = rng.normal(size=(200, 2)) + 4 * np.eye(2)[y] + [30, 0]
    >>> float(LogisticRegression().fit(source, y).score(target, y))
    0.5
    >>> model = DomainAlignedClassifier().fit(source, y, X_target=target)
    >>> bool(model.score(target, y) > 0.98)
    True
    """

    estimator: object = field(default=None, kw_only=False)
    method: str = checked("coral", choice(*MAPS))
    n_components: int = checked(50, integer(1, "dimensions of the subspaces"))
    unlabeled: object = -1

    # With metadata routing a search hands on the domains that its `fit` was given.
    __metadata_request__fit: ClassVar[dict[str, object]] = {"sample_domain": True}
    __metadata_request__predict: ClassVar[dict[str, object]] = {"sample_domain": True}
    __metadata_request__predict_proba = __metadata_request__predict
    __metadata_request__decision_function = __metadata_request__predict
    __metadata_request__score = __metadata_request__predict

    def fit(
        self,
        X: object,
        y: ArrayLike,
        sample_domain: ArrayLike | None = None,
        X_target: object = None,
    ) -> DomainAlignedClassifier:
        """Bring the domains together, and fit the classifier to the source.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Vectors of both domains, or of the source alone if `X_target` is given.
        y : array-like of shape (n_rows,)
            Labels of the source. Where there is no `sample_domain`, rows labelled `unlabeled` are of
            the target.
        sample_domain : array-like of shape (n_rows,), dtype int, optional
            The domain of each row: 0 or more for sources, negative for targets, whose labels are then
            not looked at.
        X_target : array-like of shape (n_target_rows, n_features), optional
            Vectors of the target, beside `X`.

        Returns
        -------
        DomainAlignedClassifier
            The estimator itself.
        """
        check_parameters(self)
        refuse_missing_y(y, type(self).__name__)
        parts = [self._checked(X, reset=True)]
        if X_target is not None:
            parts.append(self._checked(X_target, reset=False))
        domains = join_domains(y, sample_domain, [*map(len, parts)], unlabeled=self.unlabeled)
        labels = domains.source_labels
        check_classification_targets(labels)
        vectors = np.concatenate(parts)
        source, target = vectors[domains.is_source], vectors[~domains.is_source]
        for domain, rows in (("source", source), ("target", target)):
            if len(rows) < 2:
                raise ValueError(
                    f"the {domain} has 1 sample. The statistics of a domain need at least two rows."
                )
        maps = MAPS[self.method](source, target, labels, self.n_components)
        self.estimator_ = self._classifier().fit(maps.source(source), labels)
        self.classes_ = self.estimator_.classes_
        self._maps = maps
        self._marks_by_label = sample_domain is None and X_target is None
        return self

    def predict(self, X: object, sample_domain: ArrayLike | None = None) -> NDArray[np.generic]:
        """Name the most probable class of each vector.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Vectors.
        sample_domain : array-like of shape (n_rows,), dtype int, optional
            The domain of each row, 0 or more for the source. Without it all are taken for the target's.

        Returns
        -------
        ndarray of shape (n_rows,)
            Labels; never `unlabeled`.
        """
        warn_of_unlabeled_in_scorer(self)
        return self._labels(X, sample_domain)

    @available_if(inner_has("predict_proba"))  # type: ignore[untyped-decorator] # of sklearn
    def predict_proba(
        self, X: object, sample_domain: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Compute the probability of each class.

        Parameters
        ----------
        X, sample_domain
            As in `predict`.

        Returns
        -------
        ndarray of shape (n_rows, n_classes), dtype float64
            Rows sum to one.
        """
        aligned = self._aligned(X, sample_domain)
        found: NDArray[np.float64] = self.estimator_.predict_proba(aligned)
        return found

    @available_if(inner_has("decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(
        self, X: object, sample_domain: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Compute the scores of the classes.

        Parameters
        ----------
        X, sample_domain
            As in `predict`.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_classes)
            As those of the classifier.
        """
        aligned = self._aligned(X, sample_domain)
        found: NDArray[np.float64] = self.estimator_.decision_function(aligned)
        return found

    def score(
        self,
        X: object,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        sample_domain: ArrayLike | None = None,
    ) -> float:
        """Compute the accuracy on the rows that have a label.

        Parameters
        ----------
        X, sample_domain
            As in `predict`.
        y : array-like of shape (n_rows,)
            Labels; rows labelled `unlabeled` are left out.
        sample_weight : array-like of shape (n_rows,), optional
            Weights of the rows.

        Returns
        -------
        float
            From 0 to 1.
        """
        labels, labelled = labelled_rows(y, self.unlabeled, "an UnsupervisedScorer as `scoring`")
        predicted = self._labels(X, sample_domain)
        check_lengths(X=predicted, y=labels, sample_weight=sample_weight)
        weights = None if sample_weight is None else np.asarray(sample_weight)[labelled]
        return float(np.average(predicted[labelled] == labels[labelled], weights=weights))

    def _labels(self, X: object, sample_domain: ArrayLike | None) -> NDArray[np.generic]:
        aligned = self._aligned(X, sample_domain)
        found: NDArray[np.generic] = self.estimator_.predict(aligned)
        return found

    def _aligned(self, X: object, sample_domain: ArrayLike | None) -> NDArray[np.float64]:
        check_is_fitted(self)
        vectors = self._checked(X, reset=False)
        if sample_domain is None:
            return self._maps.target(vectors)
        check_lengths(X=vectors, sample_domain=sample_domain)
        of_source = np.asarray(sample_domain) >= 0
        aligned = self._maps.target(vectors)
        if of_source.any():
            aligned[of_source] = self._maps.source(vectors[of_source])
        return aligned

    def _checked(self, X: object, *, reset: bool) -> NDArray[np.floating]:
        values: NDArray[np.floating] = validate_data(
            self, X, dtype=[np.float64, np.float32], reset=reset
        )
        return values

    def __sklearn_clone__(self) -> object:
        copied = super().__sklearn_clone__()
        copied._is_copy = True
        return copied

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_maps")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
