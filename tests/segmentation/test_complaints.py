"""What users of other packages for masks complain of, where no other test of this room says it."""

import numpy as np
import pytest
import torch
from joblib import parallel_config
from sklearn.model_selection import cross_val_predict

from sktransfer import FineTuneSegmenter, MaskScorer, PixelClassifier
from sktransfer.datasets import load_digit_masks
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
