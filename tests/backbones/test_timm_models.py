import numpy as np
import pytest
import torch

from sktransfer import DeepFeatureTransformer
from sktransfer.backbones import get_backbone, load_backbone

timm = pytest.importorskip("timm")


def _compare(name, pool, **options):
    torch.manual_seed(0)
    network = timm.create_model(name, **options).eval()
    loaded = load_backbone(network)
    size = loaded.preprocessing.crop
    X = np.random.default_rng(0).integers(0, 255, (1, size, size, 3), dtype=np.uint8)
    features = DeepFeatureTransformer(network, cache=None, precision="float32").fit_transform(X)
    with torch.no_grad():
        maps = network.forward_features(loaded.preprocessing.normalize(torch.from_numpy(X)))
    np.testing.assert_allclose(features, pool(maps), rtol=1e-3, atol=1e-4)


def test_nest_is_tapped_after_its_last_norm():
    _compare("nest_tiny", lambda maps: maps.mean((2, 3)))


def test_swin_has_constants_of_more_axes_and_channels_last():
    _compare("swin_tiny_patch4_window7_224", lambda maps: maps.mean((1, 2)), depths=(1, 1, 1, 1))


def test_a_network_for_maps_only_ends_at_its_last_map():
    torch.manual_seed(0)
    spec = get_backbone(timm.create_model("resnet10t", features_only=True).eval())
    assert spec.widths[-1] == 512


@pytest.mark.parametrize("name", ["crossvit_tiny_240", "coat_tiny"])
def test_of_branches_of_tokens_the_last_counts_without_its_class_token(name):
    _compare(name, lambda branches: branches[-1][:, 1:].mean(1))


def test_a_transformer_for_another_size_is_used_at_that():
    network = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=2).eval()
    assert get_backbone(network).preprocessing.crop == 64
