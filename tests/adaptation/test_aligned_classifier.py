"""Vectors of two domains brought together without gradients."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from sktransfer import DeepFeatureTransformer, DomainAlignedClassifier, UnsupervisedScorer
from sktransfer.adaptation.target_rows import fit_on
from sktransfer.adaptation.vector_maps import MAPS
from sktransfer.comparison.predicting import predict_with_confidence

METHODS = list(MAPS)


@pytest.fixture(scope="module")
def domains():
    """Three classes, and a target that is scaled, turned and moved."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.array(["cat", "dog", "owl"]), 40)
    centers = np.repeat(4 * np.eye(3, 6), 40, axis=0)
    source = rng.normal(size=(120, 6)) + centers
    target = (rng.normal(size=(120, 6)) + centers) * [1, 3, 1, 1, 2, 1] + 20 * np.eye(6)[0]
    return source, y, target


def _needs_pot(method):
    if method == "optimal_transport":
        pytest.importorskip("ot")


@pytest.mark.parametrize("method", METHODS)
def test_the_target_is_recognised_where_the_source_alone_fails(domains, method):
    _needs_pot(method)
    source, y, target = domains
    assert LogisticRegression(max_iter=1000).fit(source, y).score(target, y) < 0.7
    model = DomainAlignedClassifier(method=method, n_components=4).fit(source, y, X_target=target)
    assert model.score(target, y) > 0.9
    assert model.score(source, y, sample_domain=np.zeros(120, int)) > 0.9
    assert model.score(source, y) < 0.7  # taken for the target's


@pytest.mark.parametrize("method", METHODS)
def test_domains_told_in_any_way_give_one_model(domains, method):
    _needs_pot(method)
    source, y, target = domains
    both, numbers = np.concatenate([source, target]), np.repeat([3, -1], 120)
    marked = np.concatenate([y, np.full(120, "?")])
    made = DomainAlignedClassifier(method=method, unlabeled="?")
    expected = made.fit(source, y, X_target=target).predict_proba(target)
    np.testing.assert_array_equal(made.fit(both, marked).predict_proba(target), expected)
    wrong = np.concatenate([y, y[::-1]])  # labels of the target are not looked at
    model = made.fit(both, wrong, sample_domain=numbers)
    np.testing.assert_array_equal(model.predict_proba(target), expected)
    mixed = model.predict_proba(both, sample_domain=numbers)
    np.testing.assert_array_equal(mixed[120:], expected)
    np.testing.assert_array_equal(mixed[:120], model.predict_proba(source, numbers[:120]))


def test_coral_gives_the_source_the_covariance_of_the_target(domains):
    source, y, target = domains
    maps = MAPS["coral"](source, target, y, 0)
    standardized = MAPS["standardize"](source, target, y, 0)
    np.testing.assert_allclose(standardized.source(source).std(axis=0), 1)
    of_source, of_target = (
        np.cov(part, rowvar=False) + np.eye(6)
        for part in (standardized.source(source), standardized.target(target))
    )
    matrix = maps.source.matrix
    np.testing.assert_allclose(matrix.T @ of_source @ matrix, of_target, atol=1e-8)
    np.testing.assert_array_equal(maps.target(target), standardized.target(target))


def test_subspaces_are_those_of_the_largest_variance_and_their_signs_do_not_matter(domains):
    source, y, target = domains
    maps = MAPS["subspaces"](source, target, y, 2)
    standardized = MAPS["standardize"](source, target, y, 0)
    axes = []
    for part in (standardized.source(source), standardized.target(target)):
        _, _, rows = np.linalg.svd(part)
        axes.append(rows[:2].T)
    both = maps.source(source) @ maps.target(target).T
    of_source = standardized.source(source) @ axes[0] @ axes[0].T @ axes[1]
    of_target = standardized.target(target) @ axes[1]
    np.testing.assert_allclose(both, of_source @ of_target.T, atol=1e-8)


def test_transport_carries_classes_to_classes_and_new_rows_as_their_neighbours(domains):
    pytest.importorskip("ot")
    source, y, target = domains
    maps = MAPS["optimal_transport"](source, target, y, 0)
    moved, there = maps.source(source), maps.target(target)
    for label in np.unique(y):
        distances = [
            np.linalg.norm(moved[y == label].mean(0) - there[y == other].mean(0))
            for other in np.unique(y)
        ]
        assert np.unique(y)[np.argmin(distances)] == label
    np.testing.assert_allclose(maps.source(source[:5] + 1e-9), moved[:5], atol=1e-6)


def test_a_constant_column_and_more_columns_than_rows_are_no_fault():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(9, 30)), rng.normal(size=(7, 30))
    source[:, 0] = target[:, 0] = 5
    for method in ("standardize", "coral", "subspaces"):
        model = DomainAlignedClassifier(method=method)
        model.fit(source, np.arange(9) % 2, X_target=target)
        assert np.isfinite(model.predict_proba(target)).all()


def test_a_column_that_is_constant_but_for_rounding_is_not_blown_up():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    source[:, 0] = target[:, 0] = 0.1  # whose standard deviation is 1e-17 in floating point
    moved = target.copy()
    moved[:, 0] += 1e-3
    for method in ("standardize", "coral", "subspaces"):
        maps = MAPS[method](source, target, np.arange(50) % 2, 2)
        assert np.abs(maps.target(moved)).max() < 10


def test_labels_of_another_number_than_rows_are_refused(domains):
    source, y, target = domains
    model = DomainAlignedClassifier().fit(source, y, X_target=target)
    with pytest.raises(ValueError, match="inconsistent numbers"):
        model.score(target[:50], y)


def test_a_search_chooses_without_labels_of_the_target(domains):
    source, y, target = domains
    both = np.concatenate([source, target])
    marked = np.concatenate([y, np.full(120, "?")])
    search = GridSearchCV(
        DomainAlignedClassifier(unlabeled="?"),
        {"method": ["standardize", "coral"]},
        scoring=UnsupervisedScorer(),
        cv=2,
    )
    assert search.fit(both, marked).score(both, marked) > 0.5
    assert search.best_estimator_.score(target, y) > 0.9


def test_a_pipeline_is_told_its_domains(digits):
    source, target = digits.X[:60], 255 - digits.X[60:120]
    model = make_pipeline(DeepFeatureTransformer("tiny"), DomainAlignedClassifier(LinearSVC()))
    fit_on(model, source, digits.y[:60], target)
    told, margins = predict_with_confidence(model, source, of_source=True)
    assert np.mean(told == digits.y[:60]) > 0.9
    assert margins.shape == (60,)
    assert np.mean(model.predict(source) == digits.y[:60]) < np.mean(told == digits.y[:60])
    assert not hasattr(model, "predict_proba")
