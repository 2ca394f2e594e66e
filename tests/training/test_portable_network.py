"""A trained network that travels: its pickle is plain bytes, from which the same network is built."""

import pickle
import pickletools

import numpy as np
import pytest
import torch
from torch import nn

from sktransfer import FineTuneClassifier
from sktransfer.exceptions import WeightsError, WeightsMismatchError


@pytest.fixture(scope="module")
def trained(digits):
    model = FineTuneClassifier("tiny", strategy="partial", max_epochs=1, random_state=0)
    return model.fit(digits.X[:40], digits.y[:40] % 2)._trained


def _again(trained):
    return pickle.loads(pickle.dumps(trained))


def _images():
    return torch.linspace(-1, 1, 2 * 3 * 64 * 64).reshape(2, 3, 64, 64)


def test_a_pickle_holds_no_tensor_and_no_code(trained):
    names = [str(arg) for _, arg, _ in pickletools.genops(pickle.dumps(trained)) if arg is not None]
    assert not [name for name in names if name.startswith(("torch", "builtins getattr"))]


def test_the_network_that_is_built_again_computes_the_same(trained):
    again = _again(trained)
    assert again.network is not trained.network
    state, other = trained.network.state_dict(), again.network.state_dict()
    assert state.keys() == other.keys()
    head = trained.network.spec.is_head
    assert all(
        torch.equal(state[key], other[key])
        for key in state
        if not head(key.removeprefix("backbone.")) or not key.startswith("backbone.")
    )
    features = np.ones((2, trained.widths[0]), np.float32)
    np.testing.assert_array_equal(again.scores(features), trained.scores(features))
    assert again.loaded.digest == trained.loaded.digest


def test_a_pickle_of_a_pickle_is_the_same_without_building_anything(trained):
    again = _again(trained)
    assert again._network is None
    assert pickle.dumps(_again(again)) == pickle.dumps(again)
    assert again._network is None


def test_a_copy_can_be_trained_and_the_first_stays(trained):
    features = np.ones((2, trained.widths[0]), np.float32)
    before = trained.scores(features)
    other = trained.copy()
    with torch.no_grad():
        for parameter in other.network.head.parameters():
            parameter.add_(1)
    other.changed(backbone=False)
    assert not np.array_equal(other.scores(features), before)
    np.testing.assert_array_equal(trained.scores(features), before)


def test_features_follow_a_backbone_that_was_changed(trained):
    other = trained.copy()
    digest = other.loaded.digest
    with torch.no_grad():
        other.network.backbone.layer4[0].conv1.weight.add_(1)
    other.changed(backbone=True)
    assert other.loaded.digest != digest
    assert trained.loaded.digest == digest


def test_scores_of_a_row_do_not_depend_on_those_beside_it(trained):
    features = np.random.default_rng(0).normal(size=(9, trained.widths[0])).astype(np.float32)
    alone = np.concatenate([trained.scores(row[None]) for row in features])
    np.testing.assert_allclose(trained.scores(features), alone, rtol=1e-12, atol=1e-12)


def test_a_damaged_pickle_is_refused_in_words(trained):
    again = _again(trained)
    again._data = again._data[: len(again._data) // 2]
    with pytest.raises(WeightsError, match=r"this pickle of tiny carries are damaged.*Fit again"):
        _ = again.network


def test_weights_of_another_network_are_refused_in_words(trained):
    again = _again(trained)
    again._backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3))
    with pytest.raises(WeightsMismatchError, match="do not fit Sequential as it is now"):
        _ = again.network


def test_saved_weights_are_the_backbones_without_its_classifier(trained, tmp_path):
    from safetensors.torch import load_file

    trained.save_weights(tmp_path / "w.safetensors")
    saved = load_file(tmp_path / "w.safetensors")
    backbone = trained.network.backbone.state_dict()
    assert set(saved) == {key for key in backbone if not trained.network.spec.is_head(key)}
    assert all(torch.equal(saved[key], backbone[key]) for key in saved)
