from typing import get_args

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline

from sktransfer import DeepFeatureTransformer
from sktransfer.exceptions import UnknownPoolingError
from sktransfer.features.maps import layer_maps
from sktransfer.features.pooling import POOLINGS, Pooling, PoolingName, pool_map, pooled_width
from sktransfer.saliency import saliency_maps

HOWS = ["avg", "max", "avgmax", "gem", "flatten"]


def _by_hand(array, how):
    """What each pooling is by definition, in float64."""
    array = array.astype(np.float64)
    if how == "avg":
        return array.mean((2, 3))
    if how == "max":
        return array.max((2, 3))
    if how == "avgmax":
        return np.concatenate([array.mean((2, 3)), array.max((2, 3))], 1)
    if how == "gem":
        return (np.maximum(array, 1e-6) ** 3).mean((2, 3)) ** (1 / 3)
    return array.reshape(len(array), -1)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@settings(max_examples=20, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 8), st.integers(1, 8)),
    seed=st.integers(0, 100),
)
def test_pooling_is_what_its_definition_says(how, layout, shape, seed):
    array = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    pooled = pool_map(torch.from_numpy(array).contiguous(memory_format=layout), how)
    np.testing.assert_allclose(pooled.numpy(), _by_hand(array, how), rtol=1e-4, atol=1e-6)
    assert pooled.shape[1] == pooled_width(how, *shape[1:])


@pytest.mark.parametrize("how", HOWS)
def test_dtype_is_kept_and_sums_do_not_lose_digits(how):
    feature_map = torch.rand(2, 8, 56, 56, generator=torch.Generator().manual_seed(0))
    pooled = pool_map(feature_map.bfloat16().contiguous(memory_format=torch.channels_last), how)
    assert pooled.dtype == torch.bfloat16
    expected = _by_hand(feature_map.bfloat16().float().numpy(), how)
    # Two roundings to bfloat16; summing 3,136 cells in bfloat16 would be off by half.
    np.testing.assert_allclose(pooled.float().numpy(), expected, rtol=0.01)


@pytest.mark.parametrize("how", HOWS)
def test_the_result_is_a_new_tensor(how):
    feature_map = torch.ones(2, 3, 1, 1)
    pooled = pool_map(feature_map, how)
    feature_map.zero_()  # as an in-place ReLU would
    assert (pooled == 1).all()


def test_a_pattern_moved_elsewhere_changes_nothing_but_flatten():
    feature_map = torch.rand(1, 4, 6, 6)
    moved = feature_map.roll((2, 3), (2, 3))
    for how in HOWS[:-1]:
        torch.testing.assert_close(pool_map(moved, how), pool_map(feature_map, how))
    assert not torch.equal(pool_map(moved, "flatten"), pool_map(feature_map, "flatten"))


def test_an_unknown_pooling_names_the_nearest():
    with pytest.raises(UnknownPoolingError, match=r"pooling='maxx' is not .*Nearest: 'max'\."):
        pool_map(torch.ones(1, 1, 2, 2), "maxx")


def test_a_map_of_three_axes_is_refused():
    with pytest.raises(ValueError, match=r"feature_map has the shape \(2, 3, 4\)"):
        pool_map(torch.ones(2, 3, 4))


@pytest.fixture
def digits8(digits):
    return digits.X[:8]


def _deviation(feature_map):
    return feature_map.flatten(2).std(2, correction=0)


@pytest.fixture(params=["every stage", "last stages", "if asked for"])
def std(request, monkeypatch):
    """A pooling that only its entry knows of."""
    pooling = Pooling("std", _deviation, stored=request.param)
    monkeypatch.setitem(POOLINGS, "std", pooling)
    return pooling


@pytest.mark.parametrize("cache", ["memory", None])
@pytest.mark.parametrize("layers", ["layer1", [-2, -1], "layer2.0"], ids=str)
def test_an_entry_is_all_that_a_pooling_needs(std, cache, layers, digits8):
    ask = {"layers": layers, "image_size": 32, "precision": "float32", "cache": cache}
    found = DeepFeatureTransformer("tiny", pooling="std", **ask).fit_transform(digits8)
    maps = layer_maps(DeepFeatureTransformer("tiny", **ask), digits8).maps
    expected = np.hstack([found.std((2, 3)) for found in maps.values()])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("cache", ["memory", None])
def test_a_pooling_may_make_several_columns_of_a_channel(monkeypatch, cache, digits8):
    def both(feature_map):
        return torch.cat([pool_map(feature_map, "avg"), _deviation(feature_map)], 1)

    monkeypatch.setitem(POOLINGS, "two", Pooling("two", both, 2, stored="every stage"))
    ask = {"layers": ["layer1.0", "layer4"], "precision": "float32", "cache": cache}
    two = DeepFeatureTransformer("tiny", pooling=["two", "avg"], image_size=32, **ask)
    features = two.fit_transform(digits8)
    avg = DeepFeatureTransformer("tiny", image_size=32, **ask).fit_transform(digits8)
    first, last = two.plan_.columns.values()
    width = first.stop // 2
    assert features.shape[1] == two.n_features_out_ == avg.shape[1] + width
    np.testing.assert_allclose(features[:, :width], avg[:, :width], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(features[:, last], avg[:, width:], rtol=1e-4, atol=1e-5)


def test_a_new_pooling_is_listed_and_suggested(std):
    with pytest.raises(UnknownPoolingError, match=r"'tokenavg', 'std', or .*Nearest: 'std'\."):
        pool_map(torch.ones(1, 1, 2, 2), "sdt")


def test_a_new_pooling_is_no_sum_over_cells_unless_it_says_so(std, digits8):
    model = make_pipeline(DeepFeatureTransformer("tiny", pooling="std"), RidgeClassifier())
    model.fit(digits8, np.arange(8) % 2)
    with pytest.raises(ValueError, match="pooling 'std' is no sum over the cells"):
        saliency_maps(model, digits8[:1], method="cam")


def test_the_documentation_lists_every_pooling():
    assert all(f'"{name}"' in pool_map.__doc__ for name in POOLINGS)
    assert get_args(PoolingName) == tuple(POOLINGS), "what editors complete"


def test_maps_for_others_are_those_that_are_pooled(digits8):
    features = DeepFeatureTransformer("tiny", layers=[-2, -1], pooling="max", precision="float32")
    maps = features.feature_maps(digits8[:5])
    assert list(maps) == ["layer3", "layer4"]
    pooled = np.hstack([values.max((2, 3)) for values in maps.values()])
    np.testing.assert_allclose(pooled, features.transform(digits8[:5]), rtol=1e-4, atol=1e-5)
