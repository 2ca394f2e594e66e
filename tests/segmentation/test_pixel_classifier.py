import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV

from sktransfer import MaskScorer, PixelClassifier
from sktransfer.datasets import load_digit_masks
from sktransfer.exceptions import MaskError
from sktransfer.segmentation.pixel_classifier import _at


@pytest.fixture(scope="module")
def data():
    return load_digit_masks()


@pytest.fixture(scope="module")
def fitted(data):
    return PixelClassifier(backbone="tiny", n_pixels=100, random_state=0).fit(
        data.X[:40], data.y[:40]
    )


def test_frozen_features_tell_digits_from_photographs(fitted, data):
    everything_is_background = MaskScorer().measure(data.y[40:60], np.zeros_like(data.y[40:60]))
    assert fitted.score(data.X[40:60], data.y[40:60]) > everything_is_background + 0.1
    assert fitted.n_pixels_ == 4000


def test_scores_at_each_stride_are_those_of_the_features_of_every_pixel(fitted, data):
    image = data.X[50][:37]
    places = np.unravel_index(np.arange(37 * 64), (37, 64))
    expected = fitted.estimator_.predict_proba(_at(fitted._levels([image])[0], places))
    expected = expected.reshape(37, 64, -1)
    assert np.allclose(fitted.predict_proba([image])[0], expected, atol=1e-3)


def test_a_forest_on_hand_made_features_needs_no_network(data):
    forest = RandomForestClassifier(10, random_state=0)
    model = PixelClassifier(forest, backbone=None, n_pixels=50).fit(data.X[:10], data.y[:10])
    found = model.predict([data.X[11], data.X[12][:20]])
    assert [mask.shape for mask in found] == [(64, 64), (20, 64)]


def test_scribbles_are_masks_that_are_mostly_unlabeled(data):
    y = data.y[:20].astype(int)
    scribbles = np.where(np.random.default_rng(0).random(y.shape) < 0.05, y, -1)
    model = PixelClassifier(backbone="tiny", random_state=0).fit(data.X[:20], scribbles)
    assert model.classes_.tolist() == [0, 1, 2, 3]
    assert model.n_pixels_ <= (scribbles != -1).sum()


def test_copies_agree_and_parameters_of_the_classifier_are_searched(fitted, data):
    back = pickle.loads(pickle.dumps(fitted))
    again = clone(fitted).fit(data.X[:40], data.y[:40])
    expected = fitted.predict(data.X[40:42])
    assert np.array_equal(back.predict(data.X[40:42]), expected)
    assert np.array_equal(again.predict(data.X[40:42]), expected)
    forest = PixelClassifier(
        RandomForestClassifier(3, random_state=0), backbone="tiny", n_pixels=20
    )
    search = GridSearchCV(forest, {"estimator__max_depth": [2, 4]}, cv=2, error_score="raise")
    search.fit(data.X[:16], data.y[:16])
    assert search.best_params_["estimator__max_depth"] in (2, 4)


def test_a_mask_of_another_size_is_refused(data):
    with pytest.raises(MaskError, match="mask 0 of 1 has 64 x 60 pixels"):
        PixelClassifier(backbone="tiny").fit(data.X[:1], [data.y[0][:, :60]])
