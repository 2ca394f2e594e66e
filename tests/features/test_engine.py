import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sktransfer import DeepFeatureTransformer
from sktransfer.backbones import load_backbone
from sktransfer.exceptions import DeviceError, DeviceWarning
from sktransfer.features.device import (
    candidate_precisions,
    resolve_device,
    resolve_devices,
    without_tf32,
)
from sktransfer.features.engine import prepare
from sktransfer.features.taps import resolve_slots

CPU = torch.device("cpu")


def _cosines(a, b):
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet18", 64), ("vgg11_bn", 64), ("densenet121", 64), ("mobilenet_v3_small", 64), ("alexnet", 96),
        ("efficientnet_b0", 64), ("convnext_tiny", 64), ("regnet_y_400mf", 64), ("shufflenet_v2_x0_5", 64),
        ("squeezenet1_1", 96), ("mnasnet0_5", 64), ("googlenet", 96), ("inception_v3", 128), ("swin_t", 64),
        ("vit_b_32", 224),
    ],
)  # fmt: skip
def test_features_are_those_of_the_network_run_by_hand(name, size):
    loaded = load_backbone(name, "random", random_state=0)
    pixels = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), np.uint8)
    transformer = DeepFeatureTransformer(
        name, weights="random", random_state=0, precision="float32", image_size=size, cache=None
    )
    features = transformer.fit(pixels).transform(pixels)

    # By hand: torch's own layers, unfolded, with a plain hook and a plain mean.
    mean, std = (
        torch.tensor(v)[:, None, None]
        for v in (loaded.preprocessing.mean, loaded.preprocessing.std)
    )
    batch = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std
    kept = []
    last = loaded.module.get_submodule(loaded.spec.stages[-1].modules[-1])
    handle = last.register_forward_hook(lambda _, __, output: kept.append(output.clone()))
    with torch.no_grad():
        loaded.module(batch)
    handle.remove()
    axes = {"nchw": (2, 3), "nhwc": (1, 2), "tokens": 1}[loaded.spec.layout]
    expected = (
        kept[0][:, loaded.spec.prefix_tokens :] if loaded.spec.layout == "tokens" else kept[0]
    )
    expected = expected.mean(axes).numpy()
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    "name", ["tiny", "densenet121", "efficientnet_b0", "swin_t", "convnext_tiny"]
)
def test_bfloat16_gives_nearly_the_features_of_float32(name, digits):
    weights = "default" if name == "tiny" else "random"
    half, full = (
        DeepFeatureTransformer(
            name, weights=weights, random_state=0, image_size=64, cache=None, precision=precision
        ).transform(digits.X[:8])
        for precision in ("bfloat16", "float32")
    )
    assert half.dtype == np.float32
    assert _cosines(half, full).min() > 0.999
    assert not np.array_equal(half, full)  # it did compute in something else


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_features_do_not_depend_on_batch_size_order_or_neighbours(precision, digits):
    X = digits.X[:21]
    make = lambda n: DeepFeatureTransformer("tiny", precision=precision, cache=None, batch_size=n)  # noqa: E731
    together = make(32).transform(X)
    # Kernels for other batch shapes add in another order; nothing else may differ.
    tolerance = (
        {"rtol": 1e-4, "atol": 1e-5} if precision == "float32" else {"rtol": 0.02, "atol": 0.02}
    )
    np.testing.assert_allclose(make(1).transform(X), together, **tolerance)
    np.testing.assert_allclose(make(4).transform(X[::-1])[::-1], together, **tolerance)


def test_the_network_is_in_inference_mode_whatever_somebody_did_to_it(digits):
    features = DeepFeatureTransformer("tiny", cache=None, precision="float32").fit(digits.X[:1])
    before = features.transform(digits.X[:4])
    features.backbone_.train()
    try:
        np.testing.assert_array_equal(features.transform(digits.X[:4]), before)
    finally:
        features.backbone_.eval()


def test_the_result_is_plain_and_contiguous(digits):
    features = DeepFeatureTransformer("tiny", cache=None).transform(digits.X[:3])
    assert features.dtype == np.float32
    assert features.flags.c_contiguous
    assert features.flags.writeable


def test_a_network_is_made_ready_once_and_freed_with_its_weights():
    loaded = load_backbone("tiny", "random", random_state=1)
    slots = resolve_slots(loaded, -1, "avg", 64)
    assert prepare(loaded, CPU, "float32", slots) is prepare(loaded, CPU, "float32", slots)
    assert prepare(loaded, CPU, "bfloat16", slots) is not prepare(loaded, CPU, "float32", slots)


class _Full(nn.Module):
    """Fails as a GPU does that is too small for more than `n_fit` images."""

    def __init__(self, n_fit):
        super().__init__()
        self.conv, self.n_fit, self.sizes = nn.Conv2d(3, 4, 1), n_fit, []

    def forward(self, x):
        self.sizes.append(len(x))
        if len(x) > self.n_fit:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return self.conv(x)


def test_out_of_memory_halves_the_batch_and_says_so_once(digits):
    pixels = np.repeat(digits.X[:13, :, :, None], 3, axis=3)
    network = _Full(6)
    features = DeepFeatureTransformer(
        network, image_size=28, cache=None, batch_size=13, precision="float32"
    )
    expected = DeepFeatureTransformer(
        network, image_size=28, cache=None, batch_size=2, precision="float32"
    ).transform(pixels)
    with pytest.warns(DeviceWarning, match=r"13 images at once do not fit.*batch_size=6") as caught:
        found = features.transform(pixels)
    assert len(caught) == 1
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_one_image_that_does_not_fit_is_an_error(digits):
    features = DeepFeatureTransformer(_Full(6), image_size=28, cache=None, precision="float32").fit(
        digits.X
    )
    loaded = features._ready()[0]
    engine = prepare(loaded, CPU, "float32", features.plan_.slots)
    full = next(part for part in engine.network.modules() if isinstance(part, _Full))
    full.n_fit = 0
    with pytest.warns(DeviceWarning), pytest.raises(torch.cuda.OutOfMemoryError):
        features.transform(digits.X[:2])


def _tf32():
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    return (matmul.allow_tf32, cudnn.allow_tf32)


def test_float32_is_not_shortened_on_a_card_and_settings_are_the_users_again():
    before = _tf32()
    with without_tf32():
        inside = _tf32_of_convolutions()
        raised = pytest.raises(RuntimeError, match="a kernel fails")
        with raised, without_tf32():
            raise RuntimeError("a kernel fails")
        assert _tf32_of_convolutions() == inside
    assert inside is False
    assert _tf32() == before


def _tf32_of_convolutions():
    conv = getattr(torch.backends.cudnn, "conv", None)
    return torch.backends.cudnn.allow_tf32 if conv is None else conv.fp32_precision == "tf32"


@pytest.mark.parametrize(("precision", "exact"), [("float32", True), ("bfloat16", False)])
def test_only_float32_on_a_card_is_computed_without_tf32(precision, exact):
    loaded = load_backbone("tiny", "random", random_state=1)
    on_cpu = prepare(loaded, CPU, "float32", resolve_slots(loaded, -1, "avg", 64))
    on_card = replace(on_cpu, device=torch.device("cuda"), precision=precision)
    with on_card._rounding():
        assert _tf32_of_convolutions() is not exact
    with on_cpu._rounding():
        assert _tf32_of_convolutions()


class _OnlyFloat32(nn.Module):
    def forward(self, x):
        return (
            x * torch.linalg.inv(torch.eye(2, dtype=x.dtype))[0, 0]
        )  # torch has it in no half precision


def test_a_network_that_cannot_compute_in_half_precision_computes_in_float32_and_says_so(digits):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), _OnlyFloat32())
    with pytest.warns(DeviceWarning, match="cannot compute in bfloat16"):
        found = DeepFeatureTransformer(
            network, image_size=8, cache=None, precision="bfloat16"
        ).transform(digits.X[:2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = DeepFeatureTransformer(
            network, image_size=8, cache=None, precision="float32"
        ).transform(digits.X[:2])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_device_that_is_not_there_is_an_error(digits):
    with pytest.raises(
        DeviceError, match=r"device='cuda' is not there: torch sees 0 CUDA device\(s\)"
    ):
        DeepFeatureTransformer("tiny", device="cuda").fit(digits.X[:1])


def test_a_device_that_does_not_exist_is_an_error():
    with pytest.raises(DeviceError, match="device='gpu' is no device"):
        resolve_device("gpu")


def test_auto_takes_the_best_device_there_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto") == CPU
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto").type == "cuda"


def test_every_gpu_is_used_unless_one_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    both = [torch.device("cuda:0"), torch.device("cuda:1")]
    assert resolve_devices("auto") == resolve_devices("cuda") == both
    assert resolve_devices("cuda:1") == both[1:]
    assert resolve_devices("cpu") == [CPU]


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        ((9, 0), ("bfloat16", "float16", "float32")),
        ((7, 5), ("float16", "float32")),
        ((6, 1), ("float32",)),
    ],
)
def test_precision_follows_what_a_gpu_has_hardware_for(capability, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert candidate_precisions("auto", torch.device("cuda")) == expected


@pytest.mark.parametrize("halves", [(), ("bfloat16",), ("bfloat16", "float16")])
def test_precision_follows_what_a_cpu_has_hardware_for(halves, monkeypatch):
    monkeypatch.setattr("sktransfer.features.device._halves_of_the_cpu", lambda: halves)
    assert candidate_precisions("auto", CPU) == (*halves, "float32")
    assert candidate_precisions("bfloat16", CPU) == ("bfloat16",)


class _Scale(nn.Module):
    """A layer with weights that every processor computes in every precision."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(1, 3, 1, 1) + 0.5)

    def forward(self, x):
        return x * self.weight


class _Delicate(nn.Module):
    """Adds and subtracts a large number, after which half precision has too few digits left."""

    def __init__(self, size):
        super().__init__()
        self.size = size

    def forward(self, x):
        return (x + self.size) - self.size


@pytest.mark.parametrize(
    ("size", "expected"), [(0.0, "bfloat16"), (100.0, "float16"), (3e3, "float32")]
)
def test_auto_takes_the_first_precision_that_gives_the_features_of_float32(
    size, expected, digits, monkeypatch
):
    monkeypatch.setattr(
        "sktransfer.features.device._halves_of_the_cpu", lambda: ("bfloat16", "float16")
    )
    features = DeepFeatureTransformer(
        nn.Sequential(_Scale(), _Delicate(size)),
        image_size=32,
        layers="1",
        pooling="max",
    ).fit(digits.X[:1])
    assert features.plan_.precision == expected


def test_an_unknown_precision_is_refused():
    with pytest.raises(
        ValueError, match=r"precision='half' is not possible\. Choose one of: 'auto'"
    ):
        candidate_precisions("half", CPU)


def test_constants_of_five_axes_run():
    class FiveAxes(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 5, 3, 2)
            self.register_buffer("gate", torch.ones(1, 1, 4, 1, 1))

        def forward(self, x):
            return self.second((self.first(x)[:, None] * self.gate)[:, 0])

    X = np.zeros((2, 32, 32, 3), dtype=np.uint8)
    features = DeepFeatureTransformer(FiveAxes(), image_size=32, cache=None)
    assert features.fit_transform(X).shape == (2, 5)
