"""Transferability: scores of features and labels that say how well a network would transfer.

All are higher for features that suit the labels better, deterministic, and computed in float64.
`logme` has a module of its own, `sktransfer.ranking.logme`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array

from sktransfer.labels import (
    as_label_array,
    check_class_labels,
    check_labelled_features,
    stratified_folds,
)
from sktransfer.parameters import check_integer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from sklearn.pipeline import Pipeline

__all__ = [
    "hscore",
    "knn_accuracy",
    "leep",
    "linear_cv_accuracy",
    "linear_probe",
    "nleep",
    "shrunk_hscore",
]

_BLOCK = 1024  # images whose distances to all others are held at once
_VARIANCE_KEPT = 0.8
_COMPONENTS_PER_CLASS = 5
_IMAGES_PER_COMPONENT = 5


def hscore(features: ArrayLike, y: ArrayLike) -> float:
    """Score features by how much of their variance lies between the classes, feature by feature.

    ``tr(cov(f)^-1 cov(E[f | y]))`` of [1]_, definition 2. With more features than images it is the
    number of classes less one, whatever the features: then take `shrunk_hscore`.

    Parameters
    ----------
    features : array-like of shape (n_images, n_features)
        Finite. Any invertible linear map of them gives the same score.
    y : array-like of shape (n_images,)
        Labels of two or more classes.

    Returns
    -------
    float
        From 0 to the number of classes less one.

    References
    ----------
    .. [1] Bao, Li, Huang, Zhang, Zheng, Zamir, Guibas, "An information-theoretic approach to
       transferability in task transfer learning", ICIP 2019.

    Examples
    --------
    >>> y = np.arange(60) % 3
    >>> round(hscore(np.eye(3)[y], y), 6)
    2.0
    """
    values, codes = check_labelled_features(features, y)
    centred = values - values.mean(0)
    weighted = _weighted_class_sums(centred, codes)  # (n_classes, n_features)
    # tr(C^+ S' S) by the eigenvectors of the smaller of F'F and FF'; both have the same eigenvalues.
    if centred.shape[1] <= len(centred):
        eigenvalues, vectors = eigh(centred.T @ centred, driver="evd")
        kept = _kept(eigenvalues, len(centred))
        return float(((weighted @ vectors[:, kept]) ** 2 / eigenvalues[kept]).sum())
    eigenvalues, vectors = eigh(centred @ centred.T, driver="evd")
    vectors = vectors[:, _kept(eigenvalues, centred.shape[1])]
    return float((_weighted_class_sums(vectors, codes) ** 2).sum())


def shrunk_hscore(features: ArrayLike, y: ArrayLike) -> float:
    """Score features by their variance between the classes, with a covariance that is shrunk.

    ``(1 - a) tr(cov_a(f)^-1 cov(E[f | y]))`` of [1]_, in which ``cov_a(f)`` is the covariance of the
    features shrunk by the factor a of Ledoit and Wolf [2]_ towards a multiple of the identity. It
    says something with few images, where `hscore` does not.

    Parameters
    ----------
    features : array-like of shape (n_images, n_features)
        Finite. A common factor plays no part.
    y : array-like of shape (n_images,)
        Labels of two or more classes.

    Returns
    -------
    float
        From 0 to the number of classes less one.

    References
    ----------
    .. [1] Ibrahim, Ponomareva, Mazumder, "Newer is not always better: rethinking transferability
       metrics, their peculiarities, stability and performance", ECML PKDD 2022.
    .. [2] Ledoit, Wolf, "A well-conditioned estimator for large-dimensional covariance matrices",
       Journal of Multivariate Analysis, 2004.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(30) % 3
    >>> noise = rng.standard_normal((30, 100))  # more features than images
    >>> round(hscore(noise, y), 6), shrunk_hscore(noise, y) < 0.5
    (2.0, True)
    """
    values, codes = check_labelled_features(features, y)
    centred = values - values.mean(0)
    n, d = centred.shape
    wide = d > n
    gram = (centred @ centred.T if wide else centred.T @ centred) / n
    shrinkage, mean_variance = _ledoit_wolf(gram, (centred**2).sum(1), n, d)
    if mean_variance == 0 or shrinkage == 1:
        return 0.0
    shrunk = (1 - shrinkage) * gram
    shrunk.flat[:: len(gram) + 1] += shrinkage * mean_variance
    factor = cho_factor(shrunk, lower=True, overwrite_a=True)
    # (c F'F + s)^-1 F' = F' (c FF' + s)^-1, so the smaller matrix does in both cases.
    sums = _weighted_class_sums(np.eye(n), codes) if wide else _weighted_class_sums(centred, codes)
    left = sums @ gram if wide else sums / n
    return float((1 - shrinkage) * (left * cho_solve(factor, sums.T).T).sum())


def leep(probabilities: ArrayLike, y: ArrayLike) -> float:
    """Score a network by how well its own classes predict the labels.

    The empirical joint distribution of the network's classes z and the labels y gives ``P(y | z)``;
    the score is the mean log likelihood of the labels under ``sum_z P(y | z) p(z | x)`` ([1]_,
    equations 1 and 2).

    Parameters
    ----------
    probabilities : array-like of shape (n_images, n_source_classes)
        ``p(z | x)``; each row sums to 1.
    y : array-like of shape (n_images,)
        Labels of two or more classes.

    Returns
    -------
    float
        At most 0, in nats an image.

    Raises
    ------
    ValueError
        If the rows are no distributions.

    References
    ----------
    .. [1] Nguyen, Hassner, Seeger, Archambeau, "LEEP: a new measure to evaluate transferability of
       learned representations", ICML 2020.

    Examples
    --------
    >>> leep([[1, 0], [1, 0], [0, 1]], ["ant", "ant", "bee"])  # the classes are the same
    0.0
    """
    theta: NDArray[np.float64] = check_array(probabilities, dtype=np.float64)
    _, codes = check_class_labels(theta, y)
    if theta.min() < 0 or not np.allclose(theta.sum(1), 1, atol=1e-4):
        raise ValueError(
            "probabilities must be at least 0 and sum to 1 in each row. Pass the softmax of the "
            "network's scores."
        )
    joint = np.zeros((codes.max() + 1, theta.shape[1]))  # (n_classes, n_source_classes)
    np.add.at(joint, codes, theta / len(theta))
    marginal = joint.sum(0)
    conditional = joint / np.where(marginal > 0, marginal, 1)  # P(y | z)
    likelihoods = np.einsum("iz,iz->i", theta, conditional[codes])
    return float(np.log(likelihoods).mean())


def nleep(features: ArrayLike, y: ArrayLike, *, random_state: int | None = 0) -> float:
    """Score features as `leep` does, with clusters of a mixture of Gaussians as source classes.

    For networks without a classifier ([1]_): principal components that hold 80 % of the variance,
    and five Gaussians a class, as there; but Gaussians with diagonal covariance, and at least five
    images for each, so that small sets of images do not become clusters of single images.

    Parameters
    ----------
    features : array-like of shape (n_images, n_features)
        Finite.
    y : array-like of shape (n_images,)
        Labels of two or more classes.
    random_state : int or None, default=0
        Seed of the clusters' first centres.

    Returns
    -------
    float
        At most 0, in nats an image.

    References
    ----------
    .. [1] Li, Jia, Sang, Zhu, Green, Wang, Gong, "Ranking neural checkpoints", CVPR 2021.

    Examples
    --------
    >>> y = np.arange(60) % 3
    >>> nleep(np.eye(3)[y] + 0.01 * np.random.default_rng(0).standard_normal((60, 3)), y) > -0.1
    True
    """
    values, codes = check_labelled_features(features, y)
    n_clusters = min(
        _COMPONENTS_PER_CLASS * (codes.max() + 1), len(values) // _IMAGES_PER_COMPONENT
    )
    if np.ptp(values, axis=0).max() == 0:  # one cluster
        return leep(np.ones((len(values), 1)), codes)
    solver = "full" if values.shape[1] > len(values) else "covariance_eigh"
    components = PCA(_VARIANCE_KEPT, svd_solver=solver).fit_transform(values)
    components /= components.std()  # so that the floor of the variances is in proportion
    mixture = GaussianMixture(
        max(2, n_clusters),
        covariance_type="diag",
        reg_covar=1e-4,
        max_iter=500,
        tol=1e-2,
        random_state=random_state,
    )
    return leep(mixture.fit(components).predict_proba(components), codes)


def knn_accuracy(features: ArrayLike, y: ArrayLike, *, n_neighbors: int = 5) -> float:
    """Score features by the share of images that their nearest other images classify.

    Parameters
    ----------
    features : array-like of shape (n_images, n_features)
        Finite; compared by the cosine.
    y : array-like of shape (n_images,)
        Labels of two or more classes.
    n_neighbors : int, default=5
        Number of neighbours that vote; of classes with equally many votes, that of the nearest image wins.

    Returns
    -------
    float
        Leave-one-out accuracy, 0 to 1.

    Examples
    --------
    >>> y = np.arange(60) % 3
    >>> knn_accuracy(np.eye(3)[y], y)
    1.0
    """
    values, codes = check_labelled_features(features, y)
    k = min(check_integer("n_neighbors", n_neighbors, 1, "images that vote"), len(values) - 1)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    unit = values / np.where(lengths > 0, lengths, 1)
    # A whole vote counts more than all places together, and earlier places more than later ones.
    votes = 1 + 0.5 ** (1 + np.arange(k)) / 2
    n_right = 0
    for start in range(0, len(unit), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(unit)))
        cosines = unit[block] @ unit.T
        cosines[np.arange(len(block)), block] = -np.inf
        nearest = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(cosines, nearest, 1), axis=1, kind="stable")
        nearest = np.take_along_axis(nearest, order, 1)  # (block, k), nearest first
        tally = np.zeros((len(block), codes.max() + 1))
        np.add.at(tally, (np.arange(len(block))[:, None], codes[nearest]), votes)
        n_right += int((tally.argmax(1) == codes[block]).sum())
    return n_right / len(unit)


def linear_probe() -> Pipeline:
    """Make the classifier that this package probes features with: scaled logistic regression."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))


def linear_cv_accuracy(
    features: ArrayLike, y: ArrayLike, *, cv: int = 5, random_state: int | None = 0
) -> float:
    """Score features by cross-validating a linear classifier on them: the slowest, and the surest.

    Parameters
    ----------
    features : array-like of shape (n_images, n_features)
        Finite.
    y : array-like of shape (n_images,)
        Labels of two or more classes.
    cv : int, default=5
        Shuffled, stratified folds.
    random_state : int or None, default=0
        Decides the folds.

    Returns
    -------
    float
        Mean accuracy of logistic regression (C=0.01) on standardised features, 0 to 1.

    Raises
    ------
    ValueError
        If a class has fewer than `cv` images.

    Examples
    --------
    >>> y = np.arange(60) % 3
    >>> linear_cv_accuracy(np.eye(3)[y], y)
    1.0
    """
    values, codes = check_labelled_features(features, y)
    folds = stratified_folds(cv, codes, np.unique(as_label_array(y)), random_state=random_state)
    return float(cross_val_score(linear_probe(), values, codes, cv=folds).mean())


def _weighted_class_sums(
    values: NDArray[np.float64], codes: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return S of shape (n_classes, n_columns) with ``S' S = n cov(E[v | y])`` for centred values."""
    counts = np.bincount(codes)
    indicator = np.eye(len(counts))[codes] / np.sqrt(counts)  # (n_images, n_classes)
    sums: NDArray[np.float64] = indicator.T @ values
    return sums


def _kept(eigenvalues: NDArray[np.float64], n: int) -> NDArray[np.bool_]:
    """Tell eigenvalues from rounding errors of zero."""
    largest = max(float(eigenvalues[-1]), 0.0)
    kept: NDArray[np.bool_] = eigenvalues > largest * n * np.finfo(np.float64).eps
    return kept


def _ledoit_wolf(
    gram: NDArray[np.float64], norms: NDArray[np.float64], n: int, d: int
) -> tuple[float, float]:
    """Return the shrinkage of Ledoit and Wolf and the mean variance of the features.

    `gram` is the covariance, or FF'/n, which has the same trace and the same sum of squares;
    `norms` are the squared lengths of the centred rows.
    """
    mean_variance = float(np.trace(gram)) / d
    squares = float((gram**2).sum())
    distance = squares - d * mean_variance**2
    if distance <= np.finfo(np.float64).eps * squares:  # it is what it would be shrunk to
        return 0.0, mean_variance
    error = (float((norms**2).sum()) / n - squares) / n
    return min(max(error / distance, 0.0), 1.0), mean_variance
