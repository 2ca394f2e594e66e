import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline

from sktransfer import DeepFeatureTransformer
from sktransfer.features.engine import Engine
from sktransfer.selection import (
    Candidate,
    PixelTransformer,
    compare_candidates,
    compare_features,
    feature_candidates,
)

QUICK = {"layers": [-1], "poolings": ["avg"], "cv": 3, "pixel_size": 8}


@pytest.fixture(scope="module")
def few(digits):
    return digits.X[:120], digits.y[:120]


@pytest.fixture(scope="module")
def comparison(few):
    return compare_features(*few, layers=[-1, -2], poolings=["avg", "max"], cv=3, pixel_size=8)


def _dummy(strategy="most_frequent"):
    return Pipeline([("pixels", PixelTransformer(2)), ("head", DummyClassifier(strategy=strategy))])


def test_the_table_has_a_row_per_candidate_best_first(comparison):
    results = comparison.results_
    assert set(results["candidate"]) == {
        "raw pixels + logistic regression",
        "features + logistic regression",
        "features + SVM",
        "features + random forest",
    }
    assert results["score_mean"].is_monotonic_decreasing
    assert results["score_mean"].between(0.5, 1).all()  # of ten classes: all have learned something
    assert (results["score_std"] > 0).all()
    assert (results["fit_seconds"] > 0).all()
    assert (results["search_seconds"] > results["fit_seconds"]).all()


def test_the_figures_are_those_of_the_searches(comparison):
    for row in comparison.results_.itertuples():
        search = comparison.searches_[row.candidate]
        assert row.score_mean == search.best_score_
        assert row.best_params == search.best_params_
        assert row.n_settings == len(search.cv_results_["params"])


def test_every_layer_is_searched_with_every_pooling(comparison):
    params = comparison.searches_["features + SVM"].cv_results_["params"]
    asked = {(setting["features__layers"], setting["features__pooling"]) for setting in params}
    assert asked == {(-1, "avg"), (-1, "max"), (-2, "avg"), (-2, "max")}


def test_all_candidates_are_scored_on_the_same_folds(few, comparison):
    X, y = few
    splits = [
        [test.tolist() for _, test in search.cv.split(X, y)]
        for search in comparison.searches_.values()
    ]
    assert all(split == splits[0] for split in splits)


def test_the_winner_is_fitted_on_all_images_with_its_best_parameters(digits, comparison):
    best = comparison.best_estimator_
    assert comparison.best_params_.items() <= best.get_params().items()
    assert comparison.best_score_ == comparison.results_["score_mean"].max()
    assert best.score(digits.X[:120], digits.y[:120]) > comparison.best_score_
    assert best.score(digits.X[120:320], digits.y[120:320]) > 0.6


def test_the_winner_pickles(digits, comparison):
    again = pickle.loads(pickle.dumps(comparison.best_estimator_))
    expected = comparison.best_estimator_.predict(digits.X[120:140])
    np.testing.assert_array_equal(again.predict(digits.X[120:140]), expected)


def test_the_same_seed_gives_the_same_scores(few):
    first, again = (compare_features(*few, random_state=3, **QUICK) for _ in range(2))
    columns = ["candidate", "score_mean", "score_std"]
    assert first.results_[columns].equals(again.results_[columns])


def test_several_processes_give_the_same_scores_and_leave_nothing_behind(few):
    one, two = (compare_features(*few, n_jobs=n_jobs, **QUICK) for n_jobs in (1, 2))
    for name, search in one.searches_.items():
        np.testing.assert_array_equal(
            search.cv_results_["mean_test_score"],
            two.searches_[name].cv_results_["mean_test_score"],
        )
    store = two.searches_["features + SVM"].estimator.get_params()["features__cache"]
    assert not Path(store).exists()
    winner = two.best_estimator_.named_steps["features"]
    assert not isinstance(winner, DeepFeatureTransformer) or winner.cache == "memory"


def test_labels_may_be_strings(few):
    X, y = few
    names = np.array([f"digit {label}" for label in y])
    assert set(compare_features(X, names, **QUICK).best_estimator_.predict(X[:20])) <= set(names)


def test_candidates_may_be_changed_and_added_to(few):
    candidates = feature_candidates(DeepFeatureTransformer("tiny"), layers=[-1], poolings=["avg"])
    kept = {"SVM": candidates["features + SVM"], "guess": Candidate(_dummy(), {})}
    comparison = compare_candidates(*few, kept, cv=3)
    assert comparison.results_["candidate"].tolist() == ["SVM", "guess"]
    assert comparison.best_candidate_ == "SVM"


def test_of_equal_scores_the_first_candidate_wins(few):
    candidates = {"b": Candidate(_dummy(), {}), "a": Candidate(_dummy(), {})}
    assert compare_candidates(*few, candidates, cv=3).best_candidate_ == "b"


def test_a_splitter_is_used_as_it_is(few):
    folds = KFold(4)
    comparison = compare_candidates(*few, {"guess": Candidate(_dummy(), {})}, cv=folds)
    assert comparison.searches_["guess"].n_splits_ == 4


def test_progress_appears_only_when_asked_for(few, capsys):
    candidates = {"guess": Candidate(_dummy(), {})}
    compare_candidates(*few, candidates, cv=3)
    assert capsys.readouterr().err == ""
    compare_candidates(*few, candidates, cv=3, verbose=1)
    assert "guess" in capsys.readouterr().err


def test_the_candidates_given_are_not_changed(few):
    candidates = feature_candidates(DeepFeatureTransformer("tiny"), layers=[-1], poolings=["avg"])
    kept = {name: candidates[name] for name in ("features + SVM",)}
    compare_candidates(*few, kept, cv=3)
    pipeline, _ = kept["features + SVM"]
    assert pipeline.get_params()["head__C"] == 1.0
    assert not hasattr(pipeline.named_steps["scale"], "mean_")


def test_more_folds_than_images_of_a_class_is_refused(few):
    X, y = few
    rows = np.r_[np.flatnonzero(y == 0)[:5], np.flatnonzero(y == 1)[:3]]
    message = r"cv=5 asks for 5 folds, but the class 1 has only 3 image\(s\)\. Set cv=3 or lower"
    with pytest.raises(ValueError, match=message):
        compare_features(X[rows], y[rows])


def test_a_single_class_is_refused(few):
    X, _ = few
    with pytest.raises(ValueError, match="y holds a single class, 7; a comparison needs two"):
        compare_features(X, np.full(len(X), 7))


def test_labels_of_another_length_are_refused(few):
    X, y = few
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        compare_features(X, y[:-1])


def test_a_lone_pooling_is_refused_with_what_to_write(few):
    with pytest.raises(TypeError, match=r"poolings='avg' must be a list.*Pass poolings=\['avg'\]"):
        compare_features(*few, poolings="avg")


def test_nothing_to_search_is_refused(few):
    with pytest.raises(ValueError, match=r"layers=\[\] is empty"):
        compare_features(*few, layers=[])
    with pytest.raises(ValueError, match=r"candidates=\[\] is empty"):
        compare_candidates(*few, {})


def test_the_searches_pass_no_image_through_the_network_again(few, monkeypatch):
    X, y = few
    n_images, run = [], Engine.run

    def counted(self, pixels, preprocessing):
        n_images.append(len(pixels))
        return run(self, pixels, preprocessing)

    monkeypatch.setattr(Engine, "run", counted)
    compare_features(
        X[:60] // 2, y[:60], layers=[-1, [-2, -1]], poolings=["avg", "max"], cv=2, pixel_size=8
    )
    assert sum(n_images) == 60
