"""`recommend_strategy` in its four quadrants, on images made to lie in them."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sktransfer import Recommendation, recommend_strategy
from sktransfer.advice.layer_probes import Probes, standard_error
from sktransfer.backbones.tiny import tiny
from sktransfer.preprocessing import Preprocessing

SIDE = 16


def _textures(n, seed=0):
    """Gratings of two directions, at random places: pixels say nothing, patterns all."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    angles = np.pi / 4 + np.pi / 2 * y + rng.normal(0, 0.2, n)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    phases = rng.uniform(0, 2 * np.pi, n)
    waves = np.sin(
        1.2 * (np.cos(angles)[:, None, None] * columns + np.sin(angles)[:, None, None] * rows)
        + phases[:, None, None]
    )
    noise = rng.normal(0, 0.5, (n, SIDE, SIDE))
    return np.clip(127 + 50 * (waves + noise), 0, 255).astype(np.uint8), y


def _places(n, seed=0):
    """A faint spot that is left or right of the middle: pixels say all, pooled patterns nothing."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    rows, columns = np.mgrid[:SIDE, :SIDE]
    spot = np.exp(-((rows - 8) ** 2 + (columns - (6 + 3 * y)[:, None, None]) ** 2) / 8)
    noise = rng.normal(0, 12, (n, SIDE, SIDE))
    return np.clip(100 + 60 * spot + noise, 0, 255).astype(np.uint8), y


def _small_network(n_channels=4):
    """A network of three stages and few parameters, with random weights, for 16-pixel images."""
    torch.manual_seed(0)
    layers = []
    for n_in in (3, n_channels, n_channels):
        layers += [nn.Conv2d(n_in, n_channels, 3, padding=1), nn.ReLU()]
    network = nn.Sequential(*layers)
    network.preprocessing = Preprocessing(SIDE, SIDE, mean=(0.5,) * 3, std=(0.25,) * 3)
    return network


def test_few_and_similar_keeps_the_network_frozen():
    X, y = _textures(60)
    advice = recommend_strategy(X, y, backbone="tiny")
    assert isinstance(advice, Recommendation)
    assert (advice.strategy, advice.size, advice.similarity) == ("frozen", "few", "similar")
    assert advice.n_trainable == 0
    assert advice.figures["pixels_accuracy"] < 0.7 < 0.9 < advice.figures["last_accuracy"]
    assert "30 a class (smallest 30). That is less than 100 a class: few." in str(advice)


def test_few_and_different_takes_an_earlier_layer_if_that_is_better():
    X, y = _places(60)
    network = _small_network()
    network.append(nn.Conv2d(4, 4, 3, padding=1)).append(nn.ReLU())
    with torch.no_grad():  # a last stage that has forgotten everything
        network[-2].weight.zero_()
        network[-2].bias.fill_(1.0)
    # What tells the classes in the earlier stages is brightness.
    X = (X // 2 + 100 * y[:, None, None]).astype(np.uint8)
    advice = recommend_strategy(X, y, backbone=network)
    assert (advice.strategy, advice.size, advice.similarity) == ("frozen", "few", "different")
    assert advice.layers != ("7",)
    assert advice.figures["last_accuracy"] < 0.7 < advice.figures["best_accuracy"]
    assert "is better than the last stage: different." in str(advice)


@pytest.mark.slow
def test_many_and_similar_trains_as_many_stages_as_the_images_pay_for():
    X, y = _textures(1200)
    last = sum(p.numel() for p in tiny().layer4.parameters())
    everything = sum(p.numel() for n, p in tiny().named_parameters() if not n.startswith("fc."))
    assert last < 2000 * 1200 < everything
    advice = recommend_strategy(X, y, backbone="tiny", max_images=200)
    assert (advice.strategy, advice.size, advice.similarity) == ("partial", "many", "similar")
    assert (advice.n_trainable, advice.layers) == (1, ("layer4",))
    assert advice.figures["n_probed"] == 200
    assert f"they pay for 1 of the 5 stages (the last has {last:,}" in str(advice)
    richer = recommend_strategy(
        X, y, backbone="tiny", max_images=200, parameters_per_image=everything // 1200 + 10
    )
    assert (richer.strategy, richer.n_trainable) == ("full", 5)


def test_many_and_different_trains_all_or_starts_from_scratch():
    X, y = _places(300)
    settings = {"few_per_class": 100, "max_images": 150}
    scratch = recommend_strategy(X, y, backbone=_small_network(), **settings)
    assert (scratch.strategy, scratch.size, scratch.similarity) == ("scratch", "many", "different")
    assert scratch.figures["parameters"] <= 100 * 300
    assert "no layer beats raw pixels" in str(scratch)
    full = recommend_strategy(X, y, backbone=_small_network(60), **settings)
    assert (full.strategy, full.size, full.similarity) == ("full", "many", "different")
    assert 100 * 300 < full.figures["parameters"] <= 2000 * 300


def test_enough_images_that_do_not_pay_for_a_stage_are_few():
    X, y = _textures(60)
    advice = recommend_strategy(X, y, backbone="tiny", few_per_class=20)
    assert (advice.strategy, advice.size) == ("frozen", "few")
    assert "they pay for 0 of the 5 stages" in str(advice)


def test_pooling_follows_the_pattern():
    rng = np.random.default_rng(0)
    n, side = 80, 32
    y = np.arange(n) % 2
    network = nn.Sequential(nn.Conv2d(3, 2, 1))
    network.preprocessing = Preprocessing(side, side, mean=(0.0,) * 3, std=(1.0,) * 3)
    with torch.no_grad():
        network[0].weight.fill_(1.0)
        network[0].bias.zero_()
    background = rng.integers(0, 100, (n, 1, 1)) + rng.integers(0, 40, (n, side, side))
    localised = background.copy()
    localised[y == 1, 5, 5] = 250  # one bright pixel
    advice = recommend_strategy(localised.astype(np.uint8), y, backbone=network)
    assert advice.pooling == "max"
    assert "Pooling: 'max'" in str(advice)
    assert "as for patterns in small parts of it" in str(advice)
    spread = rng.integers(0, 200, (n, side, side)) + 20 * y[:, None, None]
    spread[:, 7, 7] = 255 - rng.integers(0, 9, n)  # in both classes
    advice = recommend_strategy(spread.astype(np.uint8), y, backbone=network)
    assert advice.pooling == "avg"


def test_the_table_holds_every_stage_and_pooling_and_the_network_runs_once(batches_run):
    X, y = _textures(40, seed=7)
    names = np.array(["left", "right"])[y]
    advice = recommend_strategy(list(X), names, backbone="tiny", cache=None)
    assert sum(batches_run) == 40
    assert advice.probes["layer"].tolist() == [
        layer for layer in ("stem", "layer1", "layer2", "layer3", "layer4") for _ in range(2)
    ]
    assert advice.probes["pooling"].tolist() == ["avg", "max"] * 5
    chosen = advice.probes.set_index(["layer", "pooling"]).loc[(*advice.layers, advice.pooling)]
    assert chosen["within_error"]
    assert advice.figures["chance"] == 0.5


@pytest.mark.parametrize(
    ("within", "choice"),
    [
        (
            [True, True, True, True],
            ("b", "max"),
        ),  # where little is told apart, the last layer stays
        ([True, True, True, False], ("b", "avg")),
        ([True, True, False, False], ("a", "avg")),  # an earlier one is better, so LogME may choose
    ],
)
def test_an_earlier_layer_is_taken_only_where_it_is_distinguishably_better(within, choice):
    table = pd.DataFrame(
        {
            "layer": ["a", "a", "b", "b"],
            "pooling": ["avg", "max"] * 2,
            "accuracy": [0.5, 0.6, 0.55, 0.55],
            "logme": [0.9, 0.1, 0.2, 0.3],
            "within_error": within,
        }
    )
    assert Probes(table, np.zeros((4, 2)), np.zeros(2)).choice == choice


def test_images_are_drawn_in_the_proportions_of_the_classes():
    X, y = _textures(90)
    y = np.where(np.arange(90) % 9 == 0, 2, y)
    advice = recommend_strategy(X, y, backbone=_small_network(), max_images=45)
    assert advice.figures["n_probed"] == 45
    assert advice.figures["n_images"] == 90
    assert advice.figures["smallest_class"] == 10


def test_the_error_of_folds_is_that_of_nadeau_and_bengio():
    differences = np.array([0.1, 0.2, 0.0, 0.1])
    expected = np.sqrt((1 / 4 + (1 / 4) / (3 / 4)) * np.var(differences, ddof=1))
    assert standard_error(differences) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"y": np.zeros(20, int)}, "y holds a single class, 0"),
        ({"y": np.array([0] * 19 + [1])}, r"class 1 has only 1 image\(s\)\. Add images"),
        ({"max_images": 3}, "max_images=3 must be at least 4"),
        ({"few_per_class": 0}, "few_per_class=0 must be at least 1"),
    ],
)
def test_what_cannot_be_advised_on_is_refused(change, match):
    X, y = _textures(20)
    with pytest.raises(ValueError, match=match):
        recommend_strategy(X, **{"y": y, "backbone": "tiny", **change})
