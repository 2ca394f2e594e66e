import re
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from sktransfer import DeepFeatureTransformer
from sktransfer.backbones import load_backbone
from sktransfer.exceptions import UnknownLayerError, UnknownPoolingError
from sktransfer.features.states import as_map
from sktransfer.features.taps import resolve_slots, run_tapped, standard_slots


@pytest.fixture(scope="module")
def resnet():
    return load_backbone("resnet18", "random", random_state=0)


def _slots(loaded, layers, pooling="avg", size=64):
    return [(s.layer, s.pooling, s.width) for s in resolve_slots(loaded, layers, pooling, size)]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (None, [("layer4", "avg", 512)]),
        (-2, [("layer3", "avg", 256)]),
        ("stem", [("stem", "avg", 64)]),
        ([-1, "layer1"], [("layer4", "avg", 512), ("layer1", "avg", 64)]),
        (("layer2",), [("layer2", "avg", 128)]),
        ("layer1.0.conv2", [("layer1.0.conv2", "avg", 64)]),
        ("avgpool", [("avgpool", "avg", 512)]),
    ],
)
def test_layers_are_found_by_name_number_and_path(resnet, layers, expected):
    assert _slots(resnet, layers) == expected


def test_poolings_are_one_for_all_or_one_for_each(resnet):
    assert _slots(resnet, [-2, -1], ["max", "avgmax"]) == [
        ("layer3", "max", 256),
        ("layer4", "avg", 512),
        ("layer4", "max", 512),
    ]
    assert _slots(resnet, [-2, -1], "gem") == [("layer3", "gem", 256), ("layer4", "gem", 512)]
    assert _slots(resnet, -1, "flatten", size=64) == [("layer4", "flatten", 512 * 2 * 2)]


def test_an_unknown_layer_is_told_with_what_there_is(resnet):
    message = (
        "layers=['layer3', 'layer5'] asks for 'layer5', which resnet18 does not have. Layers from "
        "input to output: stem, layer1, layer2, layer3, layer4. Nearest: 'layer4'."
    )
    with pytest.raises(UnknownLayerError, match=f"^{re.escape(message)}$"):
        resolve_slots(resnet, ["layer3", "layer5"], "avg", 64)


@pytest.mark.parametrize(
    ("layers", "problem"),
    [
        (-6, "Numbers count from the end, -5 to -1"),
        (0, "Numbers count from the end"),
        ("fc", "It is the classifier, whose output is no feature"),
        ("layer1.0.relu", "It runs 2 times in one pass; name a module that runs once"),
        ("", "Layers from input to output"),
    ],
)
def test_layers_that_cannot_be_tapped_say_why(resnet, layers, problem):
    with pytest.raises(UnknownLayerError, match=re.escape(problem)):
        resolve_slots(resnet, layers, "avg", 64)


@pytest.mark.parametrize(
    ("layers", "pooling", "error", "problem"),
    [
        ([], "avg", ValueError, "layers=[] is empty"),
        (-1, [], ValueError, "pooling=[] is empty"),
        (3.5, "avg", TypeError, "layers=3.5 is a float"),
        ([-1, 2.5], "avg", TypeError, "holds a float"),
        ([-1, -2], ["avg"], ValueError, "pooling=['avg'] has 1 entries for 2 layers"),
        ([-1, "layer4"], "avg", ValueError, "ask for 'avg' of 'layer4' 2 times"),
        (-1, "mean", UnknownPoolingError, "pooling='mean' is not a way of pooling"),
    ],
)
def test_wrong_lists_are_refused(resnet, layers, pooling, error, problem):
    with pytest.raises(error, match=re.escape(problem)):
        resolve_slots(resnet, layers, pooling, 64)


def test_the_network_stops_at_the_deepest_layer_asked_for(resnet):
    calls = []
    handles = [
        module.register_forward_hook(lambda *_, name=name: calls.append(name))
        for name, module in resnet.module.named_children()
    ]
    found = []
    run_tapped(
        resnet.module, torch.zeros(1, 3, 64, 64), {"layer2": found.append, "layer1": found.append}
    )
    for handle in handles:
        handle.remove()
    assert [tuple(output.shape) for output in found] == [(1, 64, 16, 16), (1, 128, 8, 8)]
    assert "layer3" not in calls
    assert "fc" not in calls


@pytest.mark.parametrize("problem", [None, RuntimeError("lost"), KeyboardInterrupt()])
def test_no_hook_is_left_behind_whatever_happens(resnet, problem):
    def tap(_):
        if problem is not None:
            raise problem

    expected = nullcontext() if problem is None else pytest.raises(type(problem))
    with expected:
        run_tapped(resnet.module, torch.zeros(1, 3, 64, 64), {"layer2": tap})
    assert not any(module._forward_hooks for module in resnet.module.modules())


def test_what_is_tapped_is_not_what_a_later_module_makes_of_it():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1))
    seen = []
    run_tapped(
        network,
        torch.randn(2, 3, 8, 8),
        {"0": lambda o: seen.append(o.min().item()), "2": lambda o: None},
    )
    assert seen[0] < 0


def test_tokens_and_channels_last_maps_are_turned():
    vit, swin = (
        load_backbone(name, "random", random_state=0).spec for name in ("vit_b_32", "swin_t")
    )
    tokens = torch.randn(2, 50, 8)
    assert as_map(tokens, vit).shape == (2, 8, 7, 7)
    torch.testing.assert_close(
        as_map(tokens, vit)[:, :, 0, 0], tokens[:, 1]
    )  # without the class token
    torch.testing.assert_close(as_map(tokens, vit)[:, :, 2, 3], tokens[:, 1 + 2 * 7 + 3])
    nhwc = torch.randn(2, 7, 5, 8)
    torch.testing.assert_close(as_map(nhwc, swin)[:, :, 3, 4], nhwc[:, 3, 4])


def test_a_pass_keeps_every_stage(resnet):
    slots = {(slot.layer, slot.pooling) for slot in standard_slots(resnet.spec)}
    assert slots >= {(stage, how) for stage in resnet.spec.layer_names for how in ("avg", "max")}
    assert ("layer4", "gem") in slots


def test_feature_names_say_layer_pooling_and_number():
    names = DeepFeatureTransformer("tiny", layers=["layer1", -1], pooling=["avgmax", "gem"])
    columns = names.get_feature_names_out().tolist()
    assert columns[:2] == ["layer1_avg_0", "layer1_avg_1"]
    assert columns[32] == "layer1_max_0"
    assert columns[-1] == "layer4_gem_255"
    assert len(columns) == len(set(columns)) == 32 + 32 + 256
