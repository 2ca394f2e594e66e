import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import resnet18
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.models.vision_transformer import VisionTransformer

from sktransfer import DeepFeatureTransformer
from sktransfer.backbones import get_backbone, load_backbone
from sktransfer.exceptions import UnknownBackboneError

X = np.random.default_rng(0).integers(0, 255, (2, 32, 32, 3), dtype=np.uint8)


def _features(network, image_size=32):
    return DeepFeatureTransformer(
        network, image_size=image_size, cache=None, precision="float32"
    ).fit_transform(X)


def _pixels(network, size=32):
    return load_backbone(network).preprocessing.with_size(size).normalize(torch.from_numpy(X))


class _ByParts(nn.Module):
    """Calls the parts of its child, never the child, and applies a function to the last map."""

    def __init__(self, function=None):
        super().__init__()
        self.function = function
        self.stem, self.body = nn.Conv2d(3, 4, 3, 2), nn.Module()
        self.body.one, self.body.two = nn.Conv2d(4, 6, 3, 2), nn.Conv2d(6, 8, 3, 2)
        self.fc = nn.Linear(8, 2)

    def maps(self, x):
        x = self.body.two(self.body.one(self.stem(x)))
        return x if self.function is None else self.function(x)

    def forward(self, x):
        return self.fc(self.maps(x).mean((2, 3)))


@pytest.mark.parametrize("function", [None, torch.relu, nn.functional.gelu])
def test_a_network_that_calls_its_childs_parts_ends_at_its_last_map(function):
    torch.manual_seed(0)
    network = _ByParts(function).eval()
    with torch.no_grad():
        expected = network.maps(_pixels(network)).mean((2, 3))
    np.testing.assert_allclose(_features(network), expected, rtol=1e-4, atol=1e-5)


def test_a_network_traced_by_torch_fx_ends_at_its_last_map():
    torch.manual_seed(0)
    network = resnet18(num_classes=2).eval()
    expected = _features(network)
    for traced in (
        torch.fx.symbolic_trace(network),
        create_feature_extractor(network, ["layer4"]),
    ):
        np.testing.assert_allclose(_features(traced), expected, rtol=1e-3, atol=1e-4)


def test_wrappers_are_taken_off():
    torch.manual_seed(0)
    network = _ByParts().eval()
    for wrapped in (nn.DataParallel(network), torch.compile(network)):
        np.testing.assert_array_equal(_features(wrapped), _features(network))


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_torchscript_is_refused_in_words():
    scripted = torch.jit.trace(_ByParts().eval(), torch.zeros(1, 3, 32, 32))
    with pytest.raises(UnknownBackboneError, match=r"is a network of TorchScript.*Pass the nn\.M"):
        _features(scripted)
    inside = nn.Sequential(scripted, nn.ReLU())
    with pytest.raises(UnknownBackboneError, match="is a network of TorchScript"):
        _features(inside)


def test_what_torch_export_makes_is_refused_in_words():
    exported = torch.export.export(_ByParts().eval(), (torch.zeros(1, 3, 32, 32),))
    with pytest.raises(TypeError, match=r"ExportedProgram of torch\.export.*Pass the nn\.Module"):
        get_backbone(exported)
    with pytest.raises(UnknownBackboneError, match=r"was made by torch\.export"):
        get_backbone(exported.module())


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.SyncBatchNorm])
def test_a_batch_norm_without_statistics_is_refused(norm):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), norm(4, track_running_stats=False), nn.ReLU())
    with pytest.raises(UnknownBackboneError, match=r"BatchNorm.* '1' keeps no statistics"):
        _features(network)


class _OfTheBatch(nn.Sequential):
    def forward(self, x):
        x = super().forward(x)
        return (x - x.mean(0)) / (x.std(0, unbiased=False) + 1e-3)


def test_features_that_depend_on_the_batch_by_a_function_are_refused():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2), _OfTheBatch(nn.Conv2d(4, 8, 3, 2)))
    with pytest.raises(UnknownBackboneError, match="change with the other images of its batch"):
        _features(network)


def test_parameters_without_values_are_refused():
    with pytest.raises(UnknownBackboneError, match=r"has no values for '0\.weight'"):
        get_backbone(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).to("meta"))


def test_branches_side_by_side_are_refused():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 3, 2), nn.Conv2d(3, 6, 3, 2)

        def forward(self, x):
            return torch.cat([self.a(x).mean((2, 3)), self.b(x).mean((2, 3))], 1)

    with pytest.raises(UnknownBackboneError, match="branches side by side"):
        get_backbone(Branches())


def test_a_transformer_of_its_own_size_and_two_blocks_runs_at_its_size_only():
    network = VisionTransformer(32, 16, num_layers=2, num_heads=1, hidden_dim=8, mlp_dim=8).eval()
    assert get_backbone(network).preprocessing.crop == 32
    assert _features(network, None).shape == (2, 8)
    with pytest.raises(UnknownBackboneError, match=r"image_size=64: .*It takes image_size=32"):
        _features(network, 64)


def test_a_network_of_one_channel_is_refused():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3))
    with pytest.raises(UnknownBackboneError, match=r"takes 1 channel\(s\), and images have 3"):
        get_backbone(network)


def test_describing_a_network_does_not_touch_modules_of_other_threads():
    done, call = threading.Event(), nn.Module.__call__
    own = nn.Sequential(nn.Linear(2, 2), nn.ReLU())

    def somebody():
        while not done.is_set():
            own(torch.ones(1, 2))

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(somebody)
        try:
            for _ in range(3):
                _features(_ByParts().eval())
        finally:
            done.set()
        assert running.exception() is None
    assert nn.Module.__call__ is call
