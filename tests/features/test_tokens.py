"""Class tokens of transformers: pooled as their own probes do, stored, and trained on."""

from copy import deepcopy
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from sktransfer import DeepFeatureTransformer, FineTuneClassifier
from sktransfer.backbones import get_backbone, list_backbones, load_backbone, timm_models
from sktransfer.backbones.tracing import trace
from sktransfer.exceptions import ImageWarning, UnknownPoolingError, WeightsNotFoundError
from sktransfer.features.maps import pixels_seen
from sktransfer.features.states import as_state
from sktransfer.features.taps import run_tapped
from sktransfer.images import as_image_sequence
from sktransfer.saliency import saliency_maps

timm = pytest.importorskip("timm")

X = np.random.default_rng(0).integers(0, 256, (6, 70, 80, 3), dtype=np.uint8)
TUNING = {"random_state": 0, "precision": "float32"}
OPTIONS = {"weights": "random", **TUNING}


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("vit_tiny_patch16_224", None),
        ("vit_tiny_patch16_224", 96),  # position embeddings are resampled
        ("vit_small_patch14_reg4_dinov2", 112),  # built for 518, with registers
        ("vit_small_patch16_dinov3", 64),
    ],
)
def test_token_is_what_timms_own_head_reads(name, size):
    features = DeepFeatureTransformer(
        f"timm:{name}", pooling="token", image_size=size, cache=None, **OPTIONS
    ).fit(X)
    reference = deepcopy(load_backbone(f"timm:{name}", "random", random_state=0).module)
    reference.reset_classifier(0, "token")
    pixels = pixels_seen(as_image_sequence(X), features.plan_.preprocessing)
    with torch.no_grad():
        batch = features.plan_.preprocessing.normalize(torch.from_numpy(pixels))
        expected = reference.forward_head(reference.forward_features(batch), pre_logits=True)
    np.testing.assert_allclose(features.transform(X), expected.numpy(), atol=1e-5)
    assert features.get_feature_names_out()[0].endswith("_token_0")


def test_token_average_and_maximum_come_from_one_pass(batches_run):
    network = {"backbone": "timm:vit_tiny_patch16_224", "image_size": 64, **OPTIONS}
    both = DeepFeatureTransformer(pooling="tokenavg", **network).fit_transform(X)
    n_run = len(batches_run)
    token, average, _ = (
        DeepFeatureTransformer(pooling=how, **network).fit_transform(X)
        for how in ("token", "avg", "max")
    )
    assert len(batches_run) == n_run
    np.testing.assert_array_equal(both, np.hstack([token, average]))


def test_a_network_without_a_token_names_the_poolings_that_it_has():
    with pytest.raises(UnknownPoolingError, match="tiny has no class token"):
        DeepFeatureTransformer("tiny", pooling="token").fit(X)
    with pytest.raises(UnknownPoolingError, match="tiny has no class token"):
        FineTuneClassifier("tiny", pooling="tokenavg").fit(X, [0, 1] * 3)


def test_a_size_between_patches_is_rounded_with_a_warning():
    features = DeepFeatureTransformer("timm:vit_tiny_patch16_224", image_size=70, **OPTIONS)
    with pytest.warns(ImageWarning, match="image_size=70 is no multiple of the 16 pixels"):
        features.fit(X)
    assert features.plan_.preprocessing.crop == 64


def _small(name, **options):
    size = {"img_size": 64, "embed_dim": 48, "depth": 3, "num_heads": 3}
    return partial(timm.create_model, name, **size, **options)


TRANSFORMERS = {
    "plain": _small("vit_tiny_patch16_224", dynamic_img_size=True),
    "rotary": _small("vit_small_patch16_dinov3"),  # positions are given to each block
    "mixed": _small("vit_small_patch16_rope_mixed_224"),  # each block has positions of its own
    "relative": _small("beit_base_patch16_224"),  # learned, and computed in each pass
}


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [(kind, "token") for kind in TRANSFORMERS] + [("plain", "tokenavg"), ("rotary", "avg")],
)
def test_frozen_stages_of_a_transformer_run_once_and_change_nothing(kind, pooling):
    tuned = FineTuneClassifier(
        TRANSFORMERS[kind], image_size=64, pooling=pooling, max_epochs=2, lr=0.01, **TUNING
    ).fit(X, [0, 1] * 3)
    assert tuned.trunk_ == "maps"
    network, states = tuned.net_.module_.eval(), []
    images = network.preprocessing.normalize(
        torch.from_numpy(pixels_seen(as_image_sequence(X), network.preprocessing))
    )
    with torch.no_grad():
        frozen = network.spec.stages[network.resumes_at - 1].modules[-1]
        run_tapped(network.backbone, images, {frozen: states.append})
        resumed = network.map_of_map(as_state(states[0], network.spec))
        torch.testing.assert_close(resumed, network.map_of_images(images), atol=1e-5, rtol=0)
    (layer, cells), *_ = saliency_maps(tuned, X).layer_maps.items()
    assert layer == network.spec.layer_names[-2 if pooling == "token" else -1]
    assert cells.shape == (6, 4, 4)
    assert cells.max() > 0


def test_positions_that_depend_on_the_image_are_not_taken_for_those_of_all_images():
    class Brightness(nn.Module):
        def forward(self, x, light):
            return x * light

    class Lit(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.lamp = nn.Conv2d(3, 8, 8, 8), Brightness()

        def forward(self, x, seen=None):
            return self.lamp(self.stem(x), x.mean() if seen is None else seen)

    network = Lit()
    assert [run.chained for run in trace(network, ["stem", "lamp"], 32)] == [True, False]
    network.forward = partial(network.forward, seen=torch.ones(1))
    assert [run.side_inputs for run in trace(network, ["stem", "lamp"], 32)] == [(), ((1,),)]


def test_grad_cam_of_a_token_needs_a_last_stage_that_runs_alone():
    spec = replace(get_backbone(TRANSFORMERS["plain"]), resumable=False)
    tuned = FineTuneClassifier(spec, pooling="token", max_epochs=1, **TUNING).fit(X, [0, 1] * 3)
    with pytest.raises(ValueError, match="reads no cell of the last map, and the last stage"):
        saliency_maps(tuned, X)


def test_windows_take_images_of_another_size():
    name = "timm:swin_tiny_patch4_window7_224"
    small = DeepFeatureTransformer(name, image_size=96, cache=None, **OPTIONS).fit_transform(X[:2])
    assert small.shape == (2, 768)
    assert np.isfinite(small).all()


def test_weights_that_need_a_login_name_page_variable_and_an_open_network(monkeypatch):
    class GatedError(OSError):
        response = SimpleNamespace(status_code=401)

    def create_model(*_, **__):
        raise GatedError

    timm_models._sizes("vit_base_patch16_224")  # before there is nothing to build
    monkeypatch.setattr(timm, "create_model", create_model)
    monkeypatch.setattr(timm_models, "reachable", lambda _: True)
    with pytest.raises(WeightsNotFoundError) as caught:
        timm_models._create("vit_base_patch16_224", True, "owner/name")
    for words in ("https://huggingface.co/owner/name", "HF_TOKEN", "timm:vit_base_patch14_dinov2"):
        assert words in str(caught.value)


def test_details_tell_what_to_choose_by():
    table = list_backbones("vit_b_16", details=True)
    row = table.iloc[0]
    assert (row["family"], row["input_size"], row["width"]) == ("vit", 224, 768)
    assert row["class_token"]
    assert row["parameters"] == 86_567_656
    assert row["download_mb"] == pytest.approx(346, abs=1)
    assert row["top1"] == pytest.approx(81.072)
    assert "BSD" in row["licence"]
    licence = list_backbones("timm:vit_tiny_patch16_22*", details=True)["licence"]
    assert licence.tolist() == ["apache-2.0"]
