import gc
import weakref

import pytest
import torch
from torch import nn

from sktransfer.backbones import architecture, load_backbone
from sktransfer.backbones.architecture import architecture_of
from sktransfer.identity import snapshot_of


@pytest.fixture
def network(empty_caches):
    return load_backbone("tiny", "random", random_state=0).module


@pytest.fixture
def n_read(monkeypatch):
    """The number of times that a network was read as a whole."""
    calls, read = [], architecture.identity_of
    monkeypatch.setattr(
        architecture,
        "identity_of",
        lambda *args, **kwargs: calls.append(1) or read(*args, **kwargs),
    )
    return lambda: len(calls)


def test_a_network_that_is_what_it_was_is_not_read_again(network, n_read):
    assert len({architecture_of(network) for _ in range(3)}) == 1
    assert n_read() == 1


def _stride(network, monkeypatch):
    network.stem[0].stride = (1, 1)


def _module(network, monkeypatch):
    network.stem[2] = nn.Tanh()


def _values(network, monkeypatch):
    with torch.no_grad():
        network.stem[0].weight.mul_(2)


def _storage(network, monkeypatch):
    network.stem[0].weight.data = network.stem[0].weight.data * 2


def _hook(network, monkeypatch):
    network.stem.register_forward_hook(lambda *_: None)


def _class(network, monkeypatch):
    monkeypatch.setattr(nn.Conv2d, "forward", lambda self, x: x)


@pytest.mark.parametrize("change", [_stride, _module, _values, _storage, _hook, _class])
def test_every_change_is_seen(network, change, n_read, monkeypatch):
    before = architecture_of(network)
    change(network, monkeypatch)
    assert architecture_of(network) != before
    assert n_read() == 2


def test_a_network_with_code_or_containers_of_its_own_is_read_each_time(n_read):
    class Own(nn.Module):
        def forward(self, x):
            return x

    listed = nn.Sequential(nn.ReLU())
    listed.numbers = [1, 2]
    for network in (Own(), listed):
        assert snapshot_of(network, checks=True) is None
        architecture_of(network), architecture_of(network)
    assert n_read() == 4
    before = architecture_of(listed)
    listed.numbers[0] = 3
    assert architecture_of(listed) != before


def test_a_network_that_nobody_needs_goes(empty_caches):
    network = load_backbone("tiny", "random", random_state=0).module
    architecture_of(network)
    gone = weakref.ref(network)
    del network
    empty_caches()
    gc.collect()
    assert gone() is None
