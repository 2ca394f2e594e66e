"""Intervals, optimism, ties and mistakes of a comparison."""

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier

from sktransfer import compare_strategies
from sktransfer.comparison.certainty import optimism_of
from sktransfer.comparison.fit import Fit, Study
from sktransfer.comparison.significance import holm
from sktransfer.proportions import wilson_interval
from sktransfer.standings import advised, ties

RNG = np.random.default_rng(0)


def _study(n, scoring="accuracy"):
    y = np.arange(n) % 2
    folds = [(np.setdiff1d(np.arange(n), test), test) for test in np.array_split(np.arange(n), 5)]
    return Study(np.zeros((n, 1)), y, None, None, folds, scoring, None, "", np.array([0, 1]))


def _guesses(study, n_settings, share):
    settings = []
    for number in range(n_settings):
        right = RNG.random(len(study.y)) < share
        settings.append(
            [
                Fit({}, fold, number, predicted=np.where(right, study.y, 1 - study.y)[test])
                for fold, (_, test) in enumerate(study.folds)
            ]
        )
    return settings


def test_optimism_is_what_choosing_among_equals_adds():
    study = _study(100)
    expected, estimated = [], []
    for _ in range(20):
        settings = _guesses(study, 30, 0.7)
        means = [np.concatenate([f.predicted for f in of_one]) == study.y for of_one in settings]
        expected.append(max(hits.mean() for hits in means) - 0.7)
        estimated.append(optimism_of(settings, study))
    assert np.mean(estimated) == pytest.approx(np.mean(expected), abs=0.03)
    assert optimism_of(_guesses(study, 1, 0.7), study) < 0.01
    assert np.isnan(optimism_of([], study))


def test_the_table_tells_an_interval_of_the_held_out_images(digits):
    dummy = DummyClassifier(strategy="stratified", random_state=0)
    found = compare_strategies(digits.X[:100], digits.y[:100], candidates={"a": dummy}, cv=4)
    row = found.results_.iloc[0]
    hits = (found.predictions_["a"] == found.predictions_["label"]).sum()
    assert (row["score_low"], row["score_high"]) == wilson_interval(hits, 100)
    assert sorted(found.predictions_["image"]) == list(range(100))
    assert len(found.mistakes_) == 100 - hits
    wrong = found.mistakes_
    assert (wrong["label"] != wrong["predicted"]).all()
    assert (wrong["label"].to_numpy() == digits.y[wrong["image"].astype(int)]).all()
    assert wrong["confidence"].is_monotonic_decreasing


def test_a_notebook_shows_the_answer_and_the_table(digits):
    guess = DummyClassifier(strategy="most_frequent")
    found = compare_strategies(digits.X[:60], digits.y[:60], candidates={"a<b": guess}, cv=2)
    assert repr(found).startswith("<StrategyComparison: a<b is best of 2 candidates, 0.")
    assert len(repr(found)) < 120
    html = found._repr_html_()
    assert "<b>a&lt;b</b> is best." in html
    assert "always the largest class" in html
    assert "a<b" not in html


def test_holm_corrects_for_the_number_of_tests():
    assert holm([0.01]).tolist() == [0.01]
    np.testing.assert_allclose(holm([0.04, 0.01]), [0.04, 0.02])
    assert holm([0.6, 0.9]).tolist() == [1.0, 1.0]
    assert np.isnan(holm([np.nan, np.nan])).all()


def test_of_ties_as_good_as_the_best_the_simplest_is_advised():
    table = pd.DataFrame(
        {
            "candidate": ["full", "frozen", "svm", "pixels", "stopped", "largest"],
            "strategy": ["full", "frozen", "features", "raw pixels", "scratch", "largest class"],
            "score_mean": [0.95, 0.945, 0.944, 0.90, 0.94, 0.1],
            "p_value": [np.nan, 0.8, 0.7, 0.2, 0.9, 0.9],
            "fit_seconds": [9.0, 2.0, 1.0, 0.1, 9.0, 0.0],
            "note": ["", "", "", "", "stopped after 2 of 5 folds: ...", ""],
            "error": [""] * 6,
        }
    )
    assert ties(table) == ["full", "frozen", "svm", "pixels"]
    assert advised(table) == "svm"
    assert advised(table.assign(p_value=[np.nan, 0.8, 0.01, 0.2, 0.9, 0.9])) == "frozen"


@pytest.mark.parametrize(
    ("linear", "interval", "expected"),
    [
        (0.44, (0.38, 0.58), "features + logistic regression"),
        (0.42, (0.38, 0.58), "features + SVM"),
        (0.44, (0.45, 0.51), "features + random forest"),
    ],
)
def test_of_heads_on_the_same_features_a_simpler_one_within_the_error_is_advised(
    linear, interval, expected
):
    table = pd.DataFrame(
        {
            "candidate": [
                f"features + {head}" for head in ("random forest", "SVM", "logistic regression")
            ],
            "strategy": ["features"] * 3,
            "score_mean": [0.48, 0.45, linear],
            "score_low": [interval[0]] * 3,
            "score_high": [interval[1]] * 3,
            "p_value": [np.nan, 0.6, 0.6],
            "fit_seconds": [1.0, 2.0, 3.0],
        }
    )
    assert advised(table) == expected
    raw = table.assign(strategy=["features", "features", "raw pixels"])
    assert advised(raw) != "features + logistic regression", "a strategy is no head"
