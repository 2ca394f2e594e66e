from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision

from sktransfer import FineTuneClassifier
from sktransfer.backbones import get_backbone, load_backbone
from sktransfer.features.states import as_map
from sktransfer.preprocessing import Preprocessing
from sktransfer.training.network import _from_map, can_resume


@pytest.mark.parametrize(
    ("layout", "shape"),
    [("nchw", (2, 5, 3, 4)), ("nhwc", (2, 3, 4, 5)), ("tokens", (2, 12, 5))],
)
def test_a_stored_map_gets_back_the_axes_of_its_stage(layout, shape):
    spec = replace(get_backbone("tiny"), layout=layout)
    output = torch.randn(shape)
    assert _from_map(as_map(output, spec), spec).equal(output)


def test_a_network_that_cannot_go_on_from_a_map_runs_from_the_pixels(digits):
    spec = replace(get_backbone("tiny"), name="tiny that adds something", resumable=False)
    model = FineTuneClassifier(
        spec, image_size=32, max_epochs=3, precision="float32", random_state=0
    ).fit(digits.X[:12], digits.y[:12] % 2)
    assert model.trunk_ == "pixels"
    assert "cannot go on from a stored map" in model.trunk_reason_
    pretrained = load_backbone(spec).module
    tuned = model.net_.module_.backbone
    assert tuned.layer3[0].conv1.weight.equal(pretrained.layer3[0].conv1.weight)
    assert not tuned.layer4[0].conv1.weight.equal(pretrained.layer4[0].conv1.weight)


def test_tokens_that_stand_for_no_place_are_stored_with_the_others():
    assert can_resume(get_backbone("resnet18"))
    assert can_resume(get_backbone("vit_b_16"))
    assert not can_resume(replace(get_backbone("vit_b_16"), resumable=False))


def test_a_vision_transformer_trains_its_last_stage(digits):
    small = torchvision.models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=4, num_heads=2, hidden_dim=16, mlp_dim=32
    )
    small.preprocessing = Preprocessing(32, 32, mean=(0.5,) * 3, std=(0.25,) * 3)
    model = FineTuneClassifier(
        small, max_epochs=2, lr=1e-2, precision="float32", random_state=0
    ).fit(digits.X[:20], digits.y[:20] % 2)
    before, after = small.state_dict(), model.net_.module_.backbone.state_dict()
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed
    assert all("encoder_layer_3" in name or "encoder.ln" in name for name in changed)
    assert np.isfinite(model.predict_proba(digits.X[:4])).all()
