"""Criteria of how well a model fits a domain without labels, from its predictions and features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "batch_nuclear_norm",
    "embedded_validation",
    "information_maximization",
    "mean_entropy",
    "soft_neighborhood_density",
]

_MAX_ROWS = 2000  # of a matrix of all pairs
_RATIO = 1e-3  # smallest probability of a domain, so that no weight is infinite


def mean_entropy(probabilities: NDArray[np.generic]) -> float:
    """Average the entropy of each row's prediction, in nats: 0 where all are certain.

    Examples
    --------
    >>> round(mean_entropy(np.array([[1.0, 0.0], [0.5, 0.5]])), 4)
    0.3466
    """
    return float(_entropies(probabilities).mean())


def information_maximization(probabilities: NDArray[np.generic]) -> float:
    """Compute the mutual information of rows and classes, in nats.

    The entropy of the mean prediction minus the mean entropy [1]_: great where each row is certain
    and all classes are predicted, 0 where every row is predicted the same. At most log(n_classes).

    References
    ----------
    .. [1] Bridle, Heading, MacKay, "Unsupervised classifiers, mutual information and 'phantom
       targets'", NeurIPS 1991; Musgrave, Belongie, Lim, "Unsupervised domain adaptation: a reality
       check", 2021.

    Examples
    --------
    >>> round(information_maximization(np.eye(4)), 4)
    1.3863
    """
    mean = probabilities.mean(0, keepdims=True)
    return float(_entropies(mean)[0] - _entropies(probabilities).mean())


def batch_nuclear_norm(probabilities: NDArray[np.generic]) -> float:
    """Compute the nuclear norm of the matrix of predictions, as a share of the greatest possible.

    Great where rows are certain and classes even [1]_; 1 is the most.

    References
    ----------
    .. [1] Cui et al., "Towards discriminability and diversity: batch nuclear-norm maximization under
       label insufficient situations", CVPR 2020.

    Examples
    --------
    >>> round(batch_nuclear_norm(np.eye(4)), 6)
    1.0
    """
    n_rows, n_classes = probabilities.shape
    norm = np.linalg.norm(probabilities.astype(np.float64), "nuc")
    return float(norm / np.sqrt(n_rows * min(n_rows, n_classes)))


def soft_neighborhood_density(
    probabilities: NDArray[np.generic], temperature: float = 0.05, random_state: int = 0
) -> float:
    """Compute the entropy of each row's similarity to the others, averaged, in nats.

    Great where predictions form few dense groups (equations 2 to 4 of [1]_). It is also great where
    all rows are predicted the same, so it needs a floor on the accuracy of the source. Of more than
    2000 rows as many are drawn.

    References
    ----------
    .. [1] Saito et al., "Tune it the right way: unsupervised validation of domain adaptation via soft
       neighborhood density", ICCV 2021.

    Examples
    --------
    >>> grouped = np.repeat(np.eye(2), 10, axis=0)
    >>> soft_neighborhood_density(grouped) > soft_neighborhood_density(np.eye(20))
    False
    """
    rows = probabilities.astype(np.float64)
    if len(rows) > _MAX_ROWS:
        rng = np.random.default_rng(random_state)
        rows = rows[rng.choice(len(rows), _MAX_ROWS, replace=False)]
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    similar = rows @ rows.T / temperature
    np.fill_diagonal(similar, -np.inf)
    weights = np.exp(similar - similar.max(1, keepdims=True))
    return float(_entropies(weights / weights.sum(1, keepdims=True)).mean())


def embedded_validation(
    losses: NDArray[np.generic],
    source: NDArray[np.generic],
    target: NDArray[np.generic],
    random_state: int = 0,
) -> float:
    """Estimate the risk on the target from losses on the source: deep embedded validation.

    Each loss counts by how much more likely its row is in the target, as a classifier of features
    says, and a control variate lowers the variance (algorithm 1 of [1]_). The classifier tells each
    row without having seen it.

    Parameters
    ----------
    losses : ndarray of shape (n_source,)
        Losses of source rows that the model was not trained on.
    source, target : ndarray of shape (n_source, n_features) and (n_target, n_features)
        Features.

    Returns
    -------
    float
        The smaller, the better.

    References
    ----------
    .. [1] You, Wang, Long, Jordan, "Towards accurate model selection in deep unsupervised domain
       adaptation", ICML 2019.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> source, target = rng.normal(size=(500, 1)), rng.normal(loc=1, size=(500, 1))
    >>> wrong_on_the_right = (source[:, 0] > 1).astype(float)
    >>> embedded_validation(wrong_on_the_right, source, target) > 0.3 > wrong_on_the_right.mean()
    np.True_
    """
    X = np.concatenate([source, target])
    is_target = np.repeat([0, 1], [len(source), len(target)])
    folds = StratifiedKFold(2, shuffle=True, random_state=random_state)
    teller = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    told = cross_val_predict(teller, X, is_target, cv=folds, method="predict_proba")
    of_target = told[: len(source), 1].clip(_RATIO, 1 - _RATIO)
    weights = len(source) / len(target) * of_target / (1 - of_target)
    weighted = weights * losses
    variance = weights.var()
    eta = -np.cov(weighted, weights, ddof=0)[0, 1] / variance if variance > 0 else 0.0
    return float(weighted.mean() + eta * weights.mean() - eta)


def _entropies(probabilities: NDArray[np.generic]) -> NDArray[np.float64]:
    p = probabilities.astype(np.float64)
    entropies: NDArray[np.float64] = -(p * np.log(p, out=np.zeros_like(p), where=p > 0)).sum(1)
    return entropies
