import os
import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from sktransfer import BackboneSpec, list_backbones, register_backbone
from sktransfer.backbones import get_backbone, load_backbone, small_networks
from sktransfer.backbones.architecture import architecture_of
from sktransfer.backbones.spec import WeightsSource
from sktransfer.exceptions import UnknownBackboneError

# One network of each family, with the widths of its stages from the papers' tables.
WIDTHS = {
    "resnet50": (64, 256, 512, 1024, 2048),
    "vgg16_bn": (64, 128, 256, 512, 512),
    "densenet121": (64, 256, 512, 1024, 1024),
    "mobilenet_v2": (16, 24, 32, 96, 1280),
    "efficientnet_b0": (16, 24, 40, 112, 1280),
    "convnext_tiny": (96, 96, 192, 384, 768),
    "swin_t": (96, 96, 192, 384, 768),
    "vit_b_16": (768, 768, 768, 768),
    "inception_v3": (64, 192, 288, 768, 2048),
    "tiny": (32, 32, 64, 128, 256),
}


@pytest.mark.parametrize("name", WIDTHS)
def test_stages_go_from_input_to_output_with_their_widths(name):
    spec = get_backbone(name)
    assert spec.widths == WIDTHS[name]
    assert len(spec.layer_names) == len(spec.widths)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        name
        for name in sorted(set(list_backbones()) - set(small_networks.NAMES))
        if not re.search(r"_h_14|_l_|7b|128gf|_x64|_x32|32gf", name)
    ],
)
def test_every_network_of_torchvision_can_be_described(name):
    spec = get_backbone(name)
    assert len(spec.widths) >= 4
    assert spec.preprocessing.crop >= 64
    assert not spec.is_head(spec.stages[-1].modules[-1] + ".weight")


def test_names_can_be_searched():
    assert list_backbones("resnet*")[0] == "resnet101"
    assert "tiny" in list_backbones()
    assert list_backbones("no such*") == []


def test_an_unknown_name_tells_the_nearest():
    with pytest.raises(
        UnknownBackboneError, match=r"backbone='resnet51' is not a network .*Nearest: 'resnet"
    ):
        get_backbone("resnet51")


def test_something_that_is_no_backbone_is_refused():
    with pytest.raises(TypeError, match=r"backbone=3 is of type int\. Pass a name"):
        get_backbone(3)


def test_a_registered_spec_is_known_by_its_name():
    spec = replace(get_backbone("tiny"), name="another tiny")
    register_backbone(spec)
    assert get_backbone("another tiny") is spec
    with pytest.raises(ValueError, match=r"spec.name='another tiny' is taken"):
        register_backbone(spec)
    register_backbone(spec, replace=True)
    with pytest.raises(TypeError, match="Pass a BackboneSpec"):
        register_backbone("tiny")


def _builder():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))  # fmt: skip


def test_stages_of_somebodys_network_end_before_the_next_convolution():
    spec = get_backbone(_builder())
    assert spec.layer_names == ("1", "4")
    assert spec.widths == (4, 8)
    assert isinstance(spec, BackboneSpec)


def test_a_builder_is_one_network():
    assert get_backbone(_builder) is get_backbone(_builder)
    first, again = load_backbone(_builder), load_backbone(_builder)
    assert first.digest == again.digest


def test_a_network_that_takes_no_images_is_refused():
    with pytest.raises(UnknownBackboneError, match="does not run on images of the shape"):
        get_backbone(nn.Sequential(nn.Linear(5, 2), nn.Linear(2, 2)))


def test_a_network_without_maps_is_refused():
    with pytest.raises(UnknownBackboneError, match="no child module that puts out a map"):
        get_backbone(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2)).to(torch.float32))


def test_a_network_of_timm_has_its_own_stages():
    pytest.importorskip("timm")
    spec = get_backbone("timm:resnet10t")
    assert len(spec.widths) >= 4
    assert spec.widths[-1] == 512
    assert spec.preprocessing.crop == 176


def test_timm_that_is_missing_is_told_with_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match=r"timm"):
        get_backbone("timm:resnet26")


class _Plus(nn.Module):
    def forward(self, x):
        return x + 1


class _Minus(nn.Module):
    def forward(self, x):
        return x - 1


def test_architectures_differ_by_settings_and_by_code():
    digests = {
        architecture_of(network)
        for network in (nn.MaxPool2d(2), nn.MaxPool2d(3), nn.AvgPool2d(2), _Plus(), _Minus())
    }
    assert len(digests) == 5
    assert architecture_of(_Plus()) == architecture_of(_Plus())


def test_a_builder_whose_closure_has_changed_is_another_network():
    width = 4

    def build():
        return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.Conv2d(width, 8, 3))

    before = load_backbone(build)
    assert load_backbone(build) is before
    width = 5
    assert load_backbone(build).spec.widths == (5, 8)


def test_a_builder_that_loads_a_file_is_asked_again(tmp_path):
    def build():
        network = _builder()
        network.load_state_dict(torch.load(tmp_path / "own.pth", weights_only=True))
        return network

    def save(value):
        state = {key: torch.full_like(t, value) for key, t in _builder().state_dict().items()}
        torch.save(state, tmp_path / "own.pth")

    save(1)
    before = load_backbone(build)
    assert load_backbone(build) is before
    save(2)
    assert load_backbone(build).digest != before.digest


def test_a_registered_spec_that_loads_a_file_is_asked_again(tmp_path):
    spec = replace(
        get_backbone(_builder),
        build=_builder,
        build_is_random=True,
        weights={
            "own": WeightsSource(load=lambda: torch.load(tmp_path / "own.pt", weights_only=False))
        },
    )
    torch.save(_builder(), tmp_path / "own.pt")
    before = load_backbone(spec)
    assert load_backbone(spec) is before
    torch.save(_builder(), tmp_path / "own.pt")
    assert load_backbone(spec).digest != before.digest


def test_a_network_that_reads_the_environment_is_never_the_same():
    class Reading(nn.Module):
        def forward(self, x):
            return x * float(os.environ.get("OWN_FACTOR", 1))

    network = Reading()
    assert architecture_of(network) != architecture_of(network)
