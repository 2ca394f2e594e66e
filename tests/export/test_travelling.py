"""Models whose weights came from a file, on a machine that has no such file or has it elsewhere."""

import joblib
import numpy as np
import pytest
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktransfer import (
    DeepFeatureTransformer,
    FineTuneClassifier,
    FineTuneSegmenter,
    PixelClassifier,
)
from sktransfer.backbones import load_backbone
from sktransfer.backbones.weights import clear_backbones
from sktransfer.cli import main, model_files
from sktransfer.datasets import load_digit_images, load_digit_masks
from sktransfer.exceptions import WeightsNotFoundError
from sktransfer.export.travelling import carrying_weights, named_weights

X, y = load_digit_images(return_X_y=True)
X, y = X[:40], y[:40] % 2


@pytest.fixture
def weights(tmp_path):
    file = tmp_path / "somewhere" / "mine.safetensors"
    file.parent.mkdir()
    state = load_backbone("tiny").module.state_dict()
    save_file({name: value * 1.01 for name, value in state.items()}, file)
    return file


def pipeline(weights):
    head = LogisticRegression(max_iter=1000)
    return make_pipeline(DeepFeatureTransformer("tiny", weights=weights, cache=None), head)


@pytest.mark.parametrize("kind", ["features", "trained", "skops"])
def test_a_saved_model_carries_the_weights_of_a_file_and_names_no_folder(kind, weights, tmp_path):
    if kind == "skops":
        pytest.importorskip("skops.io")
    if kind == "trained":
        model = FineTuneClassifier("tiny", weights=str(weights), strategy="frozen", max_epochs=1)
    else:
        model = pipeline(weights if kind == "features" else str(weights))
    expected = model.fit(X, y).predict(X)
    file = tmp_path / f"model.{'skops' if kind == 'skops' else 'joblib'}"
    assert model_files.save(model, file).endswith("MB with the weights")
    assert b"somewhere" not in file.read_bytes()
    assert "somewhere" in repr(model.get_params()), "the model itself stays as it is"
    weights.unlink()
    clear_backbones()
    assert model_files.load(file).predict(X).tolist() == expected.tolist()


def test_a_model_that_refers_to_a_file_finds_it_beside_itself_or_where_it_is_told(
    weights, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    model = pipeline(weights).fit(X, y)
    joblib.dump(model, "model.joblib")
    expected = model.predict(X)
    moved = weights.rename(tmp_path / "somewhere" / "other.safetensors")
    clear_backbones()
    with pytest.raises(WeightsNotFoundError, match=r"mine\.safetensors"):
        model_files.load(tmp_path / "model.joblib").predict(X)
    told = model_files.load(tmp_path / "model.joblib", weights=moved)
    assert told.predict(X).tolist() == expected.tolist()
    moved.rename(tmp_path / "mine.safetensors")
    beside = model_files.load(tmp_path / "model.joblib")
    assert beside.predict(X).tolist() == expected.tolist()
    save_file(dict(load_backbone("tiny").module.state_dict()), tmp_path / "wrong.safetensors")
    (tmp_path / "mine.safetensors").unlink()
    np.save(tmp_path / "image.npy", X[0])
    assert main(["predict", "model.joblib", "image.npy", "--weights", "nowhere", "--quiet"]) == 1
    assert "--weights 'nowhere': there is no such file." in capsys.readouterr().err
    wrong = model_files.load(tmp_path / "model.joblib", weights=tmp_path / "wrong.safetensors")
    with pytest.raises(ValueError, match="have changed since they were used: their digest is"):
        wrong.predict(X)


def test_segmenters_carry_the_weights_of_a_file_too(weights, tmp_path):
    pytest.importorskip("skops.io")
    data = load_digit_masks()
    images, masks = data.X[:4], data.y[:4]
    pixels = PixelClassifier(backbone="tiny", weights=weights, n_pixels=20, random_state=0)
    tuned = FineTuneSegmenter("tiny", weights=str(weights), strategy="frozen", max_epochs=1)
    found = {}
    for model in (pixels, tuned):
        found[type(model)] = model.fit(images, masks).predict(images[:1])
        said = model_files.save(model, tmp_path / f"{type(model).__name__}.skops")
        assert said.endswith("MB with the weights")
    weights.unlink()
    clear_backbones()
    for made, expected in found.items():
        file = tmp_path / f"{made.__name__}.skops"
        assert b"somewhere" not in file.read_bytes()
        np.testing.assert_array_equal(model_files.load(file).predict(images[:1]), expected)


def test_a_classifier_of_pixels_refuses_other_weights_than_those_of_its_fit(weights, tmp_path):
    data = load_digit_masks()
    model = PixelClassifier(backbone="tiny", weights=weights, n_pixels=20, random_state=0)
    joblib.dump(model.fit(data.X[:4], data.y[:4]), tmp_path / "model.joblib")
    save_file(dict(load_backbone("tiny").module.state_dict()), weights)
    with pytest.raises(ValueError, match="have changed since they were used: their digest is"):
        model_files.load(tmp_path / "model.joblib").predict(data.X[:1])


def test_published_weights_are_named_and_not_carried():
    model = make_pipeline(DeepFeatureTransformer("tiny", cache=None), LogisticRegression())
    assert carrying_weights(model) is model
    features = DeepFeatureTransformer("squeezenet1_1", weights="random", random_state=0, cache=None)
    assert named_weights(features.fit(X)) == []
