"""Both estimators from the outside; one fit serves several tests where that is possible."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from torch import nn

from sktransfer import (
    DANNClassifier,
    DeepFeatureTransformer,
    FineTuneClassifier,
    FineTuneRegressor,
)
from sktransfer.backbones import get_backbone
from sktransfer.exceptions import ImageDecodeError, ImageWarning, TrainingError

QUICK = {"image_size": 32, "precision": "float32", "random_state": 0}


def _classifier(**params):
    return FineTuneClassifier("tiny", **{**QUICK, **params})


@pytest.fixture(scope="module")
def partial(digits):
    model = _classifier(max_epochs=8, validation_fraction=0.2)
    return model.fit(digits.X[:150], digits.y[:150])


@pytest.mark.parametrize("strategy", ["frozen", "partial", "full", "scratch"])
def test_every_strategy_learns(strategy, digits):
    binary = digits.y < 2
    X, y = digits.X[binary][:60], digits.y[binary][:60]
    model = _classifier(strategy=strategy, max_epochs=6, augmentation=None).fit(X[:40], y[:40])
    assert model.score(X[40:], y[40:]) >= 0.9
    assert model.trunk_ == {"frozen": "vectors", "partial": "maps"}.get(strategy, "pixels")


def test_it_learns_ten_classes_from_a_few_images(partial, digits):
    assert partial.score(digits.X[200:400], digits.y[200:400]) > 0.5
    probabilities = partial.predict_proba(digits.X[:20])
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-12)
    np.testing.assert_array_equal(
        partial.classes_[probabilities.argmax(1)], partial.predict(digits.X[:20])
    )


def test_history_tells_each_epoch(partial):
    table = pd.DataFrame(partial.history_)
    assert list(table["epoch"]) == list(range(1, partial.n_iter_ + 1))
    assert set(table) >= {"train_loss", "valid_loss", "valid_score", "lr", "backbone_lr", "best"}
    assert (table["backbone_lr"] <= table["lr"]).all()
    assert table["train_loss"].iloc[-1] < table["train_loss"].iloc[0]
    assert partial.n_validation_ == 30


def test_the_best_weights_are_kept(digits):
    class Spoil(pytest.importorskip("skorch").callbacks.Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 4:
                net.module_.head.bias.data += torch.arange(10) * 5.0

    model = _classifier(
        strategy="frozen", max_epochs=5, validation_fraction=0.2, callbacks=[Spoil()]
    )
    model.fit(digits.X[:150], digits.y[:150])
    losses = [row["valid_loss"] for row in model.history_]
    best, worst = int(np.argmin(losses)), max(losses)
    assert best < 3
    assert worst > 2 * losses[best]
    assert model.score(digits.X[:150], digits.y[:150]) > 0.5


def test_training_stops_when_patience_is_over(digits):
    model = _classifier(
        strategy="frozen", lr=0.3, patience=2, max_epochs=40, validation_fraction=0.2
    )
    model.fit(digits.X[:100], digits.y[:100])
    assert model.n_iter_ < 40
    assert [row["best"] for row in model.history_[-2:]] == [False, False]


def test_two_fits_with_one_seed_are_equal_and_torch_keeps_its_random_numbers(digits):
    X, y = digits.X[:40], digits.y[:40] % 2
    state = torch.get_rng_state()
    model = _classifier(strategy="full", head="mlp", max_epochs=2, mixup=0.2)
    first, second = (clone(model).fit(X, y).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert torch.get_rng_state().equal(state)
    other = clone(model).set_params(random_state=1).fit(X, y).predict_proba(X)
    assert not np.array_equal(first, other)


def test_frozen_stages_run_once_an_image_over_folds_and_candidates(
    digits, batches_run, empty_caches
):
    grid = {"lr": [1e-3, 1e-2], "strategy": ["frozen"]}
    X, y = digits.X[400:430], digits.y[400:430] % 2
    GridSearchCV(_classifier(max_epochs=2), grid, cv=2).fit(X, y)
    assert sum(batches_run) == 30


@pytest.mark.parametrize("strategy", ["frozen", "partial"])
def test_what_runs_once_gives_what_running_each_time_gives(strategy, digits, monkeypatch):
    X, y = digits.X[:40], digits.y[:40] % 2
    model = _classifier(strategy=strategy, max_epochs=3, early_stopping=False)
    stored = clone(model).fit(X, y)
    monkeypatch.setattr(
        "sktransfer.training.inputs.choose_inputs", lambda *a, **k: ("pixels", "as asked")
    )
    plain = clone(model).fit(X, y)
    assert (stored.trunk_, plain.trunk_) == (
        {"frozen": "vectors", "partial": "maps"}[strategy],
        "pixels",
    )
    # Rows are ordered by their content, which differs, so the batches do; one batch has them all.
    np.testing.assert_allclose(
        stored.set_params(batch_size=40).fit(X, y).predict_proba(X),
        plain.set_params(batch_size=40).fit(X, y).predict_proba(X),
        atol=2e-3,
    )


def test_views_of_a_frozen_trunk_are_made_before_the_first_epoch(digits):
    X, y = digits.X[:30], digits.y[:30] % 2
    anew = _classifier(strategy="frozen", max_epochs=1, augmentation="light").fit(X, y)
    assert anew.trunk_ == "pixels"
    assert "each epoch augments" in anew.trunk_reason_
    views = _classifier(strategy="frozen", max_epochs=4, augmentation="light", n_views=2).fit(X, y)
    assert views.trunk_ == "vectors"
    assert len(views.net_.history) == 4
    with pytest.raises(ValueError, match="n_views=0 must be at least 1"):
        views.set_params(n_views=0).fit(X, y)


def test_the_head_warms_up_alone_and_then_the_backbone_rises(digits):
    model = _classifier(strategy="full", max_epochs=4, warmup_epochs=2, augmentation=None)
    before = DeepFeatureTransformer("tiny", image_size=32, precision="float32").transform(
        digits.X[:5]
    )
    seen = []

    class Look(pytest.importorskip("skorch").callbacks.Callback):
        def on_epoch_end(self, net, **kwargs):
            weight = net.module_.backbone.layer4[0].conv1.weight
            seen.append((weight.requires_grad, weight.detach().clone()))

    model.set_params(callbacks=[Look()]).fit(digits.X[:40], digits.y[:40] % 2)
    assert [phase["phase"] for phase in model.history_] == ["head", "head", "all", "all"]
    assert [requires for requires, _ in seen] == [False, False, True, True]
    assert seen[0][1].equal(seen[1][1])
    assert not seen[1][1].equal(seen[2][1])
    assert not np.allclose(model.transform(digits.X[:5]), before, atol=1e-3)


def test_a_pickle_is_weights_without_tensors_and_predicts_the_same(partial, digits):
    data = pickle.dumps(partial)
    names = {arg for op, arg, _ in __import__("pickletools").genops(data) if isinstance(arg, str)}
    assert not [name for name in names if name.startswith("torch") or "cuda" in name]
    again = pickle.loads(data)
    np.testing.assert_allclose(
        again.predict_proba(digits.X[:9]), partial.predict_proba(digits.X[:9])
    )
    pixels = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    with torch.no_grad():
        expected = partial.net_.module_.eval()(pixels)
        assert again.net_.module_.eval()(pixels).allclose(expected, atol=1e-4)


def test_tuned_weights_go_to_a_file_and_into_a_transformer(partial, digits, tmp_path):
    path = tmp_path / "tuned.safetensors"
    partial.save_weights(path)
    features = DeepFeatureTransformer("tiny", weights=path, image_size=32, precision="float32")
    np.testing.assert_allclose(
        features.transform(digits.X[:9]), partial.transform(digits.X[:9]), rtol=1e-4, atol=1e-4
    )
    names = partial.get_feature_names_out()
    assert list(names[:1]) == ["finetuneclassifier0"]
    assert len(names) == 256
    with pytest.raises(ValueError, match=r"must end in .safetensors"):
        partial.save_weights(tmp_path / "tuned.pth")


def test_an_svm_sits_on_the_tuned_features(digits):
    tuned = _classifier(strategy="frozen", max_epochs=1)
    model = make_pipeline(tuned, SVC()).fit(digits.X[:80], digits.y[:80] % 2)
    assert model.score(digits.X[80:120], digits.y[80:120] % 2) > 0.7


def test_several_labels_a_row(digits):
    X, y = digits.X[:60], digits.y[:60]
    labels = np.stack([y % 2, y > 4], 1)
    model = _classifier(strategy="frozen", lr=1e-2).fit(X, labels)
    assert model.predict(X).shape == (60, 2)
    assert (model.predict(X) == labels).mean() > 0.8
    with pytest.raises(ValueError, match="class_weight='balanced' is not possible where rows have"):
        model.set_params(class_weight="balanced").fit(X, labels)


@pytest.mark.parametrize("one_axis", [True, False])
def test_numbers_are_predicted_in_the_users_units(one_axis, digits):
    X = digits.X[:80]
    ink = X.mean((1, 2)) * 1000 + 5e5
    y = ink if one_axis else np.stack([ink, -ink], 1)
    model = FineTuneRegressor("tiny", strategy="frozen", lr=1e-2, **QUICK).fit(X, y)
    assert model.predict(X).shape == y.shape
    assert model.score(X, y) > 0.5


def test_partial_fit_goes_on_and_knows_classes_from_the_first_call(digits):
    X, y = digits.X[:60], digits.y[:60]
    model = _classifier(strategy="frozen", lr=1e-2).partial_fit(
        X[:20], y[:20], classes=np.arange(10)
    )
    first = model.score(X, y)
    for _ in range(8):
        model.partial_fit(X, y)
    assert model.n_iter_ == 9
    assert model.score(X, y) > first
    assert model.classes_.tolist() == list(range(10))
    with pytest.raises(ValueError, match=r"y holds \[12\], which is not among the classes"):
        model.partial_fit(X[:2], [1, 12])


def test_warm_start_goes_on_with_another_strategy(digits):
    X, y = digits.X[:60], digits.y[:60] % 2
    model = _classifier(strategy="frozen", lr=1e-2, max_epochs=10, warm_start=True).fit(X, y)
    loss = model.history_[-1]["train_loss"]
    model.set_params(strategy="full", lr=1e-5, backbone_lr=1e-5, max_epochs=1, augmentation=None)
    model.fit(X, y)
    assert model.history_[0]["train_loss"] < loss * 1.2  # and not that of a new head
    assert model.trunk_ == "pixels"


def test_a_later_fit_may_see_the_images_in_another_size(digits):
    X, y = digits.X[:60], digits.y[:60] % 2
    model = _classifier(strategy="frozen", lr=1e-2, max_epochs=5, warm_start=True).fit(X, y)
    before = model.transform(X[:4])
    model.set_params(image_size=48).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    expected = DeepFeatureTransformer("tiny", image_size=48, precision="float32").transform(X[:4])
    for found in (model.transform(X[:4]), again.transform(X[:4])):
        np.testing.assert_allclose(found, expected, rtol=0.05, atol=0.02)
    assert np.abs(before - expected).max() > 0.1
    assert model.score(X, y) > 0.8
    model.set_params(image_size=None).fit(X, y)
    expected = DeepFeatureTransformer("tiny", precision="float32").transform(X[:4])
    np.testing.assert_allclose(model.transform(X[:4]), expected, rtol=0.05, atol=0.02)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"pooling": "max"}, r"pooling='max' is not what the network was made with, pooling='avg'"),
        ({"head": "mlp"}, r"head='mlp' is not what .* Set it back, or fit a clone\."),
        ({"backbone": "resnet18"}, r"backbone='resnet18' is not what"),
        ({"weights": "random"}, r"weights='random' is not what"),
    ],
)
def test_a_later_fit_cannot_be_of_another_network(digits, params, message):
    X, y = digits.X[:30], digits.y[:30] % 2
    model = _classifier(strategy="frozen", max_epochs=1, warm_start=True).fit(X, y)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match=message):
        model.set_params(**params).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    clone(model).set_params(weights="default", backbone="tiny").fit(X, y)


def test_a_later_fit_cannot_go_on_with_a_module_that_was_changed(digits):
    X, y = digits.X[:30], digits.y[:30] % 2
    network = get_backbone("tiny").build().eval()
    model = FineTuneClassifier(network, strategy="frozen", max_epochs=1, random_state=0)
    model.partial_fit(X, y).partial_fit(X, y)
    network.layer4[0].scale = 2.0
    with pytest.raises(
        ValueError, match=r"backbone=.* has been changed since the network was made"
    ):
        model.partial_fit(X, y)
    clone(model).fit(X, y)


def test_a_message_does_not_hold_a_whole_network(digits):
    model = _classifier(strategy="frozen", max_epochs=1, warm_start=True).fit(
        digits.X[:30], digits.y[:30]
    )
    model.set_params(backbone=torchvision.models.resnet18())
    with pytest.raises(ValueError, match="not what the network was made with") as raised:
        model.fit(digits.X[:30], digits.y[:30])
    assert len(str(raised.value)) < 500


def test_a_later_fit_cannot_keep_more_places_of_the_map(digits):
    X, y = digits.X[:30], digits.y[:30] % 2
    model = _classifier(strategy="frozen", pooling="flatten", max_epochs=1, warm_start=True)
    model.fit(X, y)
    with pytest.raises(
        ValueError, match=r"image_size=64 gives \d+ features and the head takes \d+"
    ):
        model.set_params(image_size=64).fit(X, y)


def test_labels_may_be_strings_and_images_paths_or_columns_of_pandas(digits, tmp_path):
    paths = []
    for row, image in enumerate(digits.X[:24]):
        paths.append(str(tmp_path / f"{row}.png"))
        Image.fromarray(image).save(paths[-1])
    y = np.where(digits.y[:24] % 2, "odd", "even")
    model = _classifier(strategy="frozen", lr=1e-2).fit(
        pd.Series(paths), pd.Series(y, index=range(5, 29))
    )
    assert set(model.predict(paths)) <= {"odd", "even"}
    np.testing.assert_allclose(
        model.predict_proba(paths), model.predict_proba(digits.X[:24]), atol=1e-6
    )


def test_an_unreadable_image_is_left_out_and_gives_a_row_of_nan(digits):
    X = [*digits.X[:12], b"no image"]
    y = [*(digits.y[:12] % 2), 1]
    with pytest.raises(ImageDecodeError, match="image 12 of 13"):
        _classifier(strategy="frozen").fit(X, y)
    model = _classifier(strategy="frozen", max_epochs=2, on_error="nan").fit(X, y)
    assert model.failed_ == [12]
    assert np.isnan(model.predict_proba(X)).any(1).tolist() == [False] * 12 + [True]
    with pytest.raises(ImageDecodeError, match="image 12 of 13 cannot be read"):
        model.predict(X)


def test_parameters_of_skorch_reach_the_net(digits):
    params = {"criterion": nn.BCEWithLogitsLoss, "optimizer__betas": (0.5, 0.9)}
    model = _classifier(strategy="frozen", max_epochs=1, net_params=params)
    model.fit(digits.X[:30], digits.y[:30] % 2)
    assert isinstance(model.net_.criterion_, nn.BCEWithLogitsLoss)
    assert model.net_.optimizer_.param_groups[0]["betas"] == (0.5, 0.9)


def test_the_range_test_suggests_a_rate_and_leaves_the_estimator_alone(digits):
    model = _classifier(strategy="frozen")
    found = model.lr_find(digits.X[:60], digits.y[:60], n_steps=60)
    assert 1e-5 < found.suggestion < 1
    assert found.rates.shape == found.losses.shape
    assert np.all(np.diff(found.rates) > 0)
    assert found.losses.min() < 0.8 * found.losses[0]
    assert not hasattr(model, "history_")
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize(
    ("params", "y", "error", "message"),
    [
        ({}, [0] * 12, ValueError, r"y holds one class only, \[0\]"),
        ({}, [0, 1], ValueError, "different lengths: 12 images and 2 targets"),
        ({}, [0.5, 1.5] * 6, ValueError, "Unknown label type: continuous"),
        ({}, [0, np.nan] * 6, ValueError, "Input y contains NaN"),
        ({"strategy": "partly"}, [0, 1] * 6, ValueError, "strategy='partly' is not possible"),
        ({"n_trainable": 9}, [0, 1] * 6, ValueError, "n_trainable=9 is more than the 5 stages"),
        ({"lr": 0}, [0, 1] * 6, ValueError, "lr=0 must be more than 0: the rate of the head"),
        ({"lr": "fast"}, [0, 1] * 6, TypeError, "lr='fast' must be a number"),
        ({"warmup_epochs": 20}, [0, 1] * 6, ValueError, "warmup_epochs=20 leaves nothing of max_epochs=20"),
        ({"optimizer": "adagrad"}, [0, 1] * 6, ValueError, "optimizer='adagrad' is not possible"),
        ({"optimizer": 3}, [0, 1] * 6, TypeError, "optimizer=3 is a int"),
        ({"head": nn.Linear(3, 2)}, [0, 1] * 6, TypeError, "is of type Linear. Pass 'linear', 'mlp'"),
        ({"pooling": ["avg"]}, [0, 1] * 6, TypeError, r"pooling=\['avg'\] is a list"),
        ({"label_smoothing": 2}, [0, 1] * 6, ValueError, "label_smoothing=2 must be at least 0 and at most 1"),
        (
            {"strategy": "full", "freeze_batchnorm": False, "batch_size": 1},
            [0, 1] * 6,
            ValueError,
            "batch_size=1 with 12 rows to train on gives batches of one image",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_what_can(params, y, error, message, digits):
    with pytest.raises(error, match=message):
        _classifier(**params).fit(digits.X[:12], y)


def test_numbers_that_are_none_are_refused(digits):
    with pytest.raises(ValueError, match="Input y contains NaN"):
        FineTuneRegressor("tiny", **QUICK).fit(digits.X[:2], [np.nan, 1.0])


def test_a_loss_that_is_no_number_stops_the_training_with_epoch_and_rate(digits):
    class Explode(nn.Linear):
        def forward(self, features):
            return super().forward(features) * (float("nan") if self.training else 1)

    model = _classifier(strategy="frozen", head=Explode, lr=0.5, schedule="constant")
    with pytest.raises(TrainingError, match=r"the loss became nan in epoch 1, at a rate of 0.5"):
        model.fit(digits.X[:12], digits.y[:12] % 2)
    assert not hasattr(model, "n_iter_")


@pytest.mark.parametrize("kind", [FineTuneClassifier, DANNClassifier])
def test_a_class_none_of_whose_images_can_be_read_is_named(kind, digits):
    X = [*digits.X[:30], *["no such image.png"] * 3]
    labels = np.array([*(["ant", "bee"] * 15), *["cat"] * 3])
    small = {"domain_head": (8,), "bottleneck": 8} if kind is DANNClassifier else {}
    model = kind("tiny", strategy="frozen", max_epochs=1, on_error="nan", random_state=0, **small)
    if kind is DANNClassifier:
        X, labels = [*X, *digits.X[30:40]], np.array([*labels, *["?"] * 10])
        model.set_params(unlabeled="?")
    with pytest.warns(ImageWarning, match="no image of the class 'cat' can be read"):
        model.fit(X, labels)
    assert model.classes_.tolist() == ["ant", "bee", "cat"]
