"""What users of other packages for masks complain of, where no other test of this room says it."""

import re
import warnings

import numpy as np
import pytest
import torch
from joblib import parallel_config
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import cross_val_predict

from sktransfer import FineTuneSegmenter, MaskScorer, PixelClassifier
from sktransfer.datasets import load_digit_masks
from sktransfer.exceptions import OneClassWarning
from sktransfer.segmentation.mask_rows import sampled_mask
from sktransfer.segmentation.masks import as_mask_sequence


@pytest.fixture(scope="module")
def data():
    return load_digit_masks()


def _model(**parameters):
    settings = {"strategy": "frozen", "max_epochs": 1, "random_state": 0} | parameters
    return FineTuneSegmenter("tiny", **settings)


def test_a_line_of_one_pixel_in_a_mask_is_sampled_where_it_is():
    mask = np.zeros((40, 40), np.uint8)
    mask[:, 20] = 1
    assert sampled_mask(mask, (40, 40), 4).nonzero()[1].tolist() == [5] * 10
    assert sampled_mask(mask, (80, 80), 1)[0].nonzero()[0].tolist() == [40, 41]


@pytest.mark.parametrize("strategy", ["frozen", "partial"])
def test_statistics_of_frozen_normalisation_do_not_drift(data, strategy):
    model = _model(strategy=strategy, augmentation="light").fit(data.X[:8], data.y[:8])
    before = _model(max_epochs=1, lr=1e-9).fit(data.X[8:16], data.y[8:16])._network
    for name, values in model._network.backbone.named_buffers():
        assert torch.equal(values, before.backbone.get_buffer(name)), name


def test_grey_images_are_labelled_as_their_colour_copies(data):
    grey = data.X[:8, :, :, 0]
    colour = np.repeat(grey[..., None], 3, 3)
    model = _model().fit(grey, data.y[:8])
    assert np.array_equal(model.predict(grey[:2]), model.predict(colour[:2]))


def test_scores_do_not_depend_on_how_images_are_batched(data):
    model = PixelClassifier(backbone="tiny", random_state=0).fit(data.X[:8], data.y[:8])
    one = model.score(data.X[8:16], data.y[8:16])
    assert model.set_params(batch_size=3).score(data.X[8:16], data.y[8:16]) == pytest.approx(one)


def test_masks_are_read_one_at_a_time():
    read = []

    class Masks(list):
        def __getitem__(self, row):
            read.append(row)
            return super().__getitem__(row)

    masks = as_mask_sequence(Masks([np.zeros((2, 2), int)] * 5))
    read.clear()
    masks.read(3)
    assert set(read) == {3}


def test_two_processes_predict_what_one_does(data):
    model = PixelClassifier(backbone="tiny", n_pixels=30, random_state=0)
    X, y = list(data.X[:16]), list(data.y[:16])
    one = cross_val_predict(model, X, y, cv=2)
    with parallel_config("multiprocessing"):
        two = cross_val_predict(model, X, y, cv=2, n_jobs=2)
    assert all(np.array_equal(*pair) for pair in zip(one, two, strict=True))


def test_a_mask_of_background_alone_has_an_iou_far_below_its_accuracy(data):
    nothing = np.zeros_like(data.y)
    assert MaskScorer("accuracy").measure(data.y, nothing) > 0.75
    assert MaskScorer().measure(data.y, nothing) < 0.25


def test_an_object_of_a_hundredth_of_the_pixels_is_found():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 90, (16, 64, 64, 3), np.uint8)
    y = np.zeros((16, 64, 64), np.uint8)
    for image, mask in zip(X, y, strict=True):
        top, left = rng.integers(4, 54, 2)
        image[top : top + 6, left : left + 6] = 220
        mask[top : top + 6, left : left + 6] = 255
    model = _model(max_epochs=12, lr=1e-2, early_stopping=False).fit(X[:12], y[:12])
    assert MaskScorer(label=255)(model, X[12:], y[12:]) > 0.3
    assert set(np.unique(model.predict(X[12:])).tolist()) == {0, 255}


@pytest.mark.parametrize(
    ("model", "advice"),
    [
        (_model(lr=1e-9), "class_weight='balanced'"),
        (_model(lr=1e-9, strategy="full"), "class_weight='balanced'"),
        (PixelClassifier(DummyClassifier(), backbone=None), "class_weight='balanced'"),
    ],
)
def test_one_class_that_swallows_all_is_told(data, model, advice):
    y = np.where(data.y[:6] == 0, "nothing", "digit")
    share = 1 - np.mean(y == "nothing")
    with pytest.warns(OneClassWarning, match="every pixel .* predicted to be 'nothing'") as caught:
        model.fit(data.X[:6], y)
    (message,) = (str(warning.message) for warning in caught)
    assert advice in message
    told = int(re.search(r"though (\d+)% of", message)[1]) / 100
    assert told == pytest.approx(share, abs=0.06)
    assert caught[0].filename == __file__


def test_a_model_that_finds_something_warns_of_nothing(data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PixelClassifier(backbone="tiny", random_state=0).fit(data.X[:8], data.y[:8])


def test_images_of_more_channels_are_refused_with_a_reason(data):
    with pytest.raises(ValueError, match="with 1, 3 or 4 channels"):
        _model().fit(np.zeros((4, 32, 32, 7), np.uint8), data.y[:4, :32, :32])


def test_masks_are_predicted_in_the_size_of_the_image_whatever_size_the_network_sees(data):
    model = _model(image_size=(40, 80)).fit(data.X[:4], data.y[:4])
    assert model.predict(data.X[:2]).shape == (2, 64, 64)
    assert np.isin(model.predict(data.X[:2]), data.y).all()
