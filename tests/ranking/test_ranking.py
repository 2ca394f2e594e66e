"""`rank_backbones`: what its table holds, and what reaches the network."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sktransfer import DeepFeatureTransformer, rank_backbones
from sktransfer.backbones.tiny import tiny
from sktransfer.exceptions import NoClassifierError, UnknownBackboneError, WeightsMismatchError
from sktransfer.preprocessing import Preprocessing
from sktransfer.ranking import RANKING_METHODS, leep, logme

UNTRAINED = DeepFeatureTransformer("tiny", weights="random", random_state=0)
WITHOUT_A_CLASSIFIER = [name for name in RANKING_METHODS if name != "leep"]


@pytest.fixture(scope="module")
def textures():
    """Gratings of four directions at random places: one has to see patterns, not pixels."""
    rng = np.random.default_rng(0)
    y = np.arange(80) % 4
    angles = np.pi * y / 4 + rng.normal(0, 0.15, 80)
    rows, columns = np.mgrid[:32, :32]
    waves = [
        np.sin(0.9 * (columns * np.cos(a) + rows * np.sin(a)) + rng.uniform(0, 6.3)) for a in angles
    ]
    noise = rng.normal(0, 0.8, (80, 32, 32))
    return np.clip(127 + 50 * (np.stack(waves) + noise), 0, 255).astype(np.uint8), y


def _with_classifier(*ends):
    """A small network with a classifier of seven classes that is sure of itself."""
    torch.manual_seed(1)
    head = nn.Linear(8, 7)
    nn.init.normal_(head.weight, std=8.0)
    convolutions = [nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU()]
    head = nn.Sequential(head, *ends) if ends else head
    module = nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head).eval()
    module.preprocessing = Preprocessing(32, 32, mean=(0.5,) * 3, std=(0.25,) * 3)
    return module


def test_scores_are_those_of_the_features(textures):
    X, y = textures
    table = rank_backbones(X, y, backbones=["tiny"], layers=[-2, -1], pooling="max")
    features = DeepFeatureTransformer("tiny", layers=[-2, -1], pooling="max").fit(X)
    assert table["score"].iloc[0] == pytest.approx(logme(features.transform(X), y))
    assert table[["layers", "pooling", "width", "weights"]].iloc[0].tolist() == [
        "layer3, layer4", "max", features.n_features_out_, "BUNDLED",
    ]  # fmt: skip


@pytest.mark.parametrize("method", WITHOUT_A_CLASSIFIER)
def test_a_network_that_sees_patterns_ranks_above_one_that_sees_single_pixels(method, textures):
    X, y = textures
    blind = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.ReLU())
    blind.preprocessing = Preprocessing(32, 32, mean=(0.5,) * 3, std=(0.25,) * 3)
    table = rank_backbones(X, y, backbones={"blind": blind, "seeing": "tiny"}, method=method)
    assert list(table.columns[:3]) == ["backbone", "score", "seconds"]
    assert table["backbone"].tolist() == ["seeing", "blind"]
    assert table["score"].iloc[0] > table["score"].iloc[1]


def test_a_network_is_described_without_its_classifier(textures):
    X, y = textures
    table = rank_backbones(X, y, backbones=["tiny", UNTRAINED])
    body = [p.numel() for name, p in tiny().named_parameters() if not name.startswith("fc.")]
    assert table["parameters"].tolist() == [sum(body)] * 2
    assert all(4 * sum(body) < size < 4.1 * sum(body) for size in table["weights_bytes"])
    assert (table["seconds"] >= table["score_seconds"]).all()


def test_a_second_method_asks_the_store_and_not_the_network(textures, batches_run):
    X, y = textures
    X = X // 2 + 7  # images that no other test has put into the store
    rank_backbones(X, y, backbones=["tiny"])
    assert sum(batches_run) == len(X)
    for method in WITHOUT_A_CLASSIFIER:
        rank_backbones(X, y, backbones=["tiny"], method=method, layers=-2, pooling="max")
    assert sum(batches_run) == len(X)


def test_paths_and_named_labels_are_possible(textures, tmp_path):
    X, y = textures
    paths = [tmp_path / f"{row}.png" for row in range(len(X))]
    for path, image in zip(paths, X, strict=True):
        Image.fromarray(image).save(path)
    named = np.array(["north", "east", "south", "west"])[y]
    scores = [
        rank_backbones(images, labels, backbones=["tiny"])["score"].iloc[0]
        for images, labels in ((paths, named), (X, y))
    ]
    assert scores[0] == pytest.approx(scores[1], rel=1e-4)


def test_leep_takes_the_probabilities_of_the_networks_own_classifier(textures):
    X, y = textures
    module = _with_classifier()
    table = rank_backbones(
        X, y, backbones={"own": module}, method="leep", precision="float32", layers=-2
    )
    pixels = np.stack([module.preprocessing(Image.fromarray(image).convert("RGB")) for image in X])
    with torch.no_grad():
        scores = module(module.preprocessing.normalize(torch.from_numpy(pixels)))
    expected = leep(scores.double().softmax(1).numpy(), y)
    assert table["score"].iloc[0] == pytest.approx(expected, abs=1e-4)
    assert expected > np.log(1 / 4)  # more than the entropy of the labels


def test_leep_does_not_take_a_softmax_twice(textures):
    X, y = textures
    module, softened = _with_classifier(), _with_classifier(nn.Softmax(1))
    scores = rank_backbones(X, y, backbones=[module, softened], method="leep", precision="float32")[
        "score"
    ]
    assert scores.iloc[0] == pytest.approx(scores.iloc[1], abs=1e-5)


def test_leep_says_that_weights_hold_no_classifier(textures, tmp_path):
    X, y = textures
    with pytest.raises(
        NoClassifierError,
        match=r"tiny with weights='BUNDLED' holds no classifier that fits\. Choose method='nleep'",
    ):
        rank_backbones(X, y, backbones=["tiny"], method="leep")
    headless = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2))
    with pytest.raises(NoClassifierError, match="has no classifier"):
        rank_backbones(X, y, backbones=[headless], method="leep")


def test_weights_of_another_network_are_still_named_as_such(textures, tmp_path):
    X, y = textures
    path = tmp_path / "other.pth"
    torch.save(nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(WeightsMismatchError, match="do not fit tiny"):
        rank_backbones(X, y, backbones=["tiny"], weights=str(path), method="leep")


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"backbones": "tiny"}, TypeError, r"Pass backbones=\['tiny'\]"),
        ({"backbones": []}, ValueError, r"backbones=\[\] is empty; give at least one"),
        ({"method": "logm"}, ValueError, r"method='logm' is not possible\. Choose one of: 'logme'"),
        ({"backbones": ["tinny"]}, UnknownBackboneError, "Nearest: 'tiny'"),
        ({"y": np.zeros(80, int)}, ValueError, "y holds a single class, 0"),
        ({"y": np.arange(79) % 4}, ValueError, "inconsistent numbers of samples"),
    ],
)
def test_what_cannot_be_ranked_is_refused(change, error, match, textures):
    X, y = textures
    with pytest.raises(error, match=match):
        rank_backbones(X, **{"y": y, "backbones": ["tiny"], **change})


def test_a_rare_class_is_named_as_the_user_names_it(digits):
    labels = ["ant"] * 6 + ["bee"] * 5 + ["moth"] * 2
    with pytest.raises(ValueError, match=r"cv=5 asks for 5 folds, but class 'moth' has only 2"):
        rank_backbones(digits.X[:13], labels, backbones=["tiny"], method="linear_cv")
