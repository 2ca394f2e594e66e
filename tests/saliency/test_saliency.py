import warnings

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import SVC

from sktransfer import DeepFeatureTransformer, SaliencyDisplay, SaliencyMaps, saliency_maps
from sktransfer.plotting.overlay import AGAINST, FOR, overlays
from sktransfer.raw_pixels import PixelTransformer
from sktransfer.saliency.affine import NotAffine, read_affine
from sktransfer.saliency.maps import spread_cells


@pytest.fixture(scope="module")
def patches():
    """Grey with a checkered (class "check") or striped patch; where it is says nothing."""
    rng = np.random.default_rng(0)
    X = rng.integers(108, 112, size=(120, 64, 64, 3), dtype=np.uint8)
    y = np.array(["check", "stripe"] * 60)
    corners = rng.integers(0, 64 - 20, size=(120, 2))
    down, across = np.mgrid[:20, :20] // 5 % 2
    for image, label, (top, left) in zip(X, y, corners, strict=True):
        pattern = (down ^ across) if label == "check" else across
        image[top : top + 20, left : left + 20] = 255 * pattern[..., None]
    return X, y, corners


def _model(*steps, **parameters):
    return make_pipeline(DeepFeatureTransformer("tiny", **parameters), *steps)


def _logistic(**parameters):
    return LogisticRegression(max_iter=1000, **parameters)


def _assert_adds_up(found, expected):
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-5)
    given = found.maps.sum((1, 2)) + found.constants
    np.testing.assert_allclose(given, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("layers", [None, [-2, -1], ["stem", "layer2", "layer4"]])
@pytest.mark.parametrize("steps", [(), (StandardScaler(),), (StandardScaler(), PCA(20))])
def test_the_map_and_a_constant_add_up_to_the_decision_value_of_each_class(digits, layers, steps):
    X, y = digits.X[:80], digits.y[:80]
    head = _logistic(C=0.1) if steps else RidgeClassifier()  # which needs no scaling
    model = _model(*steps, head, layers=layers, precision="float32").fit(X, y)
    decisions = model.decision_function(X[:4])
    for digit in (0, 7):
        found = saliency_maps(model, X[:4], target=digit, method="cam")
        _assert_adds_up(found, decisions[:, digit])
        assert np.ptp(found.constants) == 0  # of the class, not of the image


@pytest.mark.parametrize("pooling", ["avg", "max", "avgmax", "flatten"])
def test_the_map_of_two_classes_adds_up_for_and_against(digits, pooling):
    X, y = digits.X[:80], digits.y[:80] % 2 == 0
    model = _model(StandardScaler(), RidgeClassifier(), layers=-1, pooling=pooling).fit(X, y)
    decisions = model.decision_function(X[:5])
    _assert_adds_up(saliency_maps(model, X[:5], target=True), decisions)
    _assert_adds_up(saliency_maps(model, X[:5], target=False), -decisions)


def test_the_cells_of_the_map_are_the_weighted_channels(digits):
    # Zhou et al. 2016, equation 2, computed by hand from the network itself.
    import torch

    X, y = digits.X[:80], digits.y[:80]
    model = _model(RidgeClassifier(), precision="float32").fit(X, y)
    found = saliency_maps(model, X[:3], target=4)
    network, preprocessing = model[0].backbone_, model[0].plan_.preprocessing
    with torch.no_grad():
        x = preprocessing.normalize(torch.from_numpy(found.pixels))
        for stage in ("stem", "layer1", "layer2", "layer3", "layer4"):
            x = network.get_submodule(stage)(x)
    weighted = np.einsum("c,nchw->nhw", model[-1].coef_[4], x.numpy()) / 16
    np.testing.assert_allclose(found.layer_maps["layer4"], weighted, atol=1e-4)


def test_half_precision_adds_up_too(digits):
    X, y = digits.X[:80], digits.y[:80]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a processor may not have it
        model = _model(StandardScaler(), _logistic(C=0.1), precision="bfloat16").fit(X, y)
        decisions = model.decision_function(X[:5])
        found = saliency_maps(model, X[:5])
    _assert_adds_up(found, decisions.max(1))


@pytest.mark.parametrize(
    "steps",
    [
        (SelectKBest(lambda X, y: X.std(0), k=50), RidgeClassifier()),
        (PCA(30, whiten=True), GridSearchCV(RidgeClassifier(), {"alpha": [1.0, 9.0]}, cv=2)),
        (Pipeline([("scale", StandardScaler()), ("head", SVC(kernel="linear"))]),),
    ],
)
def test_any_chain_of_affine_steps_is_exact(digits, steps):
    X, y = digits.X[:80], digits.y[:80] > 4
    model = _model(*steps).fit(X, y)
    found = saliency_maps(model, X[:4], target=True)
    assert found.method == "cam"
    _assert_adds_up(found, model.decision_function(X[:4]))


def test_a_regression_is_explained_too(digits):
    X = digits.X[:100]
    model = _model(StandardScaler(), Ridge(10.0)).fit(X, X.mean((1, 2)))
    found = saliency_maps(model, X[:4])
    assert found.method == "cam"
    _assert_adds_up(found, model.predict(X[:4]))


def test_a_head_fitted_on_named_columns_is_exact(digits):
    X, y = digits.X[:60], digits.y[:60]
    model = _model(StandardScaler(), RidgeClassifier())
    model.set_output(transform="pandas").fit(X, y)
    _assert_adds_up(saliency_maps(model, X[:3]), model.decision_function(X[:3]).max(1))


@pytest.mark.parametrize(
    ("model", "method"),
    [
        (_model(StandardScaler(), _logistic(C=0.1), layers=-2), "cam"),
        (_model(StandardScaler(), _logistic(C=0.1), layers=-2, pooling="max"), "cam"),
        (_model(StandardScaler(), SVC(), layers=-2), "occlusion"),
        (_model(RandomForestClassifier(30, random_state=0), layers=-2), "occlusion"),
    ],
    ids=["average", "maximum", "svm", "forest"],
)
def test_the_map_is_strong_where_the_pattern_is(patches, model, method):
    X, y, corners = patches
    model.fit(X[:100], y[:100])
    assert model.score(X[100:], y[100:]) > 0.8
    found = saliency_maps(model, X[100:108], target=y[100:108], n_cells=6)
    assert found.method == method
    inside = np.zeros(found.maps.shape, bool)
    for mask, (top, left) in zip(inside, corners[100:108], strict=True):
        mask[top : top + 20, left : left + 20] = True
    # Of two classes, the one's pattern may also count as the absence of the other's: either sign.
    where, elsewhere = (_contrast(found.maps, mask) for mask in (inside, np.roll(inside, 1, 0)))
    assert np.median(where) > max(1.0, np.median(elsewhere))


def _contrast(maps, masks):
    differences = [m[i].mean() - m[~i].mean() for m, i in zip(maps, masks, strict=True)]
    return np.abs(differences) / maps.std((1, 2))


def test_occlusion_measures_what_covering_a_patch_does(digits):
    X, y = digits.X[:60], digits.y[:60]
    model = _model(StandardScaler(), SVC()).fit(X, y)
    found = saliency_maps(model, X[:2], target=3, n_cells=4)
    assert found.layer_maps["patches"].shape == (2, 4, 4)
    covered = found.pixels[1].copy()
    # The patch in the second row, third column: its middle is at (24, 40), its side 2 * 16.
    covered[8:40, 24:56] = np.rint(covered.mean((0, 1)))
    before = model.decision_function(X[1:2])[0, 3]
    after = model.decision_function(covered[None])[0, 3]
    np.testing.assert_allclose(found.layer_maps["patches"][1, 1, 2], before - after, atol=1e-4)


def test_occlusion_leaves_nothing_in_the_store(digits, tmp_path):
    X, y = digits.X[:60], digits.y[:60]
    model = _model(SVC(), cache=tmp_path).fit(X, y)
    before = model[0].cache_info()
    saliency_maps(model, X[:2], n_cells=3)
    assert model[0].cache_info().bytes == before.bytes
    assert model[0].cache == tmp_path


def test_occlusion_explains_estimators_without_a_network(digits):
    X, y = digits.X[:200], digits.y[:200]
    model = make_pipeline(PixelTransformer(8), RandomForestClassifier(20, random_state=0))
    found = saliency_maps(model.fit(X, y), X[:2])
    assert found.method == "occlusion"
    assert found.maps.shape == (2, 8, 8)
    np.testing.assert_array_equal(found.targets, y[:2])
    np.testing.assert_allclose(found.values, model.predict_proba(X[:2]).max(1))
    assert found.maps.max() > 0.1


def test_images_of_different_sizes_are_shown_as_squares():
    rng = np.random.default_rng(0)
    X = [rng.integers(0, 255, size=(20 + i, 30, 3), dtype=np.uint8) for i in range(8)]
    model = make_pipeline(PixelTransformer(8), _logistic()).fit(X, [0, 1] * 4)
    assert saliency_maps(model, X[:2], n_cells=2).maps.shape == (2, 224, 224)


def test_the_class_of_a_map_is_the_predicted_one_or_the_one_asked_for(digits):
    X, y = digits.X[:60], digits.y[:60].astype(str)
    model = _model(RidgeClassifier()).fit(X, y)
    np.testing.assert_array_equal(saliency_maps(model, X[:5]).targets, model.predict(X[:5]))
    asked = saliency_maps(model, X[:2], target=["3", "8"])
    assert asked.targets.tolist() == ["3", "8"]
    alone = saliency_maps(model, X[1:2], target="8")
    np.testing.assert_allclose(alone.maps[0], asked.maps[1], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 11}, r"target=11 is no class of the estimator\. Choose one of: 0, 1, 2"),
        ({"target": [1, 2, 3]}, r"target has the shape \(3,\), and there are 2 images"),
        ({"method": "lime"}, r"method='lime' is not possible\. Choose one of: 'auto', 'cam'"),
        ({"method": "grad_cam"}, r"method='grad_cam' is not possible: the Pipeline is no network"),
        ({"n_cells": 0}, r"n_cells=0 must be at least 1"),
    ],
)
def test_what_cannot_be_shown_is_refused(digits, options, message):
    model = _model(RidgeClassifier()).fit(digits.X[:60], digits.y[:60])
    with pytest.raises(ValueError, match=message):
        saliency_maps(model, digits.X[:2], **options)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (_model(SVC()), "method='cam' is not possible: the head is not linear"),
        (_model(RidgeClassifier(), pooling="gem"), "pooling 'gem' is no sum over the cells"),
        (_model(Normalizer(), RidgeClassifier()), "are no weighted sum of them and a constant"),
        (make_pipeline(PixelTransformer(8), SVC()), "Pipeline does not begin with a Deep"),
    ],
    ids=["svm", "gem", "normalizer", "pixels"],
)
def test_an_exact_map_that_does_not_exist_is_refused_and_occlusion_takes_over(
    digits, model, message
):
    X, y = digits.X[:60], digits.y[:60]
    model.fit(X, y)
    with pytest.raises(ValueError, match=message):
        saliency_maps(model, X[:2], method="cam")
    assert saliency_maps(model, X[:2], n_cells=2).method == "occlusion"


def test_what_decides_nothing_is_refused(digits):
    with pytest.raises(TypeError, match="estimator is a Pipeline without predict"):
        saliency_maps(make_pipeline(PixelTransformer(8), StandardScaler()), digits.X[:2])


@pytest.mark.parametrize("function", [np.exp, np.abs, lambda x: x.clip(0)])
def test_curves_are_not_taken_for_straight(function):
    rows = np.random.default_rng(0).normal(size=(4, 3))
    with pytest.raises(NotAffine, match="no weighted sum"):
        read_affine(function, rows)


def test_an_average_of_linear_functions_is_affine(digits):
    rows = digits.X[:100].reshape(100, -1) / 255
    bag = BaggingClassifier(RidgeClassifier(), 3, random_state=0).fit(rows, digits.y[:100] > 4)
    weights, constants = read_affine(lambda x: bag.decision_function(x)[:, None], rows[:5])
    expected = np.mean([one.coef_.ravel() for one in bag.estimators_], 0)
    np.testing.assert_allclose(weights[:, 0], expected, atol=1e-9)
    assert constants.shape == (1,)


@pytest.mark.parametrize(("cells", "pixels"), [(1, 5), (4, 64), (7, 224), (7, 200), (8, 8)])
def test_cells_are_spread_without_loss_and_stay_where_they_are(cells, pixels):
    grid = np.random.default_rng(0).normal(size=(2, cells, cells))
    spread = spread_cells(grid, pixels)
    np.testing.assert_allclose(spread.sum((1, 2)), grid.sum((1, 2)), atol=1e-9)
    one = np.zeros((1, cells, cells))
    one[0, -1, 0] = 1.0
    row, column = np.unravel_index(spread_cells(one, pixels).argmax(), (pixels, pixels))
    assert row >= pixels - pixels / cells
    assert column < pixels / cells


def _maps(maps, constants=None):
    pixels = np.full((*maps.shape, 3), 128, np.uint8)
    values = maps.sum((1, 2)) + (0 if constants is None else constants)
    return SaliencyMaps(maps, pixels, np.zeros(len(maps)), values, "cam", constants)


def test_an_overlay_is_orange_for_and_blue_against():
    maps = np.zeros((1, 10, 10))
    maps[0, :5], maps[0, 5:, :5] = 1.0, -1.0
    shown = overlays(_maps(maps))[0].astype(float)
    toward_for = (shown[2, 2] - 128) @ (np.array(FOR) - 128)
    toward_against = (shown[7, 2] - 128) @ (np.array(AGAINST) - 128)
    assert toward_for > 0
    assert toward_against > 0
    np.testing.assert_array_equal(shown[7, 7], 128)


def test_an_overlay_shares_out_the_constant():
    maps = np.full((1, 10, 10), 1.0)
    shown = overlays(_maps(maps, np.array([-100.0])))
    np.testing.assert_array_equal(shown, 128)


def test_a_display_shows_images_and_maps_and_names_mistakes(digits):
    X, y = digits.X[:60], digits.y[:60]
    model = _model(RidgeClassifier()).fit(X, y)
    wrong = y[:6].copy()
    wrong[2] = 9
    display = SaliencyDisplay.from_estimator(model, X[:6], wrong)
    assert display.axes_.shape == (4, 4)
    drawn = [len(one.images) for one in display.axes_.flat]
    assert drawn == [1, 1, 1, 1] * 2 + [1, 1, 0, 0] * 2
    assert display.axes_[0, 2].get_title() == "2, is 9"
    assert display.axes_[0, 1].get_title() == "1"
    assert display.axes_[0, 0].figure is display.figure_
