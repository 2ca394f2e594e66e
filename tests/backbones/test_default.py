"""The network that is taken where none is named."""

import re
import warnings

import pytest
from sklearn.dummy import DummyClassifier

from sktransfer import audit_images, compare_strategies, recommend_strategy
from sktransfer.backbones import choose_backbone
from sktransfer.exceptions import WeightsNotFoundError, WeightsWarning


@pytest.fixture
def cached(monkeypatch):
    """Let only these networks have weights in the cache, and no server answer."""
    names = set()

    def load(name):
        if name not in names:
            raise WeightsNotFoundError("no network")

    monkeypatch.setattr("sktransfer.backbones.default.load_backbone", load)
    monkeypatch.setattr(
        "sktransfer.backbones.default.weights_are_here", lambda name, _: name in names
    )
    return names


def test_the_default_is_that_of_the_transformer(cached):
    cached.add("resnet50")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choose_backbone("auto") == ("resnet50", "")
    assert choose_backbone("auto", "IMAGENET1K_V1").backbone == "resnet50"
    assert choose_backbone("resnet18").backbone == "resnet18"


def test_offline_a_network_in_the_cache_is_better_than_none(cached):
    cached.add("mobilenet_v2")
    with pytest.warns(WeightsWarning, match="The network is 'mobilenet_v2', because the ImageNet"):
        assert choose_backbone("auto").backbone == "mobilenet_v2"


def test_offline_without_any_every_answer_says_that_the_network_knows_no_photograph(cached, digits):
    X, y = digits.X[:30], digits.y[:30] % 2
    words = re.escape("It has never seen a photograph")
    with pytest.warns(WeightsWarning, match=words):
        found = compare_strategies(
            X, y, candidates=["features + SVM"], layers=[-1], poolings=["avg"], cv=2
        )
    assert found.backbone_ == "tiny"
    assert re.search(words, found.backbone_note_)
    with pytest.warns(WeightsWarning, match=words) as caught:
        audit_images(X, y)
    assert caught[0].filename == __file__
    with pytest.warns(WeightsWarning, match=words) as caught:
        advice = recommend_strategy(X, y)
    assert caught[0].filename == __file__
    assert re.search(words, advice.reasons[-1])


def test_candidates_of_ones_own_ask_for_no_network(cached, digits):
    found = compare_strategies(
        digits.X[:20], digits.y[:20] % 2, candidates={"a": DummyClassifier()}, cv=2
    )
    assert (found.backbone_, found.backbone_note_) == ("auto", "")
