"""A model in ONNX Runtime gives what it gives here, from pixels of any size to the label."""

import json

import numpy as np
import pytest
from PIL import Image
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC

from sktransfer import DeepFeatureTransformer, export_onnx
from sktransfer.datasets import load_digit_images
from sktransfer.exceptions import ExportError
from sktransfer.export import pixel_graph as module_of_pixels
from sktransfer.export.checking import compared
from sktransfer.export.drawn_images import draw_images
from sktransfer.export.exportable import take_apart
from sktransfer.export.head_graph import head_graph
from sktransfer.export.joining import joined, label_graph
from sktransfer.export.pixel_graph import pixel_graph
from sktransfer.preprocessing import Preprocessing

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
pytest.importorskip("skl2onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxscript", reason="the extra onnx is not installed")

X, y = load_digit_images(return_X_y=True)
X, y = X[:120], np.array(["ant", "bee", "cow"])[y[:120] % 3]
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
FEATURES = DeepFeatureTransformer(
    "tiny", layers=[-2, -1], pooling=["max", "avg"], precision="float32"
)


def session_of(graph):
    data = graph if isinstance(graph, str) else graph.SerializeToString()
    return runtime.InferenceSession(data, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def classifier():
    return make_pipeline(FEATURES, StandardScaler(), LogisticRegression()).fit(X, y)


@pytest.fixture(scope="module")
def exported(classifier, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    return export_onnx(classifier, path)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("fit", "crop"), [("shorter", 56), ("squash", 53)])
@pytest.mark.parametrize("largest", [0, 2**21], ids=["by the operator", "by matrices"])
def test_images_of_any_size_are_resized_and_cropped_as_here(
    interpolation, fit, crop, largest, monkeypatch
):
    monkeypatch.setattr(module_of_pixels, "LARGEST", largest)
    preprocessing = Preprocessing(crop, 64, **IMAGENET, interpolation=interpolation, fit=fit)
    session = session_of(pixel_graph(preprocessing, 18))
    scale = 255 * np.array(IMAGENET["std"])
    differences = []
    drawn = draw_images(56, 8)
    for image in (*drawn, *(np.rot90(image)[:, :40].copy() for image in drawn)):
        given = session.run(None, {"images": image[None]})[0][0].transpose(1, 2, 0)
        levels = given * scale + 255 * np.array(IMAGENET["mean"])
        differences.append(np.abs(levels - preprocessing(Image.fromarray(image))).ravel())
    differences = np.concatenate(differences)
    assert np.mean(differences < 1.01) > 0.999
    assert differences.max() < 2.01


@pytest.mark.parametrize("height_first", [True, False])
def test_the_order_of_the_two_directions_is_that_of_the_installed_pillow(height_first, monkeypatch):
    monkeypatch.setattr(module_of_pixels, "_takes_the_height_first", lambda: height_first)
    image = np.random.default_rng(0).integers(0, 256, (200, 40, 3), dtype=np.uint8)
    preprocessing = Preprocessing(32, 32, (0.0,) * 3, (1.0,) * 3, "bicubic", "squash")
    given = session_of(pixel_graph(preprocessing, 18)).run(None, {"images": image[None]})[0][0]
    sizes = [(40, 32), (32, 32)] if height_first else [(32, 200), (32, 32)]
    expected = Image.fromarray(image)
    for size in sizes:
        expected = expected.resize(size, Image.Resampling.BICUBIC)
    gap = np.abs(given.transpose(1, 2, 0) * 255 - np.asarray(expected))
    assert np.mean(gap < 0.5) > 0.999


def test_images_of_a_batch_are_resized_each_by_itself():
    session = session_of(pixel_graph(Preprocessing(56, 64, **IMAGENET), 18))
    batch = np.stack([draw_images(90, 1)[0], 255 - draw_images(90, 1)[0]])
    together = session.run(None, {"images": batch})[0]
    alone = [session.run(None, {"images": image[None]})[0][0] for image in batch]
    assert together.shape == (2, 3, 56, 56)
    np.testing.assert_array_equal(together, alone)


def test_an_interpolation_without_a_counterpart_is_refused():
    with pytest.raises(ExportError, match="'lanczos', which ONNX has no operator for"):
        pixel_graph(Preprocessing(56, 64, **IMAGENET, interpolation="lanczos"), 18)


def test_the_file_labels_images_as_the_pipeline_does(classifier, exported):
    session = session_of(str(exported.path))
    labels, probabilities = session.run(["label", "probabilities"], {"images": _rgb(X[:50])})
    assert labels.tolist() == classifier.predict(X[:50]).tolist()
    np.testing.assert_allclose(probabilities, classifier.predict_proba(X[:50]), atol=1e-3)


def test_the_report_says_what_was_compared_and_how_large_the_file_is(exported):
    assert exported.outputs == ("label", "probabilities")
    assert 0 < exported.max_difference < 1e-3
    assert exported.agreement == 1
    assert exported.n_checked == 5
    assert exported.bytes == exported.path.stat().st_size
    assert onnx.load(exported.path).opset_import[0].version == exported.opset == 18


def test_the_file_says_what_it_is(exported):
    model = onnx.load(exported.path)
    about = {p.key: json.loads(p.value) for p in model.metadata_props}
    assert about["sktransfer.classes"] == ["ant", "bee", "cow"]
    assert about["sktransfer.feature_names"] == FEATURES.get_feature_names_out().tolist()
    assert about["sktransfer.weights_digest"] == FEATURES.fit(X[:1]).plan_.digest
    assert "crop=64" in about["sktransfer.preprocessing"]
    assert set(about["sktransfer.versions"]) >= {"sktransfer", "torch", "scikit-learn"}


def test_a_transformer_alone_puts_out_its_features(tmp_path):
    features = DeepFeatureTransformer("tiny", pooling="avgmax", cache=None, precision="float32")
    report = export_onnx(features, tmp_path / "features.onnx", check=X[:3])
    assert report.outputs == ("features",)
    given = session_of(str(report.path)).run(None, {"images": _rgb(X[:5])})[0]
    np.testing.assert_allclose(given, features.fit_transform(X[:5]), rtol=1e-4, atol=1e-4)


def test_a_search_is_exported_as_what_it_found():
    pipeline = make_pipeline(FEATURES, StandardScaler(), LogisticRegression())
    search = GridSearchCV(pipeline, {"logisticregression__C": [1]}, cv=2).fit(X, y)
    found = take_apart(search)
    assert found.head[-1] is search.best_estimator_[-1]
    assert found.n_columns == search.best_estimator_[-1].n_features_in_


@pytest.mark.parametrize(
    ("head", "output"),
    [
        (LogisticRegression(), "probabilities"),
        (LinearSVC(), "scores"),
        (SVC(), "scores"),
        (RandomForestClassifier(10, random_state=0), "probabilities"),
        (HistGradientBoostingClassifier(max_iter=5), "probabilities"),
        (Ridge(), "prediction"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_every_kind_of_head_gives_what_scikit_learn_gives(head, output, n_classes):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(90, 8)).astype(np.float32)
    targets = rows[:, :n_classes].argmax(1)
    model = make_pipeline(StandardScaler(), head)
    model.fit(rows, targets * 1.5 if output == "prediction" else np.array(["a", "b", "c"])[targets])
    session = session_of(head_graph(model, 8, 18))
    values = session.run([output], {"features": rows})[0]
    method = {
        "probabilities": "predict_proba",
        "scores": "decision_function",
        "prediction": "predict",
    }
    expected = getattr(model, method[output])(rows)
    assert values.shape == expected.shape
    np.testing.assert_allclose(values, expected, atol=1e-3)
    if output != "prediction":
        assert (
            session.run(["label"], {"features": rows})[0].tolist() == model.predict(rows).tolist()
        )


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (["ant", "bee"], ["bee", "ant"]),
        ([3, 7], [7, 3]),
        ([False, True], [1, 0]),
        ([0.5, 1.5], [1.5, 0.5]),
    ],
)
def test_labels_are_chosen_by_the_largest_probability(classes, expected):
    session = session_of(label_graph(np.array(classes), 18))
    probabilities = np.array([[0.2, 0.8], [0.7, 0.3]], dtype=np.float32)
    labels, same = session.run(["label", "probabilities"], {"probabilities_in": probabilities})
    assert labels.tolist() == expected
    np.testing.assert_array_equal(same, probabilities)


def test_labels_without_a_counterpart_are_refused():
    with pytest.raises(
        ExportError, match=r"no counterpart in ONNX\. Fit with labels that are strings"
    ):
        label_graph(np.array(["ant", 1], dtype=object), 18)


def test_a_step_without_a_converter_is_refused_by_its_name(tmp_path):
    step = FunctionTransformer(np.sqrt)
    model = make_pipeline(FEATURES, step, StandardScaler(), LogisticRegression()).fit(X, y)
    with pytest.raises(ExportError, match=r"'functiontransformer' \(FunctionTransformer\)"):
        export_onnx(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_begin_with_a_network_is_refused_by_its_first_step(tmp_path):
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(ExportError, match="first step 'standardscaler' is a StandardScaler"):
        export_onnx(model, tmp_path / "model.onnx")


def test_a_graph_that_differs_from_the_model_is_not_written(classifier, tmp_path, monkeypatch):
    from sktransfer.export import onnx_files

    other = Preprocessing(64, 64, (0.9,) * 3, (0.5,) * 3)
    monkeypatch.setattr(onnx_files, "pixel_graph", lambda _, opset: pixel_graph(other, opset))
    with pytest.raises(ExportError, match="gives other probabilities than the model"):
        export_onnx(classifier, tmp_path / "model.onnx", check=X[:5])
    assert list(tmp_path.iterdir()) == []


def test_where_resizing_rounds_a_level_all_else_is_compared_on_the_same_pixels():
    from onnx import parser

    preprocessing = Preprocessing(12, 12, (0.5,) * 3, (0.25,) * 3)

    def seen(image):
        return preprocessing(Image.fromarray(image))

    def rows_of(images):
        levels = np.stack([seen(image) for image in images]) / 255
        return ((levels - 0.5) * 4).transpose(0, 3, 1, 2).reshape(len(levels), -1)

    rng = np.random.default_rng(0)
    head = LogisticRegression(C=100).fit(rng.normal(size=(60, 432)), np.arange(60) % 3)
    flatten = parser.parse_model(
        """<ir_version: 10, opset_import: ["": 18]>
        rows (float[n, 3, 12, 12] normalised) => (float[n, 432] features) {
          features = Flatten(normalised)
        }"""
    )
    parts = [pixel_graph(preprocessing, 18), flatten, head_graph(head, 432, 18)]
    graph = joined(parts, ["pixels/", "network/", "head/"])
    model = make_pipeline(FunctionTransformer(rows_of), head)
    images = draw_images(32, 12)
    found = compared(graph, model, images, seen)
    assert found.max_levels == 1
    assert 1e-3 < found.max_difference < 0.1
    other = make_pipeline(FunctionTransformer(lambda X: rows_of(X) + 0.01), head)
    with pytest.raises(ExportError, match="gives other probabilities than the model: they differ"):
        compared(graph, other, images, seen)
    with pytest.raises(ExportError, match="resizes images otherwise than the model, by up to 219"):
        compared(graph, model, images, lambda image: 255 - seen(image))


def test_an_opset_without_antialiasing_is_refused(classifier, tmp_path):
    with pytest.raises(ValueError, match=r"opset=17 is not possible\. Choose from 18"):
        export_onnx(classifier, tmp_path / "model.onnx", opset=17)


def _rgb(images):
    """Give grey images their three channels, as bytes: (n, height, width, 3)."""
    levels = images if images.dtype == np.uint8 else np.rint(images * 255).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=3) if levels.ndim == 3 else levels
