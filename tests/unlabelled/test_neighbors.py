"""Vectors averaged with their neighbours, and labels that spread over them."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from sktransfer import NeighborSelfTrainingClassifier, NeighborSmoother
from sktransfer.unlabelled.neighbors import nearest_others, unit_length
from sktransfer.unlabelled.self_training import spread_labels


@pytest.fixture
def blobs():
    """Three classes of 60, whose directions overlap a little."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 60)
    return rng.normal(size=(180, 12)) + 3.2 * np.eye(12)[y], y


def few_labels(y, n_a_class, unlabeled=-1, dtype=None):
    labels = np.array(y, dtype=dtype or np.asarray(y).dtype)
    kept = np.concatenate([np.flatnonzero(y == c)[:n_a_class] for c in np.unique(y)])
    labels[np.setdiff1d(np.arange(len(y)), kept)] = unlabeled
    return labels


def test_neighbours_are_those_of_scikit_learn(blobs):
    X, _ = blobs
    directions = unit_length(X)
    found = nearest_others(X, X, directions, 7)
    distances, rows = NearestNeighbors(n_neighbors=8, metric="cosine").fit(X).kneighbors(X)
    np.testing.assert_array_equal(found.rows, rows[:, 1:])
    np.testing.assert_allclose(found.cosines, 1 - distances[:, 1:], atol=1e-9)


def test_a_smoothed_vector_is_half_itself_and_half_its_neighbours(blobs):
    X, _ = blobs
    smooth = NeighborSmoother(n_neighbors=3, weight=0.5).fit(X)
    rows = NearestNeighbors(n_neighbors=4, metric="cosine").fit(X).kneighbors(X)[1][:, 1:]
    np.testing.assert_allclose(smooth.transform(X), 0.5 * X + 0.5 * X[rows].mean(1))
    new = X[:5] + 0.01
    rows = NearestNeighbors(n_neighbors=3, metric="cosine").fit(X).kneighbors(new)[1]
    np.testing.assert_allclose(smooth.transform(new), 0.5 * new + 0.5 * X[rows].mean(1))


def test_a_vector_does_not_depend_on_those_beside_it(blobs):
    X, _ = blobs
    smooth = NeighborSmoother().fit(X)
    alone = np.concatenate([smooth.transform(row[None]) for row in X[:20]])
    np.testing.assert_allclose(smooth.transform(X)[:20], alone)


def test_smoothing_with_unlabelled_rows_helps_where_classes_are_clusters(blobs):
    X, y = blobs
    labelled = np.concatenate([np.flatnonzero(y == c)[:2] for c in range(3)])
    plain = LogisticRegression().fit(X[labelled], y[labelled]).score(X, y)
    smooth = NeighborSmoother(weight=0.9).fit(X)
    moved = LogisticRegression().fit(smooth.transform(X[labelled]), y[labelled])
    assert moved.score(smooth.transform(X), y) > plain + 0.02


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_smoothing_keeps_the_dtype_and_takes_fewer_rows_than_neighbours(dtype):
    X = np.array([[1, 0], [1, 1], [0, 1]], dtype)
    found = NeighborSmoother(n_neighbors=10).fit_transform(X)
    assert found.dtype == dtype
    np.testing.assert_allclose(found[0], [0.75, 0.5])
    np.testing.assert_array_equal(NeighborSmoother().fit_transform(X[:1]), X[:1])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"n_neighbors": 0}, "n_neighbors=0 must be at least 1"), ({"weight": 1.5}, "at most 1")],
)
def test_parameters_out_of_range_are_refused(parameters, message, blobs):
    with pytest.raises(ValueError, match=message):
        NeighborSmoother(**parameters).fit(blobs[0])


def test_labels_spread_along_a_chain_and_not_to_rows_without_a_way():
    angles = np.radians([0, 9, 19, 30, 90, 101, 111, 120])
    X = np.column_stack([np.cos(angles), np.sin(angles)])
    shares = spread_labels(X, np.array([0, 7]), np.array([0, 1]), 2, 1)
    assert shares.argmax(1).tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    np.testing.assert_allclose(shares.sum(1), 1)
    away = spread_labels(np.vstack([X, -X[3:5]]), np.array([0, 7]), np.array([0, 1]), 2, 1)
    assert not away[-2:].any()


def test_self_training_beats_the_classifier_of_few_labels(blobs):
    X, y = blobs
    labels = few_labels(y, 2)
    model = NeighborSelfTrainingClassifier().fit(X, labels)
    alone = NeighborSelfTrainingClassifier(weight=0.0).fit(X, labels)
    assert model.score(X, y) > alone.score(X, y) + 0.02
    taken = (model.transduction_ >= 0) & (labels < 0)
    assert 0.2 * len(y) < taken.sum() < 0.75 * len(y)
    assert np.mean(model.transduction_[taken] == y[taken]) > 0.9


def test_rows_on_which_neighbours_and_classifier_disagree_are_not_taken():
    X = np.array([[1.0, 0.0], [0.99, 0.1], [0.0, 1.0], [0.1, 0.99]])
    labels = [0, -1, 1, -1]

    class Contrary(LogisticRegression):
        def predict(self, X):
            return 1 - super().predict(X)

    model = NeighborSelfTrainingClassifier(Contrary(), n_neighbors=1).fit(X, labels)
    assert model.transduction_.tolist() == labels


def test_without_unlabelled_rows_it_is_the_classifier_itself(blobs):
    X, y = blobs
    head = LogisticRegression(C=0.1)
    model = NeighborSelfTrainingClassifier(head).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), clone(head).fit(X, y).predict_proba(X))


@pytest.mark.parametrize("unlabeled", ["?", None], ids=["text", "None"])
def test_labels_may_be_texts(blobs, unlabeled):
    X, y = blobs
    names = np.array(["ant", "bee", "cat"], object)[y]
    labels = few_labels(names, 3, unlabeled, object)
    model = NeighborSelfTrainingClassifier(unlabeled=unlabeled).fit(X, labels)
    assert model.classes_.tolist() == ["ant", "bee", "cat"]
    assert model.score(X, names) > 0.8
    assert 0.8 < model.score(X, labels) <= 1  # rows without a label are left out


@pytest.mark.parametrize(
    "head",
    [
        LinearSVC(),
        KNeighborsClassifier(3),
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(StandardScaler(), KNeighborsClassifier(3)),
    ],
    ids=["SVC", "neighbours", "pipeline", "pipeline without weights"],
)
def test_every_kind_of_classifier_can_be_taken(blobs, head):
    X, y = blobs
    model = NeighborSelfTrainingClassifier(head).fit(X, few_labels(y, 4))
    assert model.score(X, y) > 0.75
    assert hasattr(model, "predict_proba") == hasattr(head, "predict_proba")


def test_weights_decide_how_much_unlabelled_rows_count(blobs):
    X, y = blobs
    labels = few_labels(y, 2)
    head = LogisticRegression(C=10, tol=1e-8, max_iter=2000)
    expected = clone(head).fit(X[labels >= 0], labels[labels >= 0]).predict_proba(X)
    without = NeighborSelfTrainingClassifier(head, weight=0.0).fit(X, labels)
    some = NeighborSelfTrainingClassifier(head, weight=0.3).fit(X, labels)
    np.testing.assert_allclose(without.predict_proba(X), expected, atol=1e-3)
    assert np.abs(some.predict_proba(X) - expected).max() > 0.02


def test_one_class_or_none_is_refused(blobs):
    X, y = blobs
    with pytest.raises(ValueError, match=r"labels of one class only, \[0\]"):
        NeighborSelfTrainingClassifier().fit(X, np.where(y == 0, 0, -1))
    with pytest.raises(ValueError, match=r"all 180 rows are unlabeled=-1"):
        NeighborSelfTrainingClassifier().fit(X, y).score(X, np.full(len(y), -1))
