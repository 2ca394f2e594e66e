"""A student that learns from a better network, and refuses a worse one."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sktransfer import (
    DeepFeatureTransformer,
    DistilledFeatureTransformer,
    LabeledFold,
    NeighborSelfTrainingClassifier,
)
from sktransfer.exceptions import TeacherWarning, WorseTeacherError
from sktransfer.training import unfinished
from sktransfer.training.batchnorm_statistics import renew_statistics
from sktransfer.training.targets.vectors import VectorTarget
from sktransfer.unlabelled.map_views import cut_maps

SMALL = {"image_size": 32, "precision": "float32", "random_state": 0, "max_epochs": 3}


@pytest.fixture(scope="module")
def images(digits):
    """Three hundred images, of which sixty have a label, and two hundred to test on."""
    few = np.where(np.arange(300) < 60, digits.y[:300], -1)
    return digits.X[:300], few, digits.X[300:500], digits.y[300:500]


def student(**parameters):
    """A student that knows nothing, whose teacher is the network that ships with the package."""
    return DistilledFeatureTransformer(
        "tiny", **{"weights": "random", "teacher": "tiny", **SMALL, **parameters}
    )


@pytest.fixture(scope="module")
def learned(images):
    learns = {"n_trainable": 2, "lr": 0.003, "backbone_lr": 0.003, "batch_size": 32}
    return student(max_epochs=6, augmentation=None, **learns).fit(*images[:2])


def probe(features, X, y, X_test, y_test):
    head = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    head.fit(features.transform(X[y >= 0]), y[y >= 0])
    return head.score(features.transform(X_test), y_test)


def test_a_student_becomes_better_by_a_better_teacher(images, learned):
    start = DeepFeatureTransformer("tiny", weights="random", image_size=32, random_state=0)
    assert probe(learned, *images) > probe(start.fit(images[0]), *images) + 0.03
    assert learned.teacher_score_ > learned.student_score_
    assert learned.history_[-1]["train_loss"] < learned.history_[0]["train_loss"]
    assert learned.trunk_ == "maps"


def test_a_worse_teacher_is_refused_with_both_figures(images):
    X, few, _, _ = images
    raw = DeepFeatureTransformer("tiny", weights="random", image_size=32, random_state=0)
    worse = student(weights="default", teacher=raw)
    with pytest.raises(WorseTeacherError, match=r"accuracy 0\.\d{3} and 0\.\d{3} over folds of 60"):
        worse.fit(X, few)
    assert not hasattr(worse, "history_")
    worse.set_params(check_teacher=False, max_epochs=1).fit(X, few)
    assert worse.teacher_score_ is None


@pytest.mark.parametrize(
    ("y", "reason"),
    [(None, "without labels"), (np.r_[0, 1, np.full(38, -1)], "without two classes of two labels")],
)
def test_without_labels_a_warning_says_that_the_teacher_could_not_be_checked(images, y, reason):
    with pytest.warns(TeacherWarning, match=reason):
        model = student(max_epochs=1).fit(images[0][:40], y)
    assert (model.teacher_score_, model.student_score_) == (None, None)


def test_labels_are_not_learned_from(images):
    X, few, X_test, _ = images
    one = student(max_epochs=1).fit(X[:100], few[:100]).transform(X_test[:20])
    same = student(max_epochs=1, check_teacher=False).fit(X[:100]).transform(X_test[:20])
    np.testing.assert_array_equal(one, same)


def test_its_weights_are_those_of_any_other_class(images, learned, tmp_path):
    learned.save_weights(tmp_path / "mine.safetensors")
    again = DeepFeatureTransformer(
        "tiny", weights=tmp_path / "mine.safetensors", image_size=32, precision="float32"
    ).fit(images[2])
    np.testing.assert_allclose(
        again.transform(images[2]), learned.transform(images[2]), rtol=1e-4, atol=1e-5
    )
    assert list(again.get_feature_names_out()) == list(learned.get_feature_names_out())
    with pytest.raises(ValueError, match=r"must end in \.safetensors"):
        learned.save_weights(tmp_path / "mine.pth")


def test_a_copy_and_a_pickle_give_the_same_features(images, learned):
    X = images[2][:20]
    again = pickle.loads(pickle.dumps(learned))
    np.testing.assert_array_equal(again.transform(X), learned.transform(X))
    model = student(max_epochs=1, check_teacher=False)
    expected = model.fit_transform(images[0][:40])
    np.testing.assert_array_equal(clone(model).fit_transform(images[0][:40]), expected)


def test_a_mix_of_nothing_learned_keeps_weights_and_renews_statistics(images, learned):
    X = images[0]
    start = student(
        weights="default", mix=0.0, max_epochs=1, check_teacher=False, n_trainable=2
    ).fit(X)
    state = start._trained.network.backbone.state_dict()
    loaded = DeepFeatureTransformer("tiny").fit(X)
    first = loaded.backbone_.state_dict()
    changed = {key for key, value in first.items() if not torch.allclose(value, state[key])}
    assert {key.rpartition(".")[2] for key in changed} <= {
        "running_mean", "running_var", "num_batches_tracked",
    }  # fmt: skip
    assert all(key.startswith(("layer3", "layer4")) for key in changed)
    assert changed


def test_a_search_runs_every_image_once_through_what_is_frozen(images, batches_run, empty_caches):
    X, few = images[0][:100], images[1][:100]
    pipeline = make_pipeline(
        student(max_epochs=1, check_teacher=False), NeighborSelfTrainingClassifier()
    )
    grid = {"distilledfeaturetransformer__mix": [0.0, 1.0]}
    folds = LabeledFold(2, random_state=0)
    GridSearchCV(
        pipeline, grid, cv=folds, refit=False, scoring="accuracy", error_score="raise"
    ).fit(X, few)
    once = 2 * len(X)  # through the teacher, and through the student's frozen stages
    tuned = 2 * 2 * (len(X) + 60 // 2)  # training and test rows, through each student that learned
    assert sum(batches_run) <= once + tuned


def test_images_that_cannot_be_read_are_left_out(images):
    X = [*images[0][:40], b"no image"]
    with pytest.warns(TeacherWarning):
        model = student(on_error="nan", max_epochs=1, image_size=32).fit(X)
    assert model.failed_ == [40]
    assert np.isnan(model.transform(X)[40]).all()
    assert np.isfinite(model.transform(X)[:40]).all()


def test_one_image_is_refused(images):
    with pytest.raises(ValueError, match=r"X has 1 image to learn from \(n_samples=1\)"):
        student().fit(images[0][:1])


@pytest.fixture
def interrupted(images, tmp_path, monkeypatch):
    """A student of a hundred images, whose fit was interrupted after its second epoch."""
    monkeypatch.setattr(unfinished, "_EVERY_S", 0)
    settings = {"early_stopping": True, "warmup_epochs": 1, "check_teacher": False}
    model = student(max_epochs=4, cache=tmp_path, **settings)
    with monkeypatch.context() as patch:

        def interrupt(keeper, net, **which):
            written(keeper, net, **which)
            if len(net.history) == 2:
                raise KeyboardInterrupt

        written = unfinished.Unfinished.on_epoch_end
        patch.setattr(unfinished.Unfinished, "on_epoch_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            model.fit(images[0][:100])
    return model


def test_an_interrupted_fit_goes_on_to_the_same_features(images, interrupted, tmp_path):
    X = images[0][:100]
    (state,) = tmp_path.glob("training-*.pt")
    expected = clone(interrupted).set_params(cache=None).fit(X)
    again = interrupted.fit(X)
    np.testing.assert_array_equal(again.transform(X), expected.transform(X))
    losses = [[row["valid_loss"] for row in model.history_] for model in (again, expected)]
    assert losses[0] == losses[1]
    assert not state.exists()


def test_what_was_kept_is_of_one_training_only(images, interrupted, tmp_path):
    (state,) = tmp_path.glob("training-*.pt")
    clone(interrupted).set_params(lr=0.002).fit(images[0][:100])
    clone(interrupted).set_params(random_state=1).fit(images[0][:100])
    assert list(tmp_path.glob("training-*.pt")) == [state]
    state.write_bytes(b"no state")
    assert interrupted.fit(images[0][:100]).n_iter_ == 4
    assert not list(tmp_path.glob("training-*.pt"))


def test_the_loss_is_zero_where_directions_and_similarities_are_the_teachers():
    vectors = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    target = VectorTarget.of(vectors)
    encoded = torch.from_numpy(target.encode(vectors))
    alike = torch.cat([encoded, 3 * encoded], 1)
    torch.testing.assert_close(target.row_losses(alike, encoded), torch.zeros(6), atol=1e-5, rtol=0)
    assert target.quality(alike.numpy(), encoded.numpy()) == pytest.approx(1)
    opposite = torch.cat([encoded, -encoded], 1)
    torch.testing.assert_close(target.row_losses(opposite, encoded), torch.full((6,), 2.0))
    np.testing.assert_allclose(target.restore(encoded.numpy()), vectors, atol=1e-5)


def test_views_of_maps_are_parts_of_them_mirrored_or_not():
    maps = torch.arange(4 * 64).reshape(4, 1, 8, 8)
    generator = torch.Generator().manual_seed(0)
    sizes = set()
    for _ in range(20):
        views = cut_maps(maps, generator)
        sizes.add(views.shape[2])
        steps = views[:, 0, 0, 1] - views[:, 0, 0, 0]
        assert set(steps.tolist()) <= {1, -1}
        assert set(views[2].flatten().tolist()) <= set(maps[2].flatten().tolist())
    assert sizes == {5, 6, 8}


def test_statistics_are_those_of_all_batches_and_only_of_what_trains():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.frozen, self.trained = nn.BatchNorm1d(1), nn.BatchNorm1d(1)

        def train(self, mode=True):
            super().train(mode)
            self.frozen.eval()
            return self

        def features(self, x):
            return self.trained(self.frozen(x))

    network = Two()
    network.frozen.eps = 0.0
    rows = torch.arange(8.0)[:, None]
    renew_statistics(network, [rows[:4], rows[4:]])
    assert network.trained.running_mean.item() == pytest.approx(3.5)
    assert network.frozen.running_mean.item() == 0
    assert network.trained.momentum == 0.1
    assert not network.trained.training
