import copy

import pytest
import torch
from torch import nn

from sktransfer.backbones import load_backbone
from sktransfer.training.freezing import (
    first_trained_stage,
    has_training_batchnorm,
    parameter_groups,
    trained_parameters,
)
from sktransfer.training.network import TransferNetwork

TINY = load_backbone("tiny")
MOBILE = load_backbone("mobilenet_v2", "random", random_state=0)


def _network(loaded, first, freeze_batchnorm=True):
    return TransferNetwork(
        copy.deepcopy(loaded.module),
        loaded.spec,
        loaded.preprocessing.with_size(32),
        "avg",
        nn.Linear(loaded.spec.widths[-1], 2),
        loaded.spec.widths[-1],
        first,
        freeze_batchnorm,
    )


def _step(network):
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    pixels = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    network(pixels).square().sum().backward()
    optimizer.step()
    return {name for name, value in network.state_dict().items() if not before[name].equal(value)}


@pytest.mark.parametrize(
    ("strategy", "n_trainable", "first"),
    [("scratch", 1, 0), ("full", 1, 0), ("frozen", 1, 5), ("partial", 1, 4), ("partial", 5, 0)],
)
def test_a_strategy_says_which_stages_train(strategy, n_trainable, first):
    assert first_trained_stage(strategy, n_trainable, TINY.spec) == first


def test_an_impossible_number_of_stages_is_refused_with_the_stages_there_are():
    with pytest.raises(
        ValueError, match=r"n_trainable=6 is more than the 5 stages of tiny.*layer4"
    ):
        first_trained_stage("partial", 6, TINY.spec)
    with pytest.raises(ValueError, match="n_trainable=0 must be at least 1"):
        first_trained_stage("partial", 0, TINY.spec)
    with pytest.raises(ValueError, match=r"strategy='freeze' is not possible. Choose one of"):
        first_trained_stage("freeze", 1, TINY.spec)


def test_a_step_changes_trained_stages_and_the_head_and_nothing_else():
    changed = _step(_network(TINY, first=4))
    assert any(name.startswith("backbone.layer4.") for name in changed)
    assert "head.weight" in changed
    assert not [n for n in changed if not n.startswith(("backbone.layer4.", "head."))]


def test_a_frozen_network_changes_in_its_head_only():
    assert _step(_network(TINY, first=5)) == {"head.weight", "head.bias"}


@pytest.mark.parametrize("freeze_batchnorm", [True, False])
def test_batchnorm_of_trained_stages_keeps_its_statistics_if_asked(freeze_batchnorm):
    network = _network(TINY, 4, freeze_batchnorm)
    changed = _step(network)
    assert any("running_mean" in name for name in changed) is not freeze_batchnorm
    assert has_training_batchnorm(network) is not freeze_batchnorm
    assert any(name.endswith("bn1.weight") for name in changed)  # scale and shift train anyway


def test_dropout_acts_in_trained_stages_only():
    network = _network(TINY, 4)
    network.backbone.layer3.append(nn.Dropout(0.5))
    network.backbone.layer4.append(nn.Dropout(0.5))
    network.set_trained(4)
    network.train()
    assert network.backbone.layer4[-1].training
    assert not network.backbone.layer3[-1].training
    network.eval()
    assert not network.backbone.layer4[-1].training


def test_the_classifier_of_the_backbone_never_trains():
    names = [name for name, _, _ in trained_parameters(MOBILE.module, MOBILE.spec, 0)]
    assert names
    assert not [name for name in names if name.startswith("classifier")]


def test_rates_fall_from_stage_to_stage_and_norms_have_no_decay():
    groups = parameter_groups(
        TINY.module, TINY.spec, 0, nn.Linear(256, 2),
        lr=1.0, backbone_lr=0.1, weight_decay=0.5, layer_decay=0.5,
    )  # fmt: skip
    rates = {round(g["lr"], 6) for g in groups if g["part"] == "backbone"}
    assert rates == {0.1, 0.05, 0.025, 0.0125, 0.00625}
    assert {g["lr"] for g in groups if g["part"] == "head"} == {1.0}
    for group in groups:
        assert {p.dim() > 1 for p in group["params"]} == {group["weight_decay"] > 0}
