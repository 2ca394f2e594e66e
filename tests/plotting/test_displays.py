import re
from importlib import resources
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sktransfer import (
    DeepFeatureTransformer,
    EmbeddingDisplay,
    FeatureLearningCurveDisplay,
    LayerSweepDisplay,
    StrategyComparisonDisplay,
)
from sktransfer.features.pipelines import split_pipeline
from sktransfer.plotting.canvas import ACCENT, CYCLE, RELATED


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture
def ax():
    import matplotlib.pyplot as plt

    return plt.subplots()[1]


@pytest.fixture(scope="module")
def few(digits):
    """The digits 0, 1 and 2, sorted, so that a beginning without shuffling has one class."""
    rows = np.concatenate([np.flatnonzero(digits.y == digit)[:40] for digit in range(3)])
    return digits.X[rows], digits.y[rows]


def _model(head=None, **parameters):
    return make_pipeline(
        DeepFeatureTransformer("tiny", **parameters),
        StandardScaler(),
        head or LogisticRegression(C=0.01, max_iter=1000),
    )


def _results(**columns):
    scores = {"candidate": ["a", "b", "c"], "score_mean": [0.9, 0.89, 0.5], "score_std": 0.01}
    return pd.DataFrame(scores | columns)


def _texts(ax):
    return [text.get_text() for text in ax.texts]


def test_a_comparison_shows_every_candidate_fold_and_mean_best_on_top(ax):
    folds = pd.DataFrame({"a": [0.89, 0.91], "b": [0.88, 0.90], "c": [0.4, 0.6]})
    display = StrategyComparisonDisplay(_results(), fold_scores=folds, score_name="AUC").plot(ax)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert _texts(ax)[::2] == ["a", "b", "c"]
    assert _texts(ax)[1] == "0.900 ± 0.010"
    drawn = {tuple(line.get_xdata()) for line in ax.lines}
    assert {(0.89, 0.91), (0.88, 0.90), (0.4, 0.6), (0.9,), (0.89,), (0.5,)} <= drawn
    top, bottom = ax.transData.transform([(0.9, 0), (0.9, 2)])[:, 1]
    assert top > bottom
    assert ax.get_xlabel() == "AUC"


def test_a_comparison_tells_what_is_worse_from_what_only_scored_less(ax):
    StrategyComparisonDisplay(_results(p_value=[np.nan, 0.4, 0.01])).plot(ax)
    means = [line for line in ax.lines if len(line.get_xdata()) == 1]
    colors = [line.get_color() for line in means]
    assert len(set(colors)) == 3
    shown = [text.get_text() for text in ax.get_legend().get_texts()]
    assert shown == ["best", "not shown to be worse (p ≥ 0.05)", "worse"]


def test_a_comparison_without_p_values_claims_no_difference_in_a_legend(ax):
    StrategyComparisonDisplay(_results()).plot(ax)
    assert ax.get_legend() is None


def test_the_cost_of_candidates_is_on_a_logarithmic_axis_with_their_names_below(ax):
    results = _results(fit_seconds=[30.0, 0.5, 0.0])
    StrategyComparisonDisplay(results).plot(ax, kind="cost")
    assert ax.get_xscale() == "log"
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["1  a", "2  b", "3  c"]
    assert ((30.0,), (0.9,)) in {
        (tuple(line.get_xdata()), tuple(line.get_ydata())) for line in ax.lines
    }


def test_a_comparison_is_drawn_from_what_a_comparison_returns():
    folds = pd.DataFrame({"a": [0.89, 0.91], "b": [0.88, 0.90], "c": [0.4, 0.6]})
    comparison = SimpleNamespace(results_=_results(), fold_scores_=folds)
    display = StrategyComparisonDisplay.from_comparison(comparison, score_name="accuracy")
    assert _texts(display.ax_)[::2] == ["a", "b", "c"]
    assert (0.4, 0.6) in {tuple(line.get_xdata()) for line in display.ax_.lines}


@pytest.mark.parametrize(
    ("results", "kind", "message"),
    [
        (_results().drop(columns="score_std"), "scores", r"results lacks 'score_std'\. Pass"),
        (_results(), "cost", r"results lacks 'fit_seconds'\. Pass"),
        (_results().iloc[:0], "scores", r"results has no rows\. Pass"),
        (_results(), "price", r"kind='price' is not possible\. Choose one of: 'scores', 'cost'"),
    ],
)
def test_a_comparison_that_cannot_be_drawn_says_why(results, kind, message):
    with pytest.raises(ValueError, match=message):
        StrategyComparisonDisplay(results).plot(kind=kind)


def test_a_sweep_scores_what_a_pipeline_of_that_layer_and_pooling_scores(few):
    X, y = few
    model = _model(SVC(C=0.1))
    display = LayerSweepDisplay.from_estimator(model, X, y, poolings=["avg", "avgmax"], cv=3)
    assert display.layers == ("stem", "layer1", "layer2", "layer3", "layer4")
    assert display.scores.shape == (5, 2, 3)
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    for layer, pooling in [("layer2", "avg"), ("layer3", "avgmax")]:
        alone = _model(SVC(C=0.1), layers=layer, pooling=pooling)
        scores = display.scores[display.layers.index(layer), display.poolings.index(pooling)]
        np.testing.assert_array_equal(scores, cross_val_score(alone, X, y, cv=folds))
    assert model[0].layers is None


def test_a_sweep_draws_the_means_of_the_layers_asked_for(few, ax):
    X, y = few
    features = DeepFeatureTransformer("tiny")
    display = LayerSweepDisplay.from_estimator(features, X, y, layers=[-3, -1], cv=3, ax=ax)
    assert display.layers == ("layer2", "layer4")
    assert [text.get_text() for text in ax.get_xticklabels()] == ["layer2", "layer4"]
    for i, line in enumerate(display.lines_):
        np.testing.assert_allclose(line.get_ydata(), display.scores.mean(2)[:, i])
    layer, pooling = display.best
    assert ax.get_title(loc="left").startswith(f"Best: {layer}, {pooling}")
    assert ax.get_ylabel() == "Accuracy"


def test_a_sweep_passes_each_image_through_the_network_once(few, tmp_path):
    X, y = few
    features = DeepFeatureTransformer("tiny", cache=tmp_path)
    model = make_pipeline(features, RidgeClassifier())
    LayerSweepDisplay.from_estimator(model, X, y, poolings=["avg", "max", "gem"], cv=2)
    assert features.cache_info().misses == len(np.unique(X, axis=0))


def test_a_sweep_of_a_regression_scores_by_r_squared(few):
    X, _ = few
    ink = X.mean((1, 2))
    features = DeepFeatureTransformer("tiny")
    display = LayerSweepDisplay.from_estimator(features, X, ink, layers=[-1], cv=2)
    assert display.ax_.get_ylabel() == "R²"
    assert display.scores.max() > 0.5


def test_a_sweep_needs_features():
    with pytest.raises(TypeError, match="estimator is a SVC that does not begin with features"):
        LayerSweepDisplay.from_estimator(SVC(), np.zeros((4, 8, 8)), [0, 1, 0, 1])


def test_a_learning_curve_trains_on_parts_with_all_classes_though_y_is_sorted(few):
    X, y = few
    display = FeatureLearningCurveDisplay.from_estimator(_model(), X, y, train_sizes=[3, 9, 80])
    assert display.train_sizes.tolist() == [3, 9, 80]
    assert display.test_scores.shape == display.train_scores.shape == (3, 5)
    # A part of three images with one class could not be fitted; with one of each, it can beat 1/3.
    assert display.test_scores[0].mean() > 0.5
    assert display.test_scores[-1].mean() > display.test_scores[0].mean()


def test_a_learning_curve_ends_at_the_score_of_cross_validation(few):
    X, y = few
    display = FeatureLearningCurveDisplay.from_estimator(_model(), X, y, cv=4, random_state=3)
    folds = StratifiedKFold(4, shuffle=True, random_state=3)
    expected = cross_val_score(_model(), X, y, cv=folds)
    assert display.train_sizes[-1] == 90
    np.testing.assert_allclose(display.test_scores[-1], expected, atol=0.034)  # one image


def test_a_learning_curve_passes_each_image_through_the_network_once(few, tmp_path):
    X, y = few
    model = _model(cache=tmp_path)
    FeatureLearningCurveDisplay.from_estimator(model, X, y, cv=2)
    assert model[0].cache_info().misses == len(np.unique(X, axis=0))


@pytest.mark.parametrize(
    ("slope", "noise", "verdict"),
    [
        (0.05, 0.001, r"More images would help: twice as many change the score by about \+0\.05"),
        (0.0, 0.0001, r"More images would hardly help: .* \+0\.000"),
        (-0.0002, 0.0001, r"More images would hardly help: .* \+0\.000"),
        (0.02, 0.05, r"It is unclear whether more images help"),
    ],
)
def test_the_verdict_follows_from_the_slope_and_its_spread_over_the_folds(slope, noise, verdict):
    sizes = np.array([10, 20, 40, 80])
    slopes = slope + noise * np.array([-1.0, 0.0, 1.0])
    scores = 0.5 + slopes * np.log2(sizes)[:, None]
    display = FeatureLearningCurveDisplay(sizes, scores, scores)
    assert display.gain.mean == pytest.approx(slope)
    assert display.gain.error == pytest.approx(noise / np.sqrt(3))
    assert re.match(verdict, display.verdict)


def test_the_trend_is_drawn_to_twice_the_images(ax):
    sizes = np.array([10, 20, 40])
    scores = np.log2(sizes)[:, None] * [[0.1, 0.1]]
    FeatureLearningCurveDisplay(sizes, scores, scores).plot(ax)
    trend = ax.lines[-1]
    assert trend.get_xdata().tolist() == [40, 80]
    np.testing.assert_allclose(np.diff(trend.get_ydata()), 0.1)


def test_a_trend_does_not_lead_beyond_a_perfect_score():
    scores = np.array([0.3, 0.6, 0.9])[:, None] * [[1.0, 1.0]]
    display = FeatureLearningCurveDisplay(np.array([10, 20, 40]), scores, scores)
    assert display.gain.mean == pytest.approx(0.1)
    above = FeatureLearningCurveDisplay(np.array([10, 20, 40]), scores, 10 * scores)
    assert above.gain.mean == pytest.approx(3.0)


@pytest.mark.parametrize("sizes", [[5], [0, 10], [10, 1000]])
def test_train_sizes_that_no_fold_has_are_refused(few, sizes):
    with pytest.raises(ValueError, match=r"train_sizes=.* from 1 to 80, the number"):
        FeatureLearningCurveDisplay.from_estimator(_model(), *few, cv=3, train_sizes=sizes)


def test_too_few_images_for_a_learning_curve_are_refused(few):
    X, y = few
    with pytest.raises(ValueError, match=r"a fold has 6 training images, .* needs 12 or more"):
        FeatureLearningCurveDisplay.from_estimator(_model(), X[::10], y[::10], cv=2)


def test_a_learning_curve_also_trains_what_has_no_features(few):
    X, _ = few
    rows = X.reshape(len(X), -1)
    head = Ridge(10.0)
    display = FeatureLearningCurveDisplay.from_estimator(head, rows, rows.mean(1), cv=2)
    assert display.ax_.get_ylabel() == "R²"
    assert display.test_scores[-1].min() > 0.9


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_an_embedding_keeps_classes_together(few, method):
    X, y = few
    model = _model()
    display = EmbeddingDisplay.from_estimator(model, X, y, method=method)
    assert display.points.shape == (len(X), 2)
    # To the nearest other point: by chance a third would be of the same class.
    gaps = np.linalg.norm(display.points[:, None] - display.points[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    assert np.mean(y[gaps.argmin(1)] == y) > 0.8
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend == ["0", "1", "2"]


def test_an_embedding_leaves_out_rows_without_features(ax):
    features = np.random.default_rng(0).normal(size=(10, 4))
    features[3] = np.nan
    display = EmbeddingDisplay.from_features(features, ax=ax)
    assert np.flatnonzero(np.isnan(display.points).any(1)).tolist() == [3]
    assert display.figure_ is ax.figure


def test_an_embedding_shows_values_of_a_regression_by_a_bar_of_colours():
    features = np.random.default_rng(0).normal(size=(10, 4))
    display = EmbeddingDisplay.from_features(features, np.linspace(0.1, 0.95, 10))
    assert len(display.figure_.axes) == 2


def test_an_embedding_of_many_classes_has_names_instead_of_a_legend():
    features = np.random.default_rng(0).normal(size=(60, 4))
    display = EmbeddingDisplay.from_features(features, np.repeat(np.arange(30), 2))
    assert display.ax_.get_legend() is None
    assert len(display.ax_.texts) == 30


def test_an_embedding_of_what_has_no_features_is_refused():
    with pytest.raises(TypeError, match="estimator is a DummyClassifier, which has no features"):
        EmbeddingDisplay.from_estimator(DummyClassifier(), [[0.0]])
    with pytest.raises(ValueError, match="features has 2 usable rows and 5 columns"):
        EmbeddingDisplay.from_features(np.zeros((2, 5)))
    with pytest.raises(ValueError, match="method='umap' is not possible"):
        EmbeddingDisplay.from_features(np.zeros((3, 5)), method="umap")


def test_scikit_learns_confusion_matrix_takes_our_pipelines(few):
    X, y = few
    display = ConfusionMatrixDisplay.from_estimator(_model().fit(X, y), X, y)
    assert display.confusion_matrix.trace() > 100


def test_a_pipeline_is_split_after_its_features(few):
    X, y = few
    inner = make_pipeline(DeepFeatureTransformer("tiny"), StandardScaler())
    model = make_pipeline(inner, LogisticRegression(max_iter=1000)).fit(X, y)
    features, rest = split_pipeline(model)
    assert features is inner[0]
    np.testing.assert_array_equal(rest.predict(features.transform(X)), model.predict(X))
    search = GridSearchCV(_model(), {"standardscaler__with_mean": [False]}, cv=2).fit(X, y)
    assert split_pipeline(search)[0] is search.best_estimator_[0]
    assert split_pipeline(SVC(C=2))[0] is None


ODD = ["$x^$ to $5", "_hidden", "", "two\nlines", "%#&~^{}\\\\", "l" * 300]


def test_names_are_drawn_as_they_are_and_neither_as_formulas_nor_left_out(ax):
    points = np.random.default_rng(0).normal(size=(3 * len(ODD), 2))
    display = EmbeddingDisplay(points, y=np.array(ODD * 3)).plot(ax)
    display.figure_.canvas.draw()  # where a formula would fail
    shown = [text.get_text().strip().replace(r"\$", "$") for text in ax.get_legend().get_texts()]
    assert set(shown) == {*(name.replace("\n", r"\n") for name in ODD[:-1]), "l" * 47 + "…"}


def test_candidates_with_dollars_are_drawn(ax):
    results = pd.DataFrame({"candidate": ["$a^$", "$b_$"], "score_mean": [0.9, 0.6]})
    results = results.assign(score_std=0.1, fit_seconds=1.0)
    display = StrategyComparisonDisplay(results, score_name="$^$")
    for kind in ("scores", "cost"):
        display.plot(kind=kind).figure_.canvas.draw()
    assert display.ax_.get_ylabel() == r"\$^\$"


def test_labels_of_a_column_of_pandas_are_drawn_as_those_of_an_array(few):
    X, y = few
    column = pd.Series(y, index=np.arange(len(y))[::-1] + 3, dtype="Int64")
    sweeps = [
        LayerSweepDisplay.from_estimator(
            DeepFeatureTransformer("tiny"), X, labels, layers=[-1], poolings=["avg"], cv=3
        )
        for labels in (y, column)
    ]
    np.testing.assert_array_equal(sweeps[0].scores, sweeps[1].scores)
    curves = [
        FeatureLearningCurveDisplay.from_estimator(_model(), X, labels, cv=3)
        for labels in (y, column)
    ]
    np.testing.assert_array_equal(curves[0].test_scores, curves[1].test_scores)
    drawn = EmbeddingDisplay.from_features(X.reshape(len(X), -1), column).ax_.get_legend()
    assert [text.get_text() for text in drawn.get_texts()] == ["0", "1", "2"]


def test_a_learning_curve_begins_where_every_class_is_there(digits):
    rows = np.r_[np.flatnonzero(digits.y == 0)[:40], np.flatnonzero(digits.y == 1)[:5]]
    curve = FeatureLearningCurveDisplay.from_estimator(
        _model(), digits.X[rows], digits.y[rows], cv=5
    )
    assert curve.train_sizes[0] >= 5
    assert not np.isnan(curve.test_scores).any()


def luminance(color):
    channels = np.array(to_rgb(color))
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("color", sorted({ACCENT, RELATED, *CYCLE}))
def test_marks_stand_out_from_the_report_on_a_light_and_on_a_dark_screen(color):
    css = (resources.files("sktransfer.report") / "page.css").read_text(encoding="utf-8")
    papers = [luminance(paper) for paper in re.findall(r"--paper: (#\w{6})", css)]
    assert len(papers) == 2
    for paper in papers:
        lighter, darker = max(paper, luminance(color)), min(paper, luminance(color))
        assert (lighter + 0.05) / (darker + 0.05) >= 3
