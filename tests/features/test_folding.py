import pytest
import torch
from torch import nn

from sktransfer.features.folding import fold_batchnorms


def _net(*layers):
    torch.manual_seed(0)
    network = nn.Sequential(*layers)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.1, 3)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return network.eval().requires_grad_(False)


IMAGE = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def _run(network):
    with torch.no_grad():
        return [network(IMAGE)]


def _n_norms(network):
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_a_folded_network_computes_the_same_without_norms(groups, bias):
    network = _net(
        nn.Conv2d(3, 6, 3, groups=groups, bias=bias),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 4, 1),
        nn.BatchNorm2d(4),
    )
    before = {key: value.clone() for key, value in network.state_dict().items()}
    folded = fold_batchnorms(network, _run)
    assert _n_norms(folded) == 0
    torch.testing.assert_close(_run(folded), _run(network), rtol=1e-4, atol=1e-5)
    for key, value in network.state_dict().items():  # the original is untouched
        assert torch.equal(value, before[key])


def test_norms_that_follow_no_convolution_stay():
    folded = fold_batchnorms(
        _net(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)), _run
    )
    assert _n_norms(folded) == 2


def test_a_tapped_convolution_stays_what_it_is():
    network = _net(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    assert _n_norms(fold_batchnorms(network, _run, keep=["0"])) == 1


class Shares(nn.Module):
    """Uses the output of the convolution beside the norm, which hooks cannot see."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x):
        y = self.conv(x)
        return y + self.norm(y)


class Twice(nn.Module):
    """Runs one convolution under two norms."""

    def __init__(self):
        super().__init__()
        self.conv, self.a, self.b = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, x):
        return self.a(self.conv(x)) + self.b(self.conv(x + 1))


@pytest.mark.parametrize("network", [Shares, Twice])
def test_a_network_that_cannot_be_folded_is_left_as_it_is(network):
    original = _net(network())
    folded = fold_batchnorms(original, _run)
    assert _n_norms(folded) == _n_norms(original)
    torch.testing.assert_close(_run(folded), _run(original))


def test_no_hook_is_left_behind():
    network = _net(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    fold_batchnorms(network, _run)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
