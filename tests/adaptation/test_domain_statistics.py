"""Statistics of BatchNorm for each domain, and what is chosen where a parameter is "auto"."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from sktransfer import DANNClassifier
from sktransfer.adaptation.domain_statistics import measure_statistics, with_statistics
from sktransfer.adaptation.norms import DomainNorm, DomainSwitch
from sktransfer.backbones import load_backbone
from sktransfer.preprocessing import Preprocessing

SMALL = {"bottleneck": 8, "domain_head": (8,), "max_epochs": 2, "random_state": 0}


@pytest.fixture(scope="module")
def tiny():
    return load_backbone("tiny")


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    dark = rng.integers(0, 90, (12, 32, 32, 3)).astype(np.uint8)
    return np.concatenate([dark, 255 - dark // 2])


def convnet(side):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    network.preprocessing = Preprocessing(side, side, mean=(0.5,) * 3, std=(0.25,) * 3)
    return network


def test_few_images_change_statistics_little_and_many_make_them_their_own(tiny, images):
    dark = np.resize(images[:12], (48, 32, 32, 3))
    path, norm = next(
        (p, m) for p, m in tiny.module.named_modules() if isinstance(m, nn.BatchNorm2d)
    )
    of_some, of_more = (
        measure_statistics(
            tiny, np.resize(dark, (n, 32, 32, 3)), tiny.preprocessing, torch.device("cpu")
        )
        for n in (12, 768)
    )
    of_none = measure_statistics(tiny, images[:0], tiny.preprocessing, torch.device("cpu"))
    assert torch.equal(of_none[path][0], norm.running_mean)
    inputs = []
    hook = norm.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    with torch.inference_mode():
        tiny.module(tiny.preprocessing.normalize(torch.from_numpy(dark)))
    hook.remove()
    own = inputs[0].mean((0, 2, 3))
    torch.testing.assert_close(
        of_more[path][0], (own + norm.running_mean) / 2, atol=1e-4, rtol=1e-3
    )
    torch.testing.assert_close(
        of_some[path][0], norm.running_mean.lerp(own, 12 / 780), atol=1e-4, rtol=1e-3
    )


def test_a_search_measures_each_domain_once(images, monkeypatch):
    from sktransfer.adaptation import domain_statistics

    measured = []
    measure = domain_statistics.measure_statistics
    monkeypatch.setattr(
        domain_statistics, "measure_statistics", lambda *args: measured.append(1) or measure(*args)
    )
    y = np.r_[np.arange(12) % 2, np.full(12, -1)]
    settings = {"strategy": "frozen", "batch_norm": "per_domain", **SMALL, "random_state": 7}
    found = [
        DANNClassifier("tiny", lambda_max=1, **settings).fit(images, y).transform(images)
        for _ in range(2)
    ]
    assert len(measured) == 2
    np.testing.assert_array_equal(*found)
    DANNClassifier("tiny", cache=None, **settings).fit(images, y)
    assert len(measured) == 4


def test_a_backbone_with_other_statistics_has_the_same_weights_and_leaves_the_first_alone(
    tiny, images
):
    before = {k: v.clone() for k, v in tiny.module.state_dict().items()}
    measured = measure_statistics(tiny, images, tiny.preprocessing, torch.device("cpu"))
    other = with_statistics(tiny, measured)
    assert other.digest != tiny.digest
    for name, value in tiny.module.state_dict().items():
        assert torch.equal(value, before[name])
        changed = not torch.equal(value, other.module.state_dict()[name])
        assert changed == ("running" in name), name


def test_frozen_norms_of_two_domains_treat_each_half_by_its_own_statistics():
    norm = DomainNorm(nn.BatchNorm1d(1), DomainSwitch(), per_domain=True).eval()
    norm.source_norm.running_mean.fill_(5)
    norm.switch.n_source = 1
    found = norm(torch.full((2, 1), 5.0)).flatten()
    torch.testing.assert_close(found, torch.tensor([0.0, 5.0]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("augmentation", [None, "light"])
def test_rows_of_the_source_are_predicted_with_its_own_statistics(images, augmentation):
    y = np.r_[np.arange(12) % 2, np.full(12, -1)]
    model = DANNClassifier(
        "tiny", strategy="frozen", batch_norm="per_domain", augmentation=augmentation, **SMALL
    ).fit(images, y)
    as_target, as_source = (model.transform(images, np.full(24, d)) for d in (-2, 1))
    assert np.abs(as_target - as_source).max() > 1e-3
    again = pickle.loads(pickle.dumps(model))
    mixed = again.transform(images, np.r_[np.full(12, 1), np.full(12, -2)])
    np.testing.assert_allclose(mixed[:12], as_source[:12], atol=1e-6)
    np.testing.assert_allclose(mixed[12:], as_target[12:], atol=1e-6)


def test_x_target_is_the_same_as_marked_rows(images):
    y = np.arange(12) % 2
    settings = {"strategy": "frozen", "batch_norm": "per_domain", **SMALL}
    marked = DANNClassifier("tiny", **settings).fit(images, np.r_[y, np.full(12, -1)])
    beside = DANNClassifier("tiny", **settings).fit(images[:12], y, X_target=images[12:])
    np.testing.assert_array_equal(marked.transform(images), beside.transform(images))


@pytest.mark.parametrize(
    ("backbone", "weights", "strategy", "reason"),
    [
        (convnet(128), "random", "scratch", "are random"),
        (convnet(127), "default", "full", "small images, of 127 pixels"),
        ("tiny", "default", "full", "has to change"),
    ],
)
def test_the_strategy_follows_the_network(images, backbone, weights, strategy, reason):
    y = np.r_[np.arange(12) % 2, np.full(12, -1)]
    model = DANNClassifier(backbone, weights=weights, image_size=32, **SMALL).fit(images, y)
    assert model.strategy_ == strategy
    assert reason in model.strategy_reason_
    assert "target_entropy" not in model.history_[0]


def test_a_network_of_large_images_stays_and_each_domain_has_its_statistics(images):
    y = np.r_[np.arange(12) % 2, np.full(12, -1)]
    model = DANNClassifier(convnet(128), image_size=32, **SMALL).fit(images, y)
    assert (model.strategy_, model.trunk_) == ("frozen", "vectors")
    assert "takes images of 128 pixels" in model.strategy_reason_
    assert {"target_entropy", "target_diversity"} <= set(model.history_[0])
    of_target, of_source = (model.transform(images, np.full(24, domain)) for domain in (-2, 1))
    assert np.abs(of_target - of_source).max() > 0
    assert model.get_params()["strategy"] == "auto"


def test_unreadable_images_are_left_out_of_the_statistics(tmp_path, images):
    from PIL import Image

    paths = []
    for row, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{row:02}.png")
        paths.append(str(tmp_path / f"{row:02}.png"))
    (tmp_path / "20.png").write_bytes(b"no image")
    y = np.r_[np.arange(12) % 2, np.full(12, -1)]
    settings = {"strategy": "frozen", "batch_norm": "per_domain", "on_error": "nan", **SMALL}
    model = DANNClassifier("tiny", **settings).fit(paths, y)
    assert model.failed_ == [20]
    kept = np.delete(np.arange(24), 20)
    whole = DANNClassifier("tiny", **settings).fit(images[kept], y[kept])
    np.testing.assert_allclose(model.transform(images), whole.transform(images), atol=1e-3)
