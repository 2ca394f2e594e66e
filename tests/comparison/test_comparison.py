import pickle
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline

from sktransfer import DANNClassifier, DeepFeatureTransformer, compare_strategies
from sktransfer.comparison.predicting import predict_with_confidence
from sktransfer.comparison.significance import holm
from sktransfer.datasets import load_digit_domains
from sktransfer.exceptions import ImageDecodeError
from sktransfer.selection import (
    Candidate,
    PixelTransformer,
    corrected_paired_ttest,
    strategy_candidates,
)

FEATURES = (
    "raw pixels + logistic regression",
    "features + logistic regression",
    "features + SVM",
    "features + random forest",
)
SMALL = {"layers": [-1], "poolings": ["avg"], "pixel_size": 8}
QUICK = {
    "backbone": "tiny",
    **SMALL,
    "candidates": ["features + SVM", "raw pixels + logistic regression"],
    "cv": 3,
}


@pytest.fixture(scope="module")
def few(digits):
    return digits.X[:120], digits.y[:120]


@pytest.fixture(scope="module")
def comparison(few):
    grid = {"candidates": FEATURES, "layers": [-1, -2], "poolings": ["avg", "max"]}
    return compare_strategies(*few, **QUICK | grid)


def _dummy(strategy="most_frequent"):
    return Pipeline([("pixels", PixelTransformer(2)), ("head", DummyClassifier(strategy=strategy))])


def test_the_table_has_a_row_per_candidate_best_first(comparison):
    results = comparison.results_
    assert set(results["candidate"][:4]) == set(FEATURES)
    assert results["candidate"][4] == "always the largest class"
    assert set(results["strategy"]) == {"raw pixels", "features", "largest class"}
    assert results["score_mean"].is_monotonic_decreasing
    assert (
        results["score_mean"][:4].between(0.5, 1).all()
    )  # of ten classes: all have learned something
    assert results["score_std"].max() > 0
    assert (results["fit_seconds"][:4] > 0).all()
    assert (results["predict_seconds"][:4] > 0).all()
    assert (results["search_seconds"][:4] > 0).all()
    assert (results["size_bytes"][:4] > 1000).all()


def test_the_figures_are_those_of_a_grid_search(comparison, few):
    X, y = few
    for row in comparison.results_.itertuples():
        search = comparison.searches_[row.candidate].fit(X, y)
        assert row.score_mean == pytest.approx(search.best_score_)
        assert row.best_params == search.best_params_
        assert row.n_settings == len(search.cv_results_["params"])
        assert not search.multimetric_
        scores = fits_of(comparison, row.candidate).groupby("setting")["score"]
        means, whole = scores.mean().to_numpy(), scores.size().to_numpy() == 3
        np.testing.assert_allclose(means[whole], search.cv_results_["mean_test_score"][whole])
        assert (search.cv_results_["mean_test_score"][~whole] < search.best_score_).all()


def fits_of(comparison, candidate):
    fits = comparison.fits_
    return fits[fits["candidate"] == candidate]


def test_every_layer_is_searched_with_every_pooling(comparison):
    params = fits_of(comparison, "features + SVM")["params"]
    asked = {(setting["features__layers"], setting["features__pooling"]) for setting in params}
    assert asked == {(-1, "avg"), (-1, "max"), (-2, "avg"), (-2, "max")}


def test_the_scores_of_the_folds_are_in_the_order_of_the_table(comparison):
    scores = comparison.fold_scores_
    assert list(scores) == comparison.results_["candidate"].tolist()
    assert scores.shape == (3, 5)
    np.testing.assert_allclose(scores.mean(), comparison.results_["score_mean"])
    np.testing.assert_allclose(scores.std(ddof=0), comparison.results_["score_std"])


def test_p_values_are_those_of_the_test_against_the_best(comparison):
    p, scores = comparison.results_["p_value"], comparison.fold_scores_
    assert np.isnan(p[0])
    alone = [
        corrected_paired_ttest(scores.iloc[:, 0] - scores.iloc[:, row], n_train=80, n_test=40)
        for row in range(1, len(p))
    ]
    assert p[1:].tolist() == holm(alone).tolist()


def test_all_candidates_are_scored_on_the_same_folds_also_without_a_seed(few):
    seen = []

    class Seen(DummyClassifier):
        def fit(self, X, y):
            seen.append(np.ravel(X).tolist())
            return super().fit(X, y)

    rows = np.arange(120).reshape(-1, 1)
    candidates = {"a": Seen(), "b": Seen()}
    compare_strategies(rows, few[1], candidates=candidates, cv=KFold(3, shuffle=True))
    assert seen[:3] == seen[3:6]


def test_images_of_one_group_stay_together(few):
    X, y = few
    groups = np.arange(120) // 2
    comparison = compare_strategies(X, y, candidates={"guess": _dummy()}, groups=groups, cv=3)
    for train, test in comparison.searches_["guess"].cv:
        assert not set(groups[train]) & set(groups[test])


def test_what_is_in_the_store_does_not_look_free(few):
    X, y = few
    forest = {"candidates": ["features + random forest", "raw pixels + logistic regression"]}
    options = QUICK | forest | {"n_jobs": 1}  # which keeps the store of this process
    first, again = (compare_strategies(X // 3, y, **options) for _ in range(2))
    for comparison in (first, again):
        row = comparison.results_.set_index("candidate").loc["features + random forest"]
        passed = first.pass_seconds_  # mostly the network; the second time only a look-up
        assert row["predict_seconds"] > 0.5 * passed * 40 / 120
    assert again.pass_seconds_ < first.pass_seconds_


def test_memory_counts_the_pass_through_the_network(few):
    X, y = few
    comparison = compare_strategies(X // 5, y, **QUICK)
    peaks = comparison.results_.set_index("candidate")["peak_memory_bytes"]
    if np.isnan(peaks).all():
        pytest.skip("this system does not tell the peak")
    after_the_pass = fits_of(comparison, "features + SVM")["peak_memory_bytes"].max()
    assert peaks["features + SVM"] > after_the_pass + 1e6


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
    first, again = (compare_strategies(*few, random_state=3, **QUICK) for _ in range(2))
    columns = ["candidate", "score_mean", "score_std"]
    assert first.results_[columns].equals(again.results_[columns])


@pytest.mark.slow
def test_several_processes_give_the_same_scores_and_leave_nothing_behind(
    few, tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    one, two = (compare_strategies(*few, n_jobs=n_jobs, **QUICK) for n_jobs in (1, 2))
    columns = ["candidate", "fold", "score"]
    pd.testing.assert_frame_equal(one.fits_[columns], two.fits_[columns])
    svm = two.searches_["features + SVM"].estimator
    assert svm.get_params()["features__cache"] == "memory"
    assert not list(Path(tempfile.gettempdir()).glob("sktransfer-*"))


def test_labels_may_be_strings(few):
    X, y = few
    names = np.array([f"digit {label}" for label in y])
    assert set(compare_strategies(X, names, **QUICK).best_estimator_.predict(X[:20])) <= set(names)


def test_candidates_may_be_changed_and_added_to(few):
    candidates = strategy_candidates("tiny", layers=[-1], poolings=["avg"])
    kept = {"SVM": candidates["features + SVM"], "guess": Candidate(_dummy(), {})}
    comparison = compare_strategies(*few, candidates=kept, cv=3)
    assert comparison.results_["candidate"].tolist() == ["SVM", "guess", "always the largest class"]
    assert comparison.best_candidate_ == "SVM"


def test_of_equal_scores_the_first_candidate_wins(few):
    candidates = {"b": Candidate(_dummy(), {}), "a": Candidate(_dummy(), {})}
    assert compare_strategies(*few, candidates=candidates, cv=3).best_candidate_ == "b"


def test_a_splitter_is_used_as_it_is(few):
    folds = KFold(4)
    comparison = compare_strategies(*few, candidates={"guess": _dummy()}, cv=folds)
    assert fits_of(comparison, "guess")["fold"].tolist() == [0, 1, 2, 3]


def test_progress_appears_only_when_asked_for(few, capsys):
    candidates = {"guess": Candidate(_dummy(), {})}
    compare_strategies(*few, candidates=candidates, cv=3)
    assert capsys.readouterr().err == ""
    compare_strategies(*few, candidates=candidates, cv=3, verbose=1)
    assert "guess" in capsys.readouterr().err


def test_the_candidates_given_are_not_changed(few):
    candidates = strategy_candidates("tiny", layers=[-1], poolings=["avg"])
    kept = {name: candidates[name] for name in ("features + SVM",)}
    compare_strategies(*few, candidates=kept, cv=3)
    pipeline, _ = kept["features + SVM"]
    assert pipeline.get_params()["head__C"] == 1.0
    assert not hasattr(pipeline.named_steps["scale"], "mean_")


def test_more_folds_than_images_of_a_class_is_refused(few):
    X, y = few
    rows = np.r_[np.flatnonzero(y == 0)[:5], np.flatnonzero(y == 1)[:3]]
    message = r"cv=5 asks for 5 folds, but the class 1 has only 3 image\(s\)\. Set cv=3 or lower"
    with pytest.raises(ValueError, match=message):
        compare_strategies(X[rows], y[rows])


def test_a_single_class_is_refused(few):
    X, _ = few
    with pytest.raises(ValueError, match=r"y holds a single class, 7\. Pass labels of two"):
        compare_strategies(X, np.full(len(X), 7))


def test_labels_of_another_length_are_refused(few):
    X, y = few
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        compare_strategies(X, y[:-1])


def test_a_lone_pooling_is_refused_with_what_to_write(few):
    with pytest.raises(TypeError, match=r"poolings='avg' must be a list.*Pass poolings=\['avg'\]"):
        compare_strategies(*few, poolings="avg")


def test_nothing_to_search_is_refused(few):
    with pytest.raises(ValueError, match=r"layers=\[\] is empty"):
        compare_strategies(*few, layers=[])
    with pytest.raises(ValueError, match=r"candidates=\{\} is empty"):
        compare_strategies(*few, candidates={})


def test_the_searches_pass_no_image_through_the_network_again(few, batches_run):
    X, y = few
    grid = {"layers": [-1, [-2, -1]], "poolings": ["avg", "max"], "cv": 2}
    compare_strategies(X[:60] // 2, y[:60], **QUICK | grid)
    assert sum(batches_run) == 60


def test_the_network_sees_each_image_once_for_candidates_of_your_own(few, batches_run):
    X, y = few
    pipeline = Pipeline([("net", DeepFeatureTransformer("tiny")), ("head", DummyClassifier())])
    grid = [{"net__layers": [-1, -2]}, {"net__pooling": ["max"], "head__strategy": ["prior"]}]
    compare_strategies(X[:60] // 7, y[:60], candidates={"own": (pipeline, grid)}, cv=2)
    assert sum(batches_run) == 60


def test_fine_tuned_candidates_share_folds_and_budget(few):
    X, y = few
    rows = np.flatnonzero(y < 3)
    names = ["features + SVM", "frozen", "partial", "full", "scratch"]
    options = QUICK | {"candidates": names, "cv": 2, "max_epochs": 2, "batch_size": 16}
    comparison = compare_strategies(X[rows], y[rows], **options)
    results = comparison.results_.set_index("candidate")
    assert results.loc[names, "strategy"].tolist() == ["features", *names[1:]]
    assert (results["size_bytes"][names[1:]] > 1e4).all()
    tuned = [comparison.searches_[name].estimator for name in names[1:]]
    for parameter, value in {"max_epochs": 2, "batch_size": 16, "random_state": 0}.items():
        assert {model.get_params()[parameter] for model in tuned} == {value}
    first, *others = (comparison.searches_[name].cv for name in names)
    for other in others:
        for (_, test), (_, same) in zip(first, other, strict=True):
            np.testing.assert_array_equal(test, same)


class Adapted(DummyClassifier):
    """Notes what it is fitted on."""

    seen = []  # noqa: RUF012 - shared by clones

    def fit(self, X, y, sample_domain=None):
        self.seen.append((len(X), np.sum(np.equal(sample_domain, -1))))
        return super().fit(np.zeros((len(X), 1)), y)


def test_only_candidates_that_take_domains_see_the_target(few):
    X, y = few
    Adapted.seen.clear()
    candidates = {"adapted": Adapted(), "guess": _dummy()}
    comparison = compare_strategies(X, y, candidates=candidates, cv=3, X_target=list(X[:10]))
    assert Adapted.seen == 3 * [(90, 10)] + [(130, 10)]  # the folds, and the winner on all images
    assert comparison.fold_scores_.shape == (3, 3)


def test_rows_marked_as_unlabelled_are_the_target(few):
    X, y = few
    Adapted.seen.clear()
    marked = np.where(np.arange(120) < 12, -1, y)
    compare_strategies(X, marked, candidates={"adapted": Adapted()}, cv=2, unlabeled=-1)
    assert Adapted.seen == 2 * [(66, 12)] + [(120, 12)]


def test_dann_is_compared_where_there_is_a_target():
    domains = load_digit_domains()
    rows = np.flatnonzero(domains.y_source < 3)[:60]
    target = np.flatnonzero(domains.y_target < 3)[:40]
    comparison = compare_strategies(
        domains.X_source[rows],
        domains.y_source[rows],
        X_target=domains.X_target[target],
        y_target=domains.y_target[target],
        **QUICK
        | {
            "candidates": ["frozen", "DANN", "CORAL + logistic regression"],
            "cv": 2,
            "max_epochs": 1,
        },
    )
    results = comparison.results_.set_index("candidate")
    for name in ("DANN", "CORAL + logistic regression"):
        assert results.loc[name, "strategy"] == "adaptation"
        assert f"{name} ({results.loc[name, 'score_mean']:.3f})" in comparison.unlabeled_note_
    simple_is_better = (
        results.loc["DANN", "score_mean"]
        <= results.loc["CORAL + logistic regression", "score_mean"]
    )
    assert ("need not adapt" in comparison.unlabeled_note_) == simple_is_better
    assert results["score_mean"].between(0.1, 1).all()
    with pytest.raises(ValueError, match="'DANN' needs images of a target"):
        compare_strategies(domains.X_source, domains.y_source, candidates=["DANN"])


def test_labels_of_the_target_are_what_is_scored_on(few):
    X, y = few
    guess = {"guess": _dummy("most_frequent")}
    seven = np.full(20, 7)
    compare = partial(
        compare_strategies, X, np.where(y > 2, 7, y), candidates=guess, cv=3, scoring="accuracy"
    )
    results = compare(X_target=X[:20], y_target=seven).results_
    assert results["score_mean"].tolist() == [1.0, 1.0]
    assert results["p_value"].isna().all()
    assert compare(X_target=X[:20], y_target=seven - 7).results_["score_mean"].tolist() == [
        0.0,
        0.0,
    ]
    assert 0.5 < compare(X_target=X[:20]).results_["score_mean"][0] < 0.9


def test_labels_of_a_target_without_images_are_refused(few):
    with pytest.raises(ValueError, match="y_target is given without images"):
        compare_strategies(*few, y_target=[1, 2])


def test_a_target_that_is_given_twice_or_not_there_is_refused(few):
    X, y = few
    with pytest.raises(ValueError, match="X_target and unlabeled=-1 are both given"):
        compare_strategies(X, y, X_target=X, unlabeled=-1)
    with pytest.raises(ValueError, match="unlabeled=-1 is the label of no row of y"):
        compare_strategies(X, y, unlabeled=-1)


def test_a_comparison_draws_itself(comparison):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    display = comparison.plot()
    shown = " ".join(text.get_text() for text in display.ax_.texts)
    assert all(name in shown for name in FEATURES)
    pyplot.close(display.figure_)


def test_candidates_of_your_own_keep_features_where_the_comparison_is_kept(few, tmp_path):
    own = Pipeline([("net", DeepFeatureTransformer("tiny")), ("head", DummyClassifier())])
    comparison = compare_strategies(*few, candidates={"own": own}, cv=2, resume=tmp_path / "kept")
    assert list((tmp_path / "kept" / "features").glob("*.sqlite"))
    after = (own, comparison.best_estimator_, comparison.searches_["own"].estimator)
    assert {model.get_params()["net__cache"] for model in after} == {"memory"}


def test_names_choose_from_the_ready_made_candidates(few):
    comparison = compare_strategies(*few, **QUICK | {"candidates": ["features + SVM"]})
    assert comparison.results_["candidate"].tolist()[:-1] == ["features + SVM"]


def test_an_unknown_candidate_is_refused_with_the_possible_ones(few):
    with pytest.raises(ValueError, match=r"names 'SVM', which is none of .*'features \+ SVM'"):
        compare_strategies(*few, candidates=["SVM"])


@pytest.mark.parametrize("wrong", ["SVM", (DummyClassifier(),), (DummyClassifier(), 1), 3])
def test_a_candidate_that_is_no_estimator_is_refused(few, wrong):
    with pytest.raises(TypeError, match=r"candidates\['a'\]=.* must be an estimator, or a pair"):
        compare_strategies(*few, candidates={"a": wrong})


def test_more_folds_than_groups_of_a_class_is_refused(few):
    X, y = few
    rows = np.flatnonzero(y < 2)
    with pytest.raises(ValueError, match=r"the class 0 has only 1 group\(s\) of images"):
        compare_strategies(X[rows], y[rows], groups=y[rows], cv=3)


def test_a_data_set_of_torch_can_be_compared(few):
    X, y = few
    data = [(image, 0) for image in X]

    class Data:
        def __len__(self):
            return len(data)

        def __getitem__(self, row):
            return data[row]

    raw = ["raw pixels + logistic regression"]
    plain, wrapped = (compare_strategies(A, y, **QUICK | {"candidates": raw}) for A in (X, Data()))
    assert plain.fold_scores_.equals(wrapped.fold_scores_)


class Failing(DummyClassifier):
    """Fails in the fold whose first row it is told of."""

    def __init__(self, at=None):
        super().__init__()
        self.at = at

    def fit(self, X, y):
        if self.at == "always" or X[0] == self.at:
            raise RuntimeError("out of luck")
        return super().fit(X, y)


def test_a_candidate_that_fails_has_a_row_that_says_why_and_the_others_stand(few, tmp_path):
    rows = np.arange(120).reshape(-1, 1)
    candidates = {"fails": Failing("always"), "works": DummyClassifier()}
    with pytest.warns(FitFailedWarning, match="3 of 3 fits of the candidate 'fails' failed. The"):
        comparison = compare_strategies(rows, few[1], candidates=candidates, cv=KFold(3))
    results = comparison.results_
    assert results["candidate"].tolist()[:2] == ["works", "fails"]
    assert results["error"].tolist() == ["", "RuntimeError: out of luck", ""]
    assert np.isnan(results["score_mean"][1])
    assert np.isnan(results["p_value"][1])
    page = comparison.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "RuntimeError: out of luck" in page
    assert "nan" not in page


def test_a_setting_that_fails_on_a_fold_is_not_chosen(few):
    rows = np.arange(120).reshape(-1, 1)
    candidates = {"one": (Failing(), {"at": [40, None]})}  # the first fold trains from row 40 on
    with pytest.warns(FitFailedWarning, match="1 of 6 fits"):
        comparison = compare_strategies(rows, few[1], candidates=candidates, cv=KFold(3))
    assert comparison.best_params_ == {"at": None}
    assert (fits_of(comparison, "one")["error"] != "").tolist() == [True] + 5 * [False]


def test_if_all_fail_the_first_error_is_raised(few):
    rows = np.arange(120).reshape(-1, 1)
    with (
        pytest.warns(FitFailedWarning, match="3 of 3"),
        pytest.raises(RuntimeError, match="out of luck"),
    ):
        compare_strategies(rows, few[1], candidates={"fails": Failing("always")}, cv=KFold(3))


def test_an_unreadable_image_is_not_a_fault_of_a_candidate(few):
    X, y = few
    images = [*X[:-1], b"no image"]
    with pytest.raises(ImageDecodeError, match=r"image \d+ of"):
        compare_strategies(images, y, candidates={"a": _dummy()}, cv=2)


@pytest.fixture(scope="module")
def unbalanced(digits):
    rows = np.r_[np.flatnonzero(digits.y == 0)[:40], np.flatnonzero(digits.y == 1)[:6]]
    return digits.X[rows], np.array(["good", "defect"])[digits.y[rows]]


def test_unbalanced_images_are_scored_by_balanced_accuracy_and_that_is_said(unbalanced):
    guess = {"guess": _dummy("most_frequent")}
    found = compare_strategies(*unbalanced, candidates=guess, cv=3)
    assert found.scoring_ == "balanced_accuracy"
    assert found.results_["score_mean"].tolist() == [0.5, 0.5]
    said = (
        "'good' has 40 images and 'defect' 6, so that naming 'good' always would be 0.870 accurate"
    )
    assert said in found.scoring_reason_
    named = compare_strategies(*unbalanced, candidates=guess, cv=3, scoring="accuracy")
    assert named.results_["score_mean"].tolist() == pytest.approx([0.87, 0.87], abs=0.01)
    assert named.scoring_reason_ == ""


def test_three_to_one_is_still_scored_by_accuracy(digits):
    rows = np.r_[np.flatnonzero(digits.y == 0)[:30], np.flatnonzero(digits.y == 1)[:10]]
    found = compare_strategies(digits.X[rows], digits.y[rows], candidates={"guess": _dummy()}, cv=2)
    assert (found.scoring_, found.scoring_reason_) == ("accuracy", "")


def test_the_largest_class_is_the_last_row_and_never_wins(few):
    worse = {"constant": _dummy("uniform")}
    found = compare_strategies(*few, candidates=worse, cv=3)
    assert found.results_["candidate"].tolist() == ["constant", "always the largest class"]
    assert found.best_candidate_ == "constant"
    search = found.searches_["always the largest class"].fit(*few)
    assert search.best_score_ == pytest.approx(found.results_["score_mean"][1])


def test_a_scoring_without_use_for_a_constant_answer_has_no_such_row(few):
    def by_features(estimator, X, y):
        return estimator[-1].score(estimator[:-1].transform(X), y)

    found = compare_strategies(*few, candidates={"a": _dummy()}, cv=2, scoring=by_features)
    assert found.results_["candidate"].tolist() == ["a"]


def test_the_source_is_scored_with_its_own_statistics_where_the_target_has_no_labels():
    domains = load_digit_domains()
    rows = np.arange(40)
    model = DANNClassifier(
        "tiny", strategy="frozen", batch_norm="per_domain", max_epochs=1, random_state=0
    ).fit(domains.X_source[rows], domains.y_source[rows], X_target=domains.X_target[rows])
    for of_source, domain in ((True, 1), (False, -2)):
        labels, confidence = predict_with_confidence(
            model, domains.X_source[rows], of_source=of_source
        )
        probabilities = model.predict_proba(domains.X_source[rows], np.full(40, domain))
        np.testing.assert_allclose(confidence, probabilities.max(axis=1), rtol=1e-5)
        np.testing.assert_array_equal(labels, model.classes_[probabilities.argmax(axis=1)])
    labelled = model.predict_proba(domains.X_source[rows], np.full(40, 1))
    assert np.abs(labelled - model.predict_proba(domains.X_source[rows])).max() > 1e-3
