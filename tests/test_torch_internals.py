"""Without a private name of torch that the package uses, it says so once or computes all the same."""

import ast
import importlib
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import sktransfer
from sktransfer import DeepFeatureTransformer, torch_internals
from sktransfer.backbones import clear_backbones
from sktransfer.exceptions import DeviceWarning
from sktransfer.features import engine
from sktransfer.features.device import candidate_precisions
from sktransfer.torch_internals import has_fused_convolutions, is_batchnorm, reset_of, version_of

CPU = torch.device("cpu")


def _features(X):
    # A new network for each call, because one that is ready is not made ready again.
    model = DeepFeatureTransformer(
        "tiny", weights="random", random_state=0, cache=None, precision="auto", image_size=32
    )
    clear_backbones()
    return model.fit_transform(X)


@pytest.fixture
def without_operators(monkeypatch):
    """A torch whose oneDNN has other names."""
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace())
    engine._warn_of_slowness.cache_clear()


@pytest.fixture
def without_onednn(without_operators, monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)


def test_without_the_operators_features_are_the_same_and_one_warning_says_so(
    digits, monkeypatch, request
):
    expected = _features(digits.X[:8])
    request.getfixturevalue("without_operators")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert not has_fused_convolutions()
    with pytest.warns(DeviceWarning, match="has not the operators of oneDNN") as said:
        found = _features(digits.X[:8])
    np.testing.assert_allclose(found, expected, rtol=2e-2, atol=2e-2)  # both may be in bfloat16
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _features(digits.X[:8])


def test_without_onednn_auto_is_float32_and_nothing_is_said(digits, without_onednn, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert candidate_precisions("auto", CPU) == ("float32",)
    assert np.isfinite(_features(digits.X[:8])).all()


@pytest.mark.parametrize(
    ("yes", "expected"), [(True, ("float16", "float32")), (False, ("float32",))]
)
def test_float16_is_what_the_processor_says(yes, expected, monkeypatch):
    operators = SimpleNamespace(_is_mkldnn_fp16_supported=lambda: yes)
    monkeypatch.setattr(torch.ops, "mkldnn", operators)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    assert candidate_precisions("auto", CPU) == expected


def test_a_check_that_fails_is_a_no(monkeypatch):
    def fails():
        raise RuntimeError("not in this build")

    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace(_is_mkldnn_fp16_supported=fails))
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", fails, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", fails, raising=False)
    assert candidate_precisions("auto", CPU) == ("float32",)


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm])
def test_batchnorms_are_known_without_the_class_that_they_share(norm, monkeypatch):
    assert is_batchnorm(norm(3))
    assert not is_batchnorm(nn.InstanceNorm2d(3))
    monkeypatch.delattr(nn.modules.batchnorm, "_BatchNorm")
    without = importlib.util.module_from_spec(importlib.util.find_spec(torch_internals.__name__))
    without.__spec__.loader.exec_module(without)
    assert without.is_batchnorm(norm(3))
    assert not without.is_batchnorm(nn.InstanceNorm2d(3))


def test_a_module_is_reset_by_the_public_method_first():
    module = nn.Module()
    assert reset_of(module) is None  # and weights="random" then names what it cannot reset
    module._reset_parameters = lambda: "private"
    assert reset_of(module)() == "private"
    module.reset_parameters = lambda: "public"
    assert reset_of(module)() == "public"


def test_versions_count_changes_in_place():
    tensor = torch.zeros(2)
    before = version_of(tensor)
    tensor.add_(1)
    assert version_of(tensor) > before
    assert version_of(SimpleNamespace()) == 0  # a tensor of a torch that does not count


def test_private_names_of_torch_are_in_one_module():
    package = Path(sktransfer.__file__).parent
    elsewhere = [
        f"{path.relative_to(package)}: {name}"
        for path in package.rglob("*.py")
        if path.name != "torch_internals.py"
        for name in _private_names_of_torch(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not elsewhere


OF_TENSORS_AND_MODULES = ("_version", "_metadata", "_parameters", "_buffers", "_modules", "_base")


def _private_names_of_torch(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            name = ast.unparse(node)
            if (
                name.split(".")[0] in ("torch", "nn", "fx", "F") and not node.attr.endswith("__")
            ) or node.attr in OF_TENSORS_AND_MODULES:
                yield name
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "torch":
            names = [*node.module.split("."), *(alias.name for alias in node.names)]
            yield from (name for name in names if name.startswith("_"))
