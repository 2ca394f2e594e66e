"""Every kind of model that has a network in it is exported, and gives there what it gives here."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import (
    DANNClassifier,
    DeepFeatureTransformer,
    FineTuneClassifier,
    FineTuneRegressor,
    export_onnx,
    layer_ensemble,
)
from sktransfer.datasets import load_digit_images
from sktransfer.exceptions import ExportError
from sktransfer.export import register_converter
from sktransfer.raw_pixels import PixelTransformer

runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
pytest.importorskip("skl2onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxscript", reason="the extra onnx is not installed")

X, digits = load_digit_images(return_X_y=True)
X, digits = X[:60], digits[:60]
TRAINING = {"max_epochs": 1, "precision": "float32", "image_size": 32, "random_state": 0}


def outputs_of(model, path):
    report = export_onnx(model, path, check=X[:6])
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    images = np.repeat(X[:10, ..., None], 3, axis=3)
    return dict(zip(report.outputs, session.run(None, {"images": images}), strict=True))


@pytest.mark.parametrize(
    "y",
    [np.array(["ant", "bee"])[digits % 2], np.eye(3, dtype=int)[digits % 3]],
    ids=["two", "several a row"],
)
def test_a_fine_tuned_classifier_gives_labels_and_probabilities(y, tmp_path):
    model = FineTuneClassifier("tiny", pooling="avgmax", **TRAINING).fit(X, y)
    given = outputs_of(model, tmp_path / "model.onnx")
    assert given["label"].tolist() == model.predict(X[:10]).tolist()
    np.testing.assert_allclose(given["probabilities"], model.predict_proba(X[:10]), atol=1e-3)


def test_a_fine_tuned_regressor_gives_values_in_the_units_of_y(tmp_path):
    y = 100 + 10 * digits
    model = FineTuneRegressor("tiny", **TRAINING).fit(X, y)
    given = outputs_of(model, tmp_path / "model.onnx")["prediction"]
    np.testing.assert_allclose(given, model.predict(X[:10]), rtol=1e-3, atol=1e-2)


def test_tuned_features_under_a_head_are_exported_with_it(tmp_path):
    tuned = FineTuneClassifier("tiny", **TRAINING)
    model = make_pipeline(tuned, StandardScaler(), LogisticRegression()).fit(X, digits % 3)
    given = outputs_of(model, tmp_path / "model.onnx")
    np.testing.assert_allclose(given["probabilities"], model.predict_proba(X[:10]), atol=1e-3)


def test_an_adapted_classifier_is_exported_as_it_serves_the_target(tmp_path):
    y = np.where(np.arange(60) < 40, digits % 3, -1)
    model = DANNClassifier("tiny", batch_norm="per_domain", **TRAINING).fit(X, y)
    given = outputs_of(model, tmp_path / "model.onnx")
    assert given["label"].tolist() == model.predict(X[:10]).tolist()
    np.testing.assert_allclose(given["probabilities"], model.predict_proba(X[:10]), atol=1e-3)


@pytest.mark.parametrize("combine", ["vote", "stack"])
def test_an_ensemble_of_layers_runs_its_network_once(combine, tmp_path):
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    y = np.array(["ant", "bee", "cow"])[digits % 3]
    model = layer_ensemble("tiny", [-2, -1], combine=combine, cv=2, precision="float32").fit(X, y)
    given = outputs_of(model, tmp_path / "model.onnx")
    assert given["label"].tolist() == model.predict(X[:10]).tolist()
    np.testing.assert_allclose(given["probabilities"], model.predict_proba(X[:10]), atol=1e-3)
    nodes = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert nodes.count("Conv") < 25


def test_raw_pixels_are_exported_too(tmp_path):
    model = make_pipeline(PixelTransformer(8), LogisticRegression(max_iter=1000)).fit(X, digits)
    given = outputs_of(model, tmp_path / "model.onnx")
    np.testing.assert_allclose(given["probabilities"], model.predict_proba(X[:10]), atol=1e-3)


def test_a_network_of_numbers_is_refused(tmp_path):
    rows = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    y = np.where(np.arange(40) < 20, np.arange(40) % 2, -1)
    model = DANNClassifier(None, max_epochs=1, random_state=0).fit(rows, y)
    with pytest.raises(ExportError, match="backbone=None and takes numbers"):
        export_onnx(model, tmp_path / "model.onnx")


def test_skl2onnx_itself_converts_a_pipeline_of_images_once_it_knows_how(classifier_of_features):
    skl2onnx = pytest.importorskip("skl2onnx", reason="the extra onnx is not installed")
    from skl2onnx.common.data_types import UInt8TensorType

    register_converter()
    model, images = classifier_of_features, ("images", UInt8TensorType([None, None, None, 3]))
    options = {id(model[-1]): {"zipmap": False}}
    graph = skl2onnx.to_onnx(model, initial_types=[images], target_opset=18, options=options)
    session = runtime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    given = session.run(None, {"images": np.repeat(X[:10, ..., None], 3, axis=3)})
    assert given[0].tolist() == model.predict(X[:10]).tolist()
    np.testing.assert_allclose(given[1], model.predict_proba(X[:10]), atol=1e-3)


@pytest.fixture
def classifier_of_features():
    features = DeepFeatureTransformer("tiny", precision="float32")
    return make_pipeline(features, StandardScaler(), LogisticRegression()).fit(X, digits % 3)
