from typing import ClassVar

import pytest
import torch
from torch import nn
from torchvision.ops import SqueezeExcitation, StochasticDepth

from sktransfer import DeepFeatureTransformer
from sktransfer.backbones import get_backbone, load_backbone
from sktransfer.features.fusion import FusedConv, fused_graph
from sktransfer.features.plan import Slot
from sktransfer.features.taps import Tapped, standard_slots

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs oneDNN")


class Residual(nn.Module):
    """Two branches that are convolutions both, as in the first block of a ResNet's stage."""

    def __init__(self, inplace):
        super().__init__()
        self.a, self.b, self.c = (
            nn.Conv2d(4, 6, 3, padding=1),
            nn.Conv2d(6, 6, 3, padding=1, groups=3),
            nn.Conv2d(4, 6, 1),
        )
        self.relu, self.inplace = nn.ReLU(inplace=inplace), inplace

    def forward(self, x):
        shortcut = self.c(x)
        y = self.b(self.relu(self.a(x)))
        if self.inplace:
            y += shortcut
        else:
            y = y + shortcut
        return self.relu(y)


class TwoReaders(nn.Module):
    """The output of the convolution is read twice, so nothing may be fused into it."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        y = self.a(x)
        return torch.relu(y) + y


def _network(*parts):
    torch.manual_seed(0)
    return (
        nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), *parts).eval().requires_grad_(False)
    )


PARTS = [
    [nn.ReLU()],
    [nn.ReLU6(inplace=True)],
    [nn.Hardswish()],
    [nn.SiLU(inplace=True)],
    [nn.Sigmoid()],
    [nn.GELU()],
    [nn.ReLU(), Residual(True)],
    [nn.ReLU(), Residual(False)],
    [TwoReaders()],
    [nn.Dropout(), nn.Identity(), nn.ReLU()],
    [SqueezeExcitation(4, 2)],
    [nn.Conv2d(4, 4, 3, padding="same")],
    [nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")],
]


@pytest.mark.parametrize("parts", PARTS)
def test_a_fused_graph_computes_the_same(parts):
    network = _network(
        *parts, nn.Conv2d(6 if any(isinstance(p, Residual) for p in parts) else 4, 5, 1)
    )
    spec = get_backbone(network)
    slots = standard_slots(spec)
    batch = torch.randn(2, 3, 16, 16)
    fused = fused_graph(network, slots, spec)
    for given, expected in zip(fused(batch), Tapped(network, slots, spec)(batch), strict=True):
        torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)


def test_activations_and_sums_are_gone_from_the_graph():
    network = _network(nn.ReLU(), Residual(True))
    spec = get_backbone(network)
    fused = fused_graph(network, standard_slots(spec), spec)
    assert sum(isinstance(part, FusedConv) for part in fused.modules()) == 4
    assert not any(isinstance(part, nn.ReLU) for part in fused.modules())
    assert not [node for node in fused.graph.nodes if node.op == "call_function"]


def test_an_activation_behind_what_only_training_needs_is_fused():
    network = _network(StochasticDepth(0.5, "row"), nn.Dropout(), nn.ReLU(), nn.Conv2d(4, 5, 1))
    spec = get_backbone(network)
    fused = fused_graph(network, standard_slots(spec), spec)
    assert not any(isinstance(part, StochasticDepth | nn.Dropout) for part in fused.modules())
    assert not any(isinstance(part, nn.ReLU) for part in fused.modules())


def test_the_graph_ends_at_the_deepest_tap():
    loaded = load_backbone("resnet18", "random", random_state=0)
    fused = fused_graph(loaded.module, [Slot("layer2", "avg", "layer2", 128)], loaded.spec)
    assert not [name for name, _ in fused.named_modules() if "layer3" in name or name == "fc"]
    assert fused(torch.zeros(1, 3, 64, 64))[0].shape == (1, 128)


class _Branches(nn.Module):
    """Looks at values, which a tracer cannot follow."""

    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_a_network_that_cannot_be_traced_runs_as_it_is(digits):
    features = DeepFeatureTransformer(
        nn.Sequential(nn.Conv2d(3, 4, 1), _Branches()), image_size=16, cache=None
    )
    assert features.fit_transform(digits.X[:3]).shape == (3, 4)


class _Witness(nn.Module):
    """Notes whether the class of all modules is as it was."""

    seen: ClassVar[list[bool]] = []
    before: ClassVar[tuple[object, ...]] = (nn.Module.__call__, nn.Module.__getattr__)

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.full((1, 4, 1, 1), 2.0))

    def forward(self, x):
        self.seen.append((nn.Module.__call__, nn.Module.__getattr__) == self.before)
        return x * self.gain.expand(x.shape[0], -1, 1, 1)


def test_tracing_changes_nothing_that_other_threads_use():
    network = _network(_Witness(), nn.Conv2d(4, 5, 1))
    spec = get_backbone(network)
    slots = standard_slots(spec)
    _Witness.seen.clear()
    fused = fused_graph(network, slots, spec)
    assert _Witness.seen == [True]
    assert not any(isinstance(part, _Witness) for part in fused.modules())  # it was traced
    assert "forward" not in vars(network[0])
    batch = torch.randn(3, 3, 8, 8)
    expected = network(batch).mean((2, 3))
    torch.testing.assert_close(
        fused(batch)[slots.index(Slot("2", "avg", "2", 5))], expected, rtol=1e-4, atol=1e-5
    )
