import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict, cross_val_score
from torch import nn

from sktransfer import FineTuneSegmenter, MaskScorer
from sktransfer.backbones import load_backbone
from sktransfer.datasets import load_digit_masks
from sktransfer.exceptions import ImageDecodeError, ImageWarning, MaskError
from sktransfer.segmentation.decoders import DECODERS, make_decoder
from sktransfer.segmentation.grids import Grid, layer_grids, resample
from sktransfer.segmentation.mask_batches import JointJitter
from sktransfer.training import arrays
from sktransfer.training.targets.masks import LOSSES, MaskTarget


@pytest.fixture(scope="module")
def data():
    return load_digit_masks()


def _model(**parameters):
    settings = {"strategy": "frozen", "max_epochs": 1, "random_state": 0} | parameters
    return FineTuneSegmenter("tiny", **settings)


@pytest.fixture(scope="module")
def fitted(data):
    return _model(max_epochs=2).fit(data.X[:24], data.y[:24])


@pytest.mark.parametrize(
    ("backbone", "grids"),
    [
        ("mobilenet_v2", [Grid(2.0, 0.0), Grid(32.0, 0.0)]),
        ("squeezenet1_1", [Grid(4.0, 2.0), Grid(16.0, 8.0)]),
    ],
)
def test_cells_are_placed_where_they_lie(backbone, grids):
    loaded = load_backbone(backbone, "random", random_state=0)
    paths = [loaded.spec.stages[stage].modules[-1] for stage in (0, -1)]
    found = layer_grids(loaded.module, loaded.spec, paths)
    assert [grid.stride for grid in found] == [grid.stride for grid in grids]
    if backbone == "mobilenet_v2":
        assert found == grids


def test_a_line_of_one_pixel_is_resampled_in_place():
    cells = torch.zeros(1, 1, 1, 8)
    cells[..., 3] = 1
    placed = resample(cells, Grid(4.0), Grid(1.0), (1, 30))
    assert placed.argmax().item() == 12
    assert placed[0, 0, 0, 10].item() == pytest.approx(0.5)


@pytest.mark.parametrize("head", DECODERS)
def test_every_decoder_scores_maps_of_odd_sizes(head):
    grids = [Grid(4.0), Grid(8.0), Grid(16.0)]
    maps = [torch.zeros(1, 8, n, n + 1) for n in (9, 5, 3)]
    scores = make_decoder(head, [8, 8, 8], grids, 5)(maps)
    assert scores.shape[:2] == (1, 5)


def test_a_head_of_ones_own_is_trained(data):
    class Own(nn.Module):
        def __init__(self, width, n_out):
            super().__init__()
            self.score = nn.Conv2d(width, n_out, 1)

        def forward(self, maps):
            return self.score(maps[0])

    model = _model(head=lambda widths, strides, n_out: Own(widths[0], n_out))
    assert model.fit(data.X[:8], data.y[:8]).predict(data.X[:1]).shape == (1, 64, 64)


@pytest.mark.parametrize("size", [(1, 1), (7, 50), (33, 65)])
def test_masks_come_back_in_the_size_of_any_image(fitted, size):
    image = np.zeros((*size, 3), np.uint8)
    found = fitted.predict([image])
    assert found.shape == (1,)
    assert found[0].shape == size
    assert fitted.predict_proba([image])[0].shape == (*size, 4)


def test_images_of_several_sizes_train_together(data):
    X = [data.X[0], data.X[1][:40], data.X[2][:, :50], data.X[3]]
    y = [data.y[0], data.y[1][:40], data.y[2][:, :50], data.y[3]]
    found = _model(image_size=48).fit(X, y).predict(X)
    assert [mask.shape for mask in found] == [mask.shape for mask in y]


@pytest.mark.parametrize(
    "labels", [[0, 5, 9, 255], [0, -7, 3, 1000], ["no", "zero", "one", "seven"]]
)
def test_predictions_are_in_the_labels_of_the_user(data, labels):
    y = np.array(labels)[data.y[:8]]
    model = _model(unlabeled=-1)
    if 255 in labels:
        with pytest.warns(ImageWarning, match="255 is one of the classes"):
            model.fit(data.X[:8], y)
    else:
        model.fit(data.X[:8], y)
    assert model.classes_.tolist() == sorted(labels)
    assert set(np.unique(model.predict(data.X[:2]))) <= set(labels)


def test_images_under_unlabeled_pixels_train_as_if_they_had_any_label(data):
    y = data.y[:8].astype(np.int64)
    hidden = np.random.default_rng(0).random(y.shape) < 0.5
    masks = [np.where(hidden, other, y) for other in (-1, 99)]
    found = [
        _model(unlabeled=[-1, 99], class_weight="balanced")
        .fit(data.X[:8], m)
        .predict_proba(data.X[8:10])
        for m in masks
    ]
    assert np.array_equal(*found)


def test_paths_of_images_and_masks_are_cross_validated(data, tmp_path):
    for row in range(3):
        Image.fromarray(data.X[row]).save(tmp_path / f"{row}.png")
        Image.fromarray(data.y[row]).save(tmp_path / f"mask{row}.png")
    X = [str(tmp_path / f"{row % 3}.png") for row in range(6)]  # so that every fold has all labels
    y = [str(tmp_path / f"mask{row % 3}.png") for row in range(6)]
    model = _model()
    assert not is_classifier(model)
    scores = cross_val_score(model, X, y, cv=2, scoring=MaskScorer())
    assert np.isfinite(scores).all()
    found = cross_val_predict(model, X, y, cv=2)
    assert [mask.shape for mask in found] == [(64, 64)] * 6


def test_a_search_by_groups_over_heads(data):
    search = GridSearchCV(
        _model(),
        {"head": ["fcn32s", "fcn8s"]},
        cv=GroupKFold(2),
        scoring=MaskScorer(),
        error_score="raise",
    )
    search.fit(data.X[:12], data.y[:12], groups=data.groups[:12])
    assert search.best_params_["head"] in ("fcn32s", "fcn8s")


def test_a_clone_gives_the_same_and_so_does_a_pickle(fitted, data):
    again = clone(fitted).fit(data.X[:24], data.y[:24])
    back = pickle.loads(pickle.dumps(fitted))
    expected = fitted.predict_proba(data.X[24:26])
    assert np.array_equal(again.predict_proba(data.X[24:26]), expected)
    assert np.array_equal(back.predict_proba(data.X[24:26]), expected)


def test_frozen_maps_run_once_for_all_heads(data, batches_run):
    X = data.X[:8] // 2
    model = _model(head="fpn").fit(X, data.y[:8])
    assert model.trunk_ == "maps"
    n_calls = len(batches_run)
    assert n_calls
    clone(model).set_params(head="unet", lr=1e-2).fit(X, data.y[:8])
    clone(model).set_params(loss="ce").fit(X, data.y[:8])
    assert len(batches_run) <= 2 * n_calls  # unet takes one finer map


@pytest.mark.parametrize("strategy", ["partial", "full", "scratch"])
def test_every_strategy_trains(data, strategy):
    model = _model(strategy=strategy).fit(data.X[:8], data.y[:8])
    assert model.trunk_ == ("maps" if strategy == "partial" else "pixels")
    assert 0 <= model.score(data.X[:4], data.y[:4]) <= 1


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_fall_towards_the_truth_and_ignore_what_counts_nowhere(loss):
    target = MaskTarget(np.arange(3), lambda scores, _: scores, loss)
    codes = torch.tensor([[[0, 1], [2, 3]]])
    right = torch.nn.functional.one_hot(codes.clamp(max=2), 3).movedim(-1, 1) * 9.0
    assert target.row_losses(right, codes).sum() < target.row_losses(-right, codes).sum()
    changed = right.clone()
    changed[:, :, 1, 1] = torch.tensor([5.0, -3.0, 2.0])
    assert target.row_losses(changed, codes).equal(target.row_losses(right, codes))


def test_image_and_mask_move_together():
    # the image shows its own mask, so that they still agree after any move
    codes = np.zeros((40, 50), np.uint8)
    codes[10:30, 20:40] = 1
    pixels = np.repeat(codes[..., None] * 200, 3, 2).astype(np.uint8)
    jitter = JointJitter(32, 1, 2, colour=0.0)
    images, labels = jitter([pixels] * 8, [codes] * 8, torch.Generator().manual_seed(0))
    shown = (images[..., 0] > 100).long()
    counted = labels < 2
    assert (shown == labels)[counted].float().mean() > 0.97
    assert set(labels.unique().tolist()) <= {0, 1, 2}


def test_a_transform_of_torchvision_augments_both(data):
    from torchvision.transforms import v2

    model = _model(augmentation=v2.RandomHorizontalFlip(1.0)).fit(data.X[:4], data.y[:4])
    assert model.trunk_ == "pixels"


def test_bad_masks_are_named_by_row_path_and_cure(data, tmp_path):
    model, X = _model(), list(data.X[:3])
    with pytest.raises(
        MaskError, match=r"mask 1 of 3 has 64 x 60 .* image 1 of 3 has 64 x 64.*nearest"
    ):
        model.fit(X, [data.y[0], data.y[1][:, :60], data.y[2]])
    with pytest.raises(MaskError, match=r"mask 2 of 3 has 3 channels"):
        model.fit(X, [data.y[0], data.y[1], data.X[2]])
    with pytest.raises(ImageDecodeError, match=r"mask 0 of 3 \('.*lost.png'\) does not exist"):
        model.fit(X, [tmp_path / "lost.png", data.y[1], data.y[2]])
    with pytest.raises(MaskError, match="no labelled pixel; the first is mask 0 of 3"):
        model.fit(X, np.full((3, 64, 64), -1))
    with pytest.raises(ValueError, match="3 images and 2 masks"):
        model.fit(X, data.y[:2])
    with pytest.raises(ValueError, match="head='fnp' is not possible"):
        _model(head="fnp").fit(X, data.y[:3])
    assert not hasattr(model, "n_iter_")


def test_a_lost_mask_is_left_out_if_that_is_allowed(data, tmp_path):
    model = _model(on_error="nan").fit(list(data.X[:4]), [tmp_path / "lost.png", *data.y[1:4]])
    assert model.failed_ == [0]


def test_a_label_that_was_not_fitted_cannot_be_scored(fitted, data):
    with pytest.raises(MaskError, match=r"mask 0 of 1 holds the label 9, .*unlabeled"):
        fitted.score(data.X[:1], np.full((1, 64, 64), 9))


def test_transformers_without_a_pyramid_are_refused(data):
    model = FineTuneSegmenter("vit_b_16", weights="random", strategy="frozen", random_state=0)
    with pytest.raises(ValueError, match="tokens of one size instead of a pyramid"):
        model.fit(data.X[:2], data.y[:2])


@pytest.mark.parametrize("strategy", ["frozen", "full"])
def test_what_memory_does_not_hold_is_trained_from_a_file(data, strategy, monkeypatch):
    expected = _model(strategy=strategy).fit(data.X[:8], data.y[:8]).predict_proba(data.X[8:10])
    monkeypatch.setattr(arrays, "MAX_BYTES_IN_MEMORY", 50_000)
    model = _model(strategy=strategy).fit(data.X[:8], data.y[:8])
    assert np.array_equal(model.predict_proba(data.X[8:10]), expected)


def test_a_frozen_network_labels_digits_that_scratch_does_not_in_the_same_time(data):
    # 150 images train, 8 epochs of a frozen network's decoder take as long as one of everything.
    scores = {}
    for strategy, epochs in (("frozen", 8), ("scratch", 1)):
        model = _model(
            strategy=strategy, max_epochs=epochs, lr=1e-2, batch_size=4, early_stopping=False
        )
        model.fit(data.X[:150], data.y[:150])
        scores[strategy] = model.score(data.X[225:265], data.y[225:265])
    assert scores["frozen"] > 0.55
    assert scores["frozen"] - scores["scratch"] > 0.1
