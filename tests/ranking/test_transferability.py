"""Scores of transferability against brute force in float64, and what is known of them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from sklearn.covariance import LedoitWolf
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from sktransfer.ranking import (
    hscore,
    knn_accuracy,
    leep,
    linear_cv_accuracy,
    logme,
    nleep,
    shrunk_hscore,
)
from sktransfer.ranking.logme import log_evidences
from sktransfer.ranking.transferability import _ledoit_wolf

OF_FEATURES = [logme, hscore, shrunk_hscore, nleep, knn_accuracy, linear_cv_accuracy]
each = pytest.mark.parametrize("score", OF_FEATURES, ids=lambda score: score.__name__)

# tall, square, wide, a single column, a single class's worth of rows more than columns
SHAPES = [(40, 5), (24, 24), (30, 60), (40, 1), (25, 24)]


def _labelled(n, d, n_classes=3, signal=1.0, seed=0):
    """Rectified noise, as features of a network are, whose first columns know the class a little."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    F = rng.standard_normal((n, d))
    F[:, : min(d, n_classes)] += signal * np.eye(n_classes)[y][:, : min(d, n_classes)]
    return np.maximum(F, 0) + 0.1, y


def _evidence_by_optimiser(F, y):
    """Maximise log N(y; 0, F F'/alpha + I/beta) over both, from several starts."""
    n = len(y)

    def negative(logs):
        alpha, beta = np.exp(logs)
        covariance = F @ F.T / alpha + np.eye(n) / beta
        _, log_determinant = np.linalg.slogdet(covariance)
        return (n * np.log(2 * np.pi) + log_determinant + y @ np.linalg.solve(covariance, y)) / 2

    options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000}
    starts = [(0, 0), (4, 3), (-3, 2), (3, -3)]
    runs = [minimize(negative, x, method="Nelder-Mead", options=options) for x in starts]
    return -min(run.fun for run in runs) / n


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_logme_is_the_evidence_that_an_optimiser_finds(n, d):
    F, y = _labelled(n, d)
    one_hot = np.eye(3)[y]
    expected = [_evidence_by_optimiser(F, one_hot[:, k]) for k in range(3)]
    assert_allclose(log_evidences(F, one_hot), expected, rtol=1e-9, atol=1e-9)
    assert_allclose(logme(F, y), np.mean(expected), rtol=1e-9)


def test_logme_of_features_that_say_nothing_is_that_of_noise_alone():
    y = np.arange(30) % 3
    noise = [np.log(2 * np.pi * np.mean(t**2)) / -2 - 0.5 for t in np.eye(3)[y].T]
    assert_allclose(logme(np.zeros((30, 4)), y), np.mean(noise))
    centred = np.random.default_rng(0).standard_normal((30, 2))
    centred -= np.eye(3)[y] @ np.stack([centred[y == k].mean(0) for k in range(3)])
    assert_allclose(logme(centred, y), np.mean(noise), rtol=1e-6)  # orthogonal to every target


def test_logme_is_finite_for_features_that_are_the_labels():
    y = np.arange(30) % 3
    assert np.isfinite(logme(np.eye(3)[y], y))
    assert np.isfinite(logme(np.eye(30), y))
    assert logme(np.eye(3)[y], y) > logme(_labelled(30, 3)[0], y)


def test_logme_depends_neither_on_the_scale_nor_on_rotations_of_the_features():
    F, y = _labelled(40, 6)
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((6, 6)))[0]
    for other in (1e-6 * F, 1e6 * F, F @ rotation, F[:, ::-1], np.hstack([F, np.zeros((40, 50))])):
        assert_allclose(logme(other, y), logme(F, y), rtol=1e-8)


def test_logme_prefers_few_informative_features_to_the_same_among_noise():
    F, y = _labelled(60, 3, signal=3)
    noise = np.random.default_rng(1).standard_normal((60, 200))
    assert logme(F, y) > logme(np.hstack([F, noise]), y)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_hscore_is_the_trace_with_a_plain_pseudo_inverse(n, d):
    F, y = _labelled(n, d)
    F = np.hstack([F, np.full((n, 1), 0.5), F[:, :1]])  # a dead channel and a repeated one
    means = np.stack([F[y == label].mean(0) for label in y])
    covariance, between = np.cov(F.T, bias=True), np.cov(means.T, bias=True)
    expected = np.trace(np.linalg.pinv(covariance, rcond=1e-12, hermitian=True) @ between)
    assert_allclose(hscore(F, y), expected, rtol=1e-8)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_shrunk_hscore_is_the_trace_with_scikit_learns_shrunk_covariance(n, d):
    F, y = _labelled(n, d)
    shrunk = LedoitWolf().fit(F)
    means = np.stack([F[y == label].mean(0) for label in y])
    between = np.atleast_2d(np.cov(means.T, bias=True))
    inverse = np.linalg.inv(shrunk.covariance_)
    expected = (1 - shrunk.shrinkage_) * np.trace(inverse @ between)
    assert_allclose(shrunk_hscore(F, y), expected, rtol=1e-9, atol=1e-12)
    centred = F - F.mean(0)
    found, _ = _ledoit_wolf(centred.T @ centred / n, (centred**2).sum(1), n, d)
    assert_allclose(found, shrunk.shrinkage_, atol=1e-12)


def test_hscore_says_nothing_with_more_features_than_images_and_the_shrunk_one_does():
    informative, y = _labelled(30, 60, signal=4)
    noise, _ = _labelled(30, 60, signal=0)
    assert_allclose([hscore(informative, y), hscore(noise, y)], 2)
    assert shrunk_hscore(informative, y) > 2 * shrunk_hscore(noise, y)


def test_leep_is_the_formula_written_out():
    rng = np.random.default_rng(0)
    theta, y = rng.dirichlet(np.ones(4), 20), np.arange(20) % 3
    theta[:, 3] = 0  # a source class that no image resembles
    theta /= theta.sum(1, keepdims=True)
    n, total = len(y), 0.0
    for i in range(n):
        likelihood = 0.0
        for z in range(3):
            joint = sum(theta[j, z] for j in range(n) if y[j] == y[i]) / n
            likelihood += joint / (theta[:, z].sum() / n) * theta[i, z]
        total += np.log(likelihood)
    assert_allclose(leep(theta, y), total / n)


def test_leep_of_classes_that_say_nothing_is_the_entropy_of_the_labels():
    y = np.array([0, 0, 0, 1])
    assert_allclose(leep(np.full((4, 5), 0.2), y), 0.75 * np.log(0.75) + 0.25 * np.log(0.25))


def test_leep_wants_probabilities():
    with pytest.raises(ValueError, match=r"sum to 1 in each row\. Pass the softmax"):
        leep([[1.0, 2.0], [3.0, -1.0]], [0, 1])


def test_nleep_of_features_that_are_all_the_same_is_the_entropy_of_the_labels():
    assert_allclose(nleep(np.ones((30, 4)), np.arange(30) % 3), -np.log(3))


@pytest.mark.parametrize("k", [1, 5])
def test_knn_accuracy_is_that_of_leaving_each_image_out(k):
    F, y = _labelled(61, 7, signal=1.5)
    unit = F / np.linalg.norm(F, axis=1, keepdims=True)
    # Inverse distances break ties for the nearest; with two classes and odd k there are none.
    y = y % 2
    scores = cross_val_score(KNeighborsClassifier(k), unit, y, cv=LeaveOneOut())
    assert_allclose(knn_accuracy(F, y, n_neighbors=k), scores.mean())


def test_knn_gives_a_tie_to_the_nearest():
    F = np.array([[1, 0], [1, 0.1], [1, 0.2], [0, 1], [0.1, 1]], dtype=float)
    # Rows 0 and 1 have two neighbours of different classes: row 0's own class is nearer, row 1's is
    # not. Row 2 is wrong anyway.
    assert knn_accuracy(F, [0, 0, 1, 1, 1], n_neighbors=2) == pytest.approx(3 / 5)


@each
def test_more_signal_scores_higher(score):
    if score is hscore:
        scores = [score(*_labelled(200, 10, signal=s)) for s in (0, 1, 3)]
    else:
        scores = [score(*_labelled(120, 30, signal=s)) for s in (0, 1, 3)]
    assert scores == sorted(scores)
    assert scores[0] < scores[2] - 0.05


@each
def test_the_names_and_the_order_of_the_classes_play_no_part(score):
    F, y = _labelled(60, 8)
    named = np.array(["wasp", "ant", "bee"])[y]
    assert_allclose(score(F, named), score(F, y), rtol=1e-6)
    assert score(F.astype(np.float32), y) == pytest.approx(score(F, y), abs=1e-3)


@each
@pytest.mark.parametrize("score_of", ["nan", "one class", "lengths", "continuous"])
def test_what_cannot_be_scored_is_refused(score, score_of):
    F, y = _labelled(30, 4)
    bad, match = {
        "nan": ((np.where(F > 1, np.nan, F), y), "features contains NaN"),
        "one class": ((F, np.zeros(30, int)), r"y holds a single class, 0\. Pass labels of two"),
        "lengths": ((F, y[:-1]), "inconsistent numbers of samples"),
        "continuous": ((F, y + 0.5), "Unknown label type: continuous"),
    }[score_of]
    with pytest.raises(ValueError, match=match):
        score(*bad)


def test_linear_cv_names_the_class_that_is_too_small():
    F, _ = _labelled(31, 4)
    named = np.array(["ant"] * 27 + ["bee"] * 4)
    with pytest.raises(ValueError, match=r"class 'bee' has only 4 image\(s\)\. Set cv=4"):
        linear_cv_accuracy(F, named)
