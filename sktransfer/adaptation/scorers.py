"""Scorers that choose an adapted model without target labels; a collapsed model is never chosen."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils.metadata_routing import MetadataRequest

from sktransfer.adaptation.criteria import (
    batch_nuclear_norm,
    embedded_validation,
    information_maximization,
    mean_entropy,
    soft_neighborhood_density,
)
from sktransfer.adaptation.domains import SOURCE, Domains, split_domains
from sktransfer.images.indexing import take
from sktransfer.parameters import check_choice
from sktransfer.reference_page import ReferencePage

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["METHODS", "UnsupervisedScorer"]

_REJECTED: Final = -1e6
_SMALLEST: Final = 1e-7  # probability of the right class, so that no loss is infinite


class UnsupervisedScorer(ReferencePage, BaseEstimator):  # type: ignore[misc] # sklearn is untyped
    """A scorer for searches over adapted models that never sees a label of the target.

    Pass it as `scoring`. Of the rows it is given it reads the labels of the source and the images of
    the target, and the greater its score, the better. A model whose accuracy on the source is below
    the floor gets a score of about minus one million, whatever its criterion says: most criteria
    are greatest for some model that has forgotten everything.

    Parameters
    ----------
    method : str, default="source_and_information"
        - "source_and_information": the accuracy on the source, plus what the predictions of the target
          tell of their classes as a share of the most that is possible: a vote of the next two.
        - "source_accuracy": the accuracy on the source; knows nothing of the target, the baseline.
        - "information_maximization": predictions certain one by one and even together.
        - "target_entropy": minus the mean entropy of the target's predictions.
        - "batch_nuclear_norm": the same by the nuclear norm of the matrix of predictions.
        - "soft_neighborhood_density": predictions that form dense groups.
        - "deep_embedded_validation": minus the error of the source rows, each weighted by how much
          it looks like the target.
        - "reverse_validation": the model's labels of half of the rows train a model in the opposite
          direction, whose accuracy on the source is the score (section 5.1.3 of [1]_). Fits one
          model more.

        See `sktransfer.adaptation.criteria` for formulas and papers.
    floor : float or "auto", default="auto"
        The least accuracy on the source. "auto" is half of the way from the share of the largest
        class to 1.
    random_state : int, default=0
        Seed of the draws that a criterion makes.

    See Also
    --------
    DANNClassifier : A network that adapts.

    References
    ----------
    .. [1] Ganin et al., "Domain-adversarial training of neural networks", JMLR 17(59), 2016.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal([[-2, 0]], size=(50, 2)), rng.normal([[2, 0]], size=(50, 2))])
    >>> y = np.repeat([0, 1], 50)
    >>> y[::2] = -1  # the target
    >>> model = LogisticRegression().fit(X[y >= 0], y[y >= 0])
    >>> bool(UnsupervisedScorer()(model, X, y) > 1.6)  # of 2
    True
    >>> UnsupervisedScorer(floor=1.1)(model, X, y) < -1e5
    True
    """

    def __init__(
        self,
        method: str = "source_and_information",
        *,
        floor: float | str = "auto",
        random_state: int = 0,
    ) -> None:
        self.method = method
        self.floor = floor
        self.random_state = random_state

    def __call__(
        self, estimator: object, X: object, y: object, sample_domain: object = None
    ) -> float:
        """Score a fitted model.

        Parameters
        ----------
        estimator : classifier or Pipeline
            Fitted, with `predict_proba`; "deep_embedded_validation" needs `transform` too.
        X : images
            Images of both domains.
        y : array-like of shape (n_rows,)
            Labels of the source, and the estimator's sentinel for rows of the target.
        sample_domain : array-like of shape (n_rows,), optional
            See `DANNClassifier.fit`.

        Returns
        -------
        float
            The greater, the better.

        Raises
        ------
        ValueError
            If there is no such method, or no row of a domain.
        """
        check_choice("method", self.method, METHODS)
        if isinstance(self.floor, str):
            check_choice("floor", self.floor, ("auto",))
        domains = split_domains(y, sample_domain, unlabeled=_sentinel(estimator))
        accuracy = _accuracy(
            estimator, _rows(X, np.flatnonzero(domains.is_source)), domains.source_labels
        )
        if accuracy < self._floor(domains):
            return _REJECTED + accuracy
        return float(METHODS[self.method](estimator, X, domains, accuracy, self.random_state))

    def get_metadata_routing(self) -> MetadataRequest:
        """Ask a search with metadata routing for the domains that its `fit` was given."""
        request = MetadataRequest(owner=self)
        request.score.add_request(param="sample_domain", alias=True)
        return request

    def _floor(self, domains: Domains) -> float:
        if not isinstance(self.floor, str):
            return float(self.floor)
        _, counts = np.unique(domains.source_labels, return_counts=True)
        return float((1 + counts.max() / counts.sum()) / 2)


def _source_accuracy(_: object, __: object, ___: Domains, accuracy: float, ____: int) -> float:
    return accuracy


def _source_and_information(
    estimator: object, X: object, domains: Domains, accuracy: float, __: int
) -> float:
    probabilities = _of_target(estimator, X, domains)
    most = float(np.log(probabilities.shape[1]))
    return accuracy + information_maximization(probabilities) / most


def _target_entropy(estimator: object, X: object, domains: Domains, _: float, __: int) -> float:
    return -mean_entropy(_of_target(estimator, X, domains))


def _information(estimator: object, X: object, domains: Domains, _: float, __: int) -> float:
    return information_maximization(_of_target(estimator, X, domains))


def _nuclear_norm(estimator: object, X: object, domains: Domains, _: float, __: int) -> float:
    return batch_nuclear_norm(_of_target(estimator, X, domains))


def _density(estimator: object, X: object, domains: Domains, _: float, seed: int) -> float:
    return soft_neighborhood_density(_of_target(estimator, X, domains), random_state=seed)


def _embedded(estimator: Any, X: Any, domains: Domains, _: float, seed: int) -> float:
    source = _rows(X, np.flatnonzero(domains.is_source))
    probabilities = estimator.predict_proba(
        source, **_of_source(estimator, len(domains.source_labels))
    )
    columns = _columns(estimator.classes_, domains.source_labels)
    losses = -np.log(np.maximum(probabilities[np.arange(len(columns)), columns], _SMALLEST))
    losses[columns < 0] = -np.log(_SMALLEST)  # classes that the model has never seen
    target = _rows(X, np.flatnonzero(~domains.is_source))
    of_source, of_target = (np.asarray(estimator.transform(rows)) for rows in (source, target))
    return -embedded_validation(losses, of_source, of_target, seed)


def _reverse(estimator: Any, X: Any, domains: Domains, _: float, seed: int) -> float:
    """Swap the domains, and score on source rows that the second model has not seen."""
    rng = np.random.default_rng(seed)
    source = rng.permutation(np.flatnonzero(domains.is_source))
    held_out, unlabelled = source[: len(source) // 2], source[len(source) // 2 :]
    target = np.flatnonzero(~domains.is_source)
    told = np.asarray(estimator.predict(_rows(X, target)))
    if len(np.unique(told)) < 2:
        return 0.0  # a model that predicts one class for all of the target teaches nothing
    sentinel = _sentinel(estimator)
    y = np.empty(len(target) + len(unlabelled), dtype=object)
    y[: len(target)], y[len(target) :] = list(told), [sentinel] * len(unlabelled)
    if domains.labels.dtype.kind != "O":
        y = y.astype(np.result_type(told, domains.labels))
    reverse = clone(estimator).fit(_rows(X, np.concatenate([target, unlabelled])), y)
    told = np.asarray(reverse.predict(_rows(X, held_out)))  # of the target, to this model
    return float(np.mean(told == domains.labels[held_out]))


METHODS: Final[dict[str, Callable[..., float]]] = {
    "source_and_information": _source_and_information,
    "source_accuracy": _source_accuracy,
    "target_entropy": _target_entropy,
    "information_maximization": _information,
    "batch_nuclear_norm": _nuclear_norm,
    "soft_neighborhood_density": _density,
    "deep_embedded_validation": _embedded,
    "reverse_validation": _reverse,
}
"""What `method` can be."""


def _sentinel(estimator: object) -> object:
    """Find `unlabeled` of the last step; -1, scikit-learn's convention, if it has none."""
    return getattr(_last_step(estimator), "unlabeled", -1)


def _last_step(estimator: object) -> Any:
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif hasattr(estimator, "steps"):
            estimator = estimator.steps[-1][1]
        else:
            return estimator


def _rows(X: object, rows: NDArray[np.intp]) -> Any:
    return take(X, rows)


def _of_target(estimator: Any, X: Any, domains: Domains) -> NDArray[np.generic]:
    return np.asarray(estimator.predict_proba(_rows(X, np.flatnonzero(~domains.is_source))))


def _accuracy(estimator: Any, X: Any, labels: NDArray[np.generic]) -> float:
    told = np.asarray(estimator.predict(X, **_of_source(estimator, len(labels))))
    return float(np.mean(told == labels))


def _of_source(estimator: object, n_rows: int) -> dict[str, object]:
    """Say that rows are of the source, to an estimator that may normalise each domain by itself."""
    takes = inspect.signature(_last_step(estimator).predict).parameters
    return {"sample_domain": np.full(n_rows, SOURCE)} if "sample_domain" in takes else {}


def _columns(classes: NDArray[np.generic], labels: NDArray[np.generic]) -> NDArray[np.intp]:
    """Find the column of each label; -1 if it has none."""
    place = {label: column for column, label in enumerate(classes.tolist())}
    return np.array([place.get(label, -1) for label in labels.tolist()])
