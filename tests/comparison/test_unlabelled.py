"""Images without labels in a comparison: they train in every fold, are never scored, and a sentence tells."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import FitFailedWarning
from sklearn.pipeline import make_pipeline

from sktransfer import DeepFeatureTransformer, LabeledClassifier, compare_strategies
from sktransfer.comparison.unlabelled_gain import unlabelled_gain
from sktransfer.datasets import load_digit_images, load_digit_masks

NEIGHBOURS = "neighbours + logistic regression"
FROZEN = "features + logistic regression"
QUICK = {"backbone": "tiny", "cv": 2, "layers": [-1], "poolings": ["avg"]}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digit_images(return_X_y=True)
    return X[:40], y[:40] % 2, X[40:100]


class Spy(ClassifierMixin, BaseEstimator):
    """Records what it is fitted on and what it predicts."""

    fits, predicted = [], []

    def __init__(self, unlabeled=None):
        self.unlabeled = unlabeled

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        self.fits.append((np.array(X), list(y)))
        return self

    def predict(self, X):
        self.predicted.append(np.array(X))
        return np.zeros(len(X), int)


def test_unlabelled_images_train_in_every_fold_and_are_never_scored(digits):
    X, y, more = digits
    Spy.fits.clear(), Spy.predicted.clear()
    found = compare_strategies(X, y, X_unlabeled=more, candidates={"spy": Spy()}, cv=4)
    assert len(Spy.fits) == 5  # four folds, and the winner on everything
    for images, labels in Spy.fits:
        n_labelled = sum(label is not None for label in labels)
        np.testing.assert_array_equal(images[n_labelled:], more)
        assert labels[n_labelled:] == [None] * len(more)
        assert set(labels[:n_labelled]) == {0, 1}
    assert sum(map(len, Spy.predicted)) == len(X)
    assert set(found.predictions_["image"]) == set(range(len(X)))
    search = found.searches_["spy"].set_params(n_jobs=1)
    joint = np.concatenate([y.astype(object), [None] * len(more)])
    for (train, test), (_, labels) in zip(
        search.cv.split(np.zeros((100, 1)), joint), Spy.fits, strict=False
    ):
        assert len(train) == len(labels)
        assert test.max() < len(X)


def test_the_candidates_that_use_them_compete_with_features_as_they_are(digits, tmp_path):
    X, y, more = digits
    names = ["square root + logistic regression", NEIGHBOURS, "self-training of neighbours"]
    found = compare_strategies(X, y, X_unlabeled=more, candidates=names, resume=tmp_path, **QUICK)
    kinds = found.results_.set_index("candidate")["strategy"]
    assert set(kinds.index) == {*names, FROZEN, "always the largest class"}
    assert kinds[NEIGHBOURS] == kinds["self-training of neighbours"] == "unlabelled"
    assert kinds["square root + logistic regression"] == kinds[FROZEN] == "features"
    assert "60 images without labels" in found.unlabeled_note_
    assert found.unlabeled_note_ in found._repr_html_().replace("&#x27;", "'")
    again = compare_strategies(X, y, X_unlabeled=more, candidates=names, resume=tmp_path, **QUICK)
    pd.testing.assert_frame_equal(again.fold_scores_, found.fold_scores_)


def test_the_report_says_it_and_shows_the_winner_at_work_with_them(digits, tmp_path):
    pytest.importorskip("matplotlib")
    X, y, more = digits
    found = compare_strategies(X, y, X_unlabeled=more, candidates=[NEIGHBOURS], **QUICK)
    assert found.best_candidate_ == NEIGHBOURS  # alone, because one is no choice
    assert "cannot be told" in found.unlabeled_note_
    page = found.to_html(tmp_path / "page.html", X, y, X_unlabeled=more).read_text()
    assert "60 images without labels" in page
    assert "What it gets right and wrong" in page
    assert "could not be made" not in page
    assert "estimator=LogisticRegression(C=0.01, max_iter=2000)" in page
    assert "None for images without" in page


def test_a_network_learns_from_a_teacher_in_every_fold(digits, monkeypatch):
    monkeypatch.setattr("sktransfer.unlabelled.distillation.n_passes", lambda _n_images: 10)
    X, y, more = digits[0][:24], digits[1][:24], digits[2][:16]
    raw = {**QUICK, "weights": "random", "image_size": 32, "n_jobs": 1}
    names = ["distilled + logistic regression", "features beside distilled"]
    found = compare_strategies(X, y, X_unlabeled=more, teacher="tiny", candidates=names, **raw)
    table = found.results_.set_index("candidate")
    assert (table.loc[names, "strategy"] == "distilled").all()
    assert (table.loc[names, "error"] == "").all()
    assert table.loc[names, "score_mean"].min() > 0.7
    both = found.searches_["features beside distilled"].estimator.named_steps["features"]
    assert [name for name, _ in both.transformer_list] == ["frozen", "distilled"]
    with pytest.raises(ValueError, match="teacher is given without images to learn by"):
        compare_strategies(X, y, teacher="tiny", **QUICK)


def test_a_label_that_marks_no_label_cannot_be_a_class(digits):
    X, y, more = digits
    model = make_pipeline(DeepFeatureTransformer("tiny"), LabeledClassifier(unlabeled=1))
    with (
        pytest.raises(ValueError, match="unlabeled=1 is the label of labelled images"),
        pytest.warns(FitFailedWarning),
    ):
        compare_strategies(X, y, X_unlabeled=more, candidates={"mine": model}, cv=2)


def test_masks_refuse_them():
    data = load_digit_masks()
    with pytest.raises(ValueError, match="X_unlabeled is not possible with masks"):
        compare_strategies(data.X[:4], data.y[:4], X_unlabeled=data.X[4:])


def said(with_them, without, note=""):
    n_folds = len(with_them)
    rows = [
        (NEIGHBOURS, "unlabelled", np.mean(with_them), note),
        (FROZEN, "features", np.mean(without), ""),
    ]
    results = pd.DataFrame(rows, columns=["candidate", "strategy", "score_mean", "note"])
    tables = SimpleNamespace(
        results=results.assign(error="").sort_values("score_mean", ascending=False),
        fold_scores=pd.DataFrame({NEIGHBOURS: with_them, FROZEN: without}, index=range(n_folds)),
    )
    study = SimpleNamespace(X_unlabeled=[0] * 1500, mean_sizes=(80, 20), y_target=None)
    return unlabelled_gain(tables, study)


def test_the_sentence_tells_help_from_harm_and_from_chance():
    low = np.array([0.5, 0.6, 0.55, 0.5, 0.6])
    assert said(low + np.array([0.1, 0.11, 0.1, 0.09, 0.1]), low).startswith(
        "The 1,500 images without labels helped: neighbours + logistic regression scores +0.100 against"
    )
    unsure = said(low + np.array([0.2, -0.1, 0.1, -0.05, 0.1]), low)
    assert unsure.startswith("Whether the 1,500 images without labels helped is not shown: ")
    assert said(low - 0.02, low).startswith("The 1,500 images without labels did not help: ")
    assert said(low, low).startswith("The 1,500 images without labels made no difference: ")
    stopped = said(low, low, note="stopped after 2 of 5 folds: it cannot reach the best")
    assert "no candidate that used them could reach the best" in stopped
