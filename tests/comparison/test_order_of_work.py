"""Which fits of a comparison are done, where, with how many threads, and what is left out."""

import os
import time
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import FineTuneClassifier, compare_strategies
from sktransfer.comparison.budget import Budget
from sktransfer.comparison.racing import can_be_chosen, can_reach
from sktransfer.comparison.span import fit_in_span
from sktransfer.comparison.workers import Workers, limited_threads
from sktransfer.exceptions import ComparisonInterrupted
from sktransfer.raw_pixels import PixelTransformer


class Noisy(DummyClassifier):
    """Right in a share of the cases, and slow if asked."""

    def __init__(self, share=1.0, seconds=0.0, interrupts=False):
        super().__init__(strategy="prior")
        self.share, self.seconds, self.interrupts = share, seconds, interrupts

    def fit(self, X, y):
        time.sleep(self.seconds)
        if self.interrupts:
            raise KeyboardInterrupt
        return super().fit(X, y)

    def predict(self, X):
        truth = np.ravel(X)
        wrong = np.arange(len(truth)) >= round(self.share * len(truth))
        return np.where(wrong, 1 - truth, truth)

    def predict_proba(self, X):
        return np.column_stack([1 - self.predict(X), self.predict(X)]).astype(float)


ROWS = np.tile([0, 1], 50).reshape(-1, 1)
LABELS = ROWS.ravel()


def compare(n_jobs=None, **candidates):
    return compare_strategies(ROWS, LABELS, candidates=candidates, n_jobs=n_jobs)


def test_a_candidate_that_cannot_reach_the_best_stops_and_says_so():
    found = compare(n_jobs=1, good=Noisy(), bad=Noisy(0.5), near=Noisy(0.95))
    rows = found.results_.set_index("candidate")
    assert rows.loc["bad", "note"] == "stopped after 1 of 5 folds: it cannot reach the best"
    assert rows.loc["bad", "score_mean"] == 0.5
    assert found.fold_scores_["bad"].isna().tolist() == [False, True, True, True, True]
    assert rows.loc[["good", "near"], "note"].tolist() == ["", ""]
    assert found.results_["candidate"].tolist() == [
        "good",
        "near",
        "bad",
        "always the largest class",
    ]
    assert "bad" not in found.ties_
    assert np.isnan(rows.loc["bad", "p_value"])


def test_few_folds_that_agree_by_chance_stop_nothing():
    best = np.array([0.9, 0.9, 0.9])
    assert can_reach(best - 0.05, best, n_train=80, n_test=20)
    assert not can_reach(best - 0.2, best, n_train=80, n_test=20)
    assert can_reach(np.array([0.7]), np.array([0.9]), n_train=80, n_test=20, of_images=True)
    assert can_reach(np.array([0.5]), np.array([1.0]), n_train=80, n_test=20)
    assert not can_reach(np.array([0.4]), np.array([0.9]), n_train=80, n_test=20, of_images=True)
    assert can_reach(best[:2] - 0.4, best[:2], n_train=80, n_test=20)
    assert not can_reach(best[:2] - 0.4, best[:2], n_train=80, n_test=20, of_images=True)


def test_a_setting_whose_mean_will_not_be_the_highest_stops_in_few_wrong_cases():
    rng, n_folds, n_done = np.random.default_rng(0), 5, 3
    kept = {"n_left": n_folds - n_done, "n_rivals": 1, "n_test": 1000}
    stopped = wrong = 0
    for _ in range(2000):
        one, other = rng.normal((0.7, 0.75), 0.1, (n_folds, 2)).T
        best, rival = (one, other) if one[:n_done].mean() > other[:n_done].mean() else (other, one)
        if not can_be_chosen(rival[:n_done], best[:n_done], **kept):
            stopped += 1
            wrong += rival.mean() > best.mean()
    assert stopped > 500
    assert wrong / 2000 < 0.1
    leads = np.array([0.05, 0.0, 0.03])
    assert not can_be_chosen(0.75 - leads, np.full(3, 0.75), n_left=2, n_rivals=1, n_test=60)
    assert can_be_chosen(0.75 - leads, np.full(3, 0.75), n_left=2, n_rivals=8, n_test=60)
    assert can_be_chosen(np.full(2, 0.1), np.full(2, 0.9), n_left=1, n_rivals=1, n_test=60)


def test_the_second_rate_of_a_slow_training_stops_when_the_first_will_be_chosen():
    grid = {"share": [1.0, 0.9]}
    found = compare(n_jobs=1, tuned=(Noisy(), grid))
    assert found.fits_.query("candidate == 'tuned'").groupby("setting").size().tolist() == [5, 3]
    assert found.results_.loc[0, "best_params"] == {"share": 1.0}


def test_what_the_time_does_not_allow_has_a_row_that_says_so():
    slow = Noisy(0.9, seconds=0.15)
    found = compare_strategies(
        ROWS, LABELS, candidates={"first": slow, "second": Noisy()}, time_limit=0.3
    )
    rows = found.results_.set_index("candidate")
    assert rows.loc["first", "note"] == "", "the first is finished in any case"
    assert rows.loc["second", "note"] == "left out: the time limit of 0.3 s had been reached"
    assert np.isnan(rows.loc["second", "score_mean"])
    assert found.best_candidate_ == "first"
    with pytest.raises(ValueError, match=r"time_limit=0 must be above zero, in seconds"):
        Budget(0)


def test_a_training_that_would_take_too_long_is_not_begun(digits):
    tuned = {"full": FineTuneClassifier("tiny", strategy="full", max_epochs=1_000_000)}
    features = ["features + logistic regression"]
    quick = {"layers": [-1], "poolings": ["avg"], "cv": 2, "backbone": "tiny", "time_limit": 600}
    presets = compare_strategies(digits.X[:40], digits.y[:40], candidates=features, **quick)
    pipeline = presets.searches_[features[0]].estimator
    found = compare_strategies(
        digits.X[:40], digits.y[:40], candidates={**tuned, "features": pipeline}, **quick
    )
    assert found.results_["candidate"].tolist()[0] == "features", "the cheap one came first"
    note = found.results_.set_index("candidate").loc["full", "note"]
    assert note.startswith("left out: it would take about ")
    assert note.endswith(" min, and the time limit is 10 min")


def test_what_was_finished_before_an_interruption_is_in_the_error():
    with pytest.raises(ComparisonInterrupted, match=r"1 candidate\(s\) finished") as caught:
        compare(good=Noisy(), stops=Noisy(interrupts=True))
    assert caught.value.results["candidate"].tolist() == ["good"]
    assert isinstance(caught.value, KeyboardInterrupt)


def test_threads_are_as_before_after_each_fit(digits):
    before = torch.get_num_threads()
    with limited_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    with pytest.raises(RuntimeError), limited_threads(1):
        raise RuntimeError
    assert torch.get_num_threads() == before


def slowly(seconds, function):
    time.sleep(seconds)
    return function()


def test_work_goes_on_in_processes_once_it_pays_and_its_order_stays():
    workers = Workers(None, 2, on_gpu=False)
    workers.n_processes, workers.n_threads = 2, 1
    workers.expect(1000)
    assert list(workers.run([partial(pow, base, 2) for base in range(5)])) == [0, 1, 4, 9, 16]
    assert os.getpid() not in set(workers.run([os.getpid, os.getpid]))
    waiting = Workers(None, 2, on_gpu=False)
    assert list(waiting.run([os.getpid, os.getpid])) == [os.getpid()] * 2, "too little to pay"
    waiting.n_processes = 2
    first, *others = waiting.run([partial(slowly, 0.01, os.getpid)] * 3, n_later=10_000)
    assert first == os.getpid() not in others, "what comes later pays"
    alone = Workers(None, 2, on_gpu=True)
    assert (alone.n_processes, alone.n_threads) == (1, None)
    assert Workers(1, 2, on_gpu=False).n_processes == 1


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_linear_head_in_the_span_of_the_images_is_the_same(digits, n_classes):
    few = digits.y < n_classes
    X, y = digits.X[few][:60], digits.y[few][:60]
    head = LogisticRegression(C=0.01, tol=1e-10, max_iter=5000)
    pipeline = make_pipeline(PixelTransformer(24), StandardScaler(), head)
    usual = make_pipeline(PixelTransformer(24), StandardScaler(), head).fit(X, y)
    quick = fit_in_span(pipeline, X, y)
    np.testing.assert_allclose(quick[-1].coef_, usual[-1].coef_, atol=1e-6)
    np.testing.assert_allclose(quick.predict_proba(X), usual.predict_proba(X), atol=1e-5)
    assert quick[-1].n_features_in_ == usual[-1].n_features_in_
