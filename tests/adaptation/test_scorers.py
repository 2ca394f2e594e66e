import pickle

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktransfer.adaptation.criteria import (
    batch_nuclear_norm,
    embedded_validation,
    information_maximization,
    mean_entropy,
    soft_neighborhood_density,
)
from sktransfer.adaptation.scorers import METHODS, UnsupervisedScorer

each = pytest.mark.parametrize("method", sorted(METHODS))


class SourceOnly(ClassifierMixin, BaseEstimator):
    """Learns a rotation of what it knows: with angle 0 the source as it is, else something worse."""

    def __init__(self, angle=0.0, sharpness=1.0, collapsed=False, unlabeled=-1):
        self.angle, self.sharpness, self.collapsed = angle, sharpness, collapsed
        self.unlabeled = unlabeled

    def fit(self, X, y, sample_domain=None):
        labelled = np.asarray(y != self.unlabeled)
        self.inner_ = LogisticRegression().fit(self.transform(X[labelled]), y[labelled])
        self.classes_ = self.inner_.classes_
        return self

    def transform(self, X):
        c, s = np.cos(self.angle), np.sin(self.angle)
        return X @ np.array([[c, -s], [s, c]])

    def predict_proba(self, X):
        p = self.inner_.predict_proba(self.transform(X)) ** self.sharpness
        if self.collapsed:
            p = np.eye(len(self.classes_))[np.zeros(len(X), dtype=int)]
        return p / p.sum(1, keepdims=True)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(1)]


@pytest.fixture
def blobs():
    X, y = make_blobs(240, centers=[(-4, 0), (4, 0), (0, 6)], random_state=0)
    masked = y.copy()
    masked[120:] = -1
    return X, masked, y


@pytest.mark.parametrize(
    "method", ["target_entropy", "information_maximization", "batch_nuclear_norm"]
)
def test_a_target_far_from_what_the_model_knows_costs(method, blobs):
    X, y, _ = blobs
    shifted = np.where((y == -1)[:, None], X * 0.25 + [3, 1.5], X)
    good, bad = SourceOnly().fit(X, y), SourceOnly().fit(shifted, y)
    scorer = UnsupervisedScorer(method)
    assert scorer(good, X, y) > scorer(bad, shifted, y) + 0.05


def test_the_default_is_a_vote_of_the_source_and_the_target(blobs):
    X, y, _ = blobs
    for sharpness in (1.0, 9.0):
        model = SourceOnly(angle=0.3, sharpness=sharpness).fit(X, y)
        accuracy = UnsupervisedScorer("source_accuracy")(model, X, y)
        information = UnsupervisedScorer("information_maximization")(model, X, y)
        assert UnsupervisedScorer()(model, X, y) == pytest.approx(
            accuracy + information / np.log(3)
        )


def test_reverse_validation_finds_out_that_the_target_is_labelled_wrongly(blobs):
    X, y, _ = blobs
    turned = np.where((y == -1)[:, None], -X, X)  # the two classes at the sides change places
    scorer = UnsupervisedScorer("reverse_validation")
    assert scorer(SourceOnly().fit(X, y), X, y) > 0.95
    assert scorer(SourceOnly().fit(turned, y), turned, y) < 0.8


@each
def test_a_collapsed_model_loses_to_any_other(method, blobs):
    X, y, _ = blobs
    fair = SourceOnly(sharpness=0.05).fit(X, y)
    collapsed = SourceOnly(collapsed=True).fit(X, y)
    scorer = UnsupervisedScorer(method)
    assert scorer(collapsed, X, y) < -1e5 < scorer(fair, X, y)


def test_without_the_floor_a_collapsed_model_has_the_least_entropy(blobs):
    # This is what the floor is for.
    X, y, _ = blobs
    collapsed = SourceOnly(collapsed=True).fit(X, y)
    assert UnsupervisedScorer("target_entropy", floor=0)(collapsed, X, y) == 0


@each
def test_labels_of_the_target_are_never_read(method, blobs):
    X, y, true = blobs
    model = SourceOnly().fit(X, y)
    domain = np.where(y == -1, -2, 1)
    scorer = UnsupervisedScorer(method)
    poisoned = np.where(y == -1, 77, true)
    assert scorer(model, X, y) == scorer(model, X, poisoned, sample_domain=domain)


@each
def test_a_search_chooses_by_it_in_a_pipeline_and_through_a_pickle(method, blobs):
    X, y, _ = blobs
    pipeline = make_pipeline(FunctionTransformer(), SourceOnly())
    scorer = pickle.loads(pickle.dumps(UnsupervisedScorer(method)))
    search = GridSearchCV(
        pipeline, {"sourceonly__collapsed": [True, False]}, scoring=scorer, cv=2
    ).fit(X, y)
    assert search.best_params_ == {"sourceonly__collapsed": False}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_search_routes_the_domains_to_it(blobs):
    X, _, true = blobs
    domain = np.repeat([1, -1], 120)
    with sklearn.config_context(enable_metadata_routing=True):
        model = SourceOnly().set_fit_request(sample_domain=True)
        search = GridSearchCV(model, {"sharpness": [1, 9]}, scoring=UnsupervisedScorer(), cv=2)
        search.fit(X, true, sample_domain=domain)
    assert search.best_params_ == {"sharpness": 9}


def test_strings_and_their_sentinel_are_the_estimators(blobs):
    X, y, _ = blobs
    names = np.array(["ant", "bee", "cow", "?"])[y]
    model = SourceOnly(unlabeled="?").fit(X, names)
    for method in METHODS:
        assert UnsupervisedScorer(method)(model, X, names) > -1e5


def test_a_class_that_the_model_has_not_seen_costs_and_does_not_raise(blobs):
    X, y, _ = blobs
    model = SourceOnly().fit(X[y != 2], y[y != 2])
    scorer = UnsupervisedScorer("deep_embedded_validation", floor=0)
    assert scorer(model, X, y) < scorer(SourceOnly().fit(X, y), X, y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "accuracy"}, r"method='accuracy' is not possible\. Choose one of: 'source_and"),
        ({"floor": "none"}, r"floor='none' is not possible\. Choose one of: 'auto'"),
    ],
)
def test_what_is_not_possible_is_refused(options, message, blobs):
    X, y, _ = blobs
    with pytest.raises(ValueError, match=message):
        UnsupervisedScorer(**options)(SourceOnly().fit(X, y), X, y)


def test_rows_of_one_domain_only_are_refused(blobs):
    X, y, true = blobs
    with pytest.raises(ValueError, match=r"y has no target row among 240"):
        UnsupervisedScorer()(SourceOnly().fit(X, y), X, true)


def test_criteria_have_their_extremes_where_they_should():
    even, certain = np.full((20, 4), 0.25), np.eye(4)[np.arange(20) % 4]
    assert mean_entropy(even) == pytest.approx(np.log(4))
    assert information_maximization(even) == pytest.approx(0)
    assert information_maximization(certain) == pytest.approx(np.log(4))
    assert batch_nuclear_norm(certain) == pytest.approx(1)
    assert batch_nuclear_norm(even) == pytest.approx(0.25)
    # Four groups of five: each row is like four others.
    assert soft_neighborhood_density(certain) == pytest.approx(np.log(4), abs=1e-3)


def test_embedded_validation_comes_closer_to_the_targets_risk_than_the_sources_own():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(2000, 1)), rng.normal(loc=1, size=(2000, 1))

    def risk(rows):
        return 1 / (1 + np.exp(-2 * rows[:, 0]))

    estimate = embedded_validation(risk(source), source, target)
    true, naive = risk(target).mean(), risk(source).mean()
    assert abs(estimate - true) < 0.3 * abs(naive - true)
