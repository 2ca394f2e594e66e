"""Linear layers with packed weights, and attention in two products: as exact as before, or not used."""

import numpy as np
import pytest
import timm
import torch
from torch import nn

from sktransfer import DeepFeatureTransformer, torch_internals
from sktransfer.features import engine
from sktransfer.features.attention import SplitAttention
from sktransfer.features.packed_linears import PackedLinear, replace_linears, watch_linears

pytestmark = pytest.mark.skipif(
    not torch_internals.has_onednn() or not torch_internals.has_fused_linears(),
    reason="needs oneDNN's linear layers",
)


class Perceptron(nn.Module):
    """Every kind of layer: two with an activation, one read twice, one called twice, one never."""

    def __init__(self):
        super().__init__()
        self.a, self.gelu = nn.Linear(6, 8), nn.GELU("tanh")
        self.b, self.silu = nn.Linear(8, 8), nn.SiLU()
        self.c, self.relu = nn.Linear(8, 8, bias=False), nn.ReLU()
        self.twice, self.never = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        x = self.silu(self.b(self.gelu(self.a(x))))
        read = self.c(x)
        return self.twice(self.twice(self.relu(read) + read))


def test_layers_that_are_called_are_packed_with_their_activations_and_compute_the_same():
    torch.manual_seed(0)
    network, batch = Perceptron().eval().requires_grad_(False), torch.randn(3, 5, 6)
    with watch_linears(network, keep=["b"]) as layers:
        expected = network(batch)
    assert layers == {"a": "gelu", "c": "relu", "twice": None}
    undo = replace_linears(network, layers)
    assert (network(batch) - expected).abs().max() > 0.01  # `c` is read before its activation
    undo()
    assert type(network.c) is nn.Linear
    replace_linears(network, {**layers, "c": None})
    for _ in range(2):
        torch.testing.assert_close(network(batch), expected, atol=1e-5, rtol=1e-5)
        for part in network.modules():
            if isinstance(part, PackedLinear):
                part.may_pack = True


class ReadsItsWeights(nn.Module):
    """Uses the weights of a layer beside calling it, which packed ones could not serve."""

    def __init__(self):
        super().__init__()
        self.stem, self.layer = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 8)

    def forward(self, x):
        x = self.stem(x).permute(0, 2, 3, 1)
        return (self.layer(x) @ self.layer.weight).permute(0, 3, 1, 2)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_transformer_runs_on_them_and_other_networks_as_they_are(precision, monkeypatch):
    X = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    torch.manual_seed(0)
    size = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
    vit = timm.create_model("vit_tiny_patch16_224", dynamic_img_size=True, **size)
    options = {"precision": precision, "cache": None}

    def run(network, **options_of_run):
        model = DeepFeatureTransformer(network, **options, **options_of_run).fit(X)
        network = model._engines(model._loaded, model.plan_.slots)[0].network
        return model.transform(X), [*network.modules()]

    given, parts = run(vit, pooling="tokenavg")
    assert sum(isinstance(part, PackedLinear) for part in parts) == 8
    assert isinstance(parts[0], SplitAttention) == (precision == "bfloat16")
    other, parts = run(ReadsItsWeights(), image_size=32)
    assert np.isfinite(other).all()
    assert not any(isinstance(part, PackedLinear) for part in parts)
    monkeypatch.setattr(engine, "has_fused_linears", lambda: False)
    monkeypatch.setattr(
        engine, "_in_half", lambda n, p, d, i, e: (engine._converted(n, torch.bfloat16), 1.0)
    )
    engine._ready.clear()
    expected, parts = run(vit, pooling="tokenavg")
    assert not any(isinstance(part, PackedLinear | SplitAttention) for part in parts)
    tolerance = 1e-5 if precision == "float32" else 0.03
    np.testing.assert_allclose(given, expected, atol=tolerance, rtol=tolerance)
