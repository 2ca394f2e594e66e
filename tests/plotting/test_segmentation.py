"""Masks drawn over their images."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from sktransfer import PixelClassifier, SegmentationDisplay
from sktransfer.datasets import load_digit_masks
from sktransfer.plotting.canvas import CYCLE


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def data():
    return load_digit_masks()


def shown(display, row, column):
    return display.axes_[row, column].images[0].get_array()


def test_pixels_of_a_label_have_its_colour_and_those_that_count_nowhere_stay():
    image = np.full((4, 6, 3), 100, np.uint8)
    mask = np.zeros((4, 6), int)
    mask[:2], mask[3] = 7, -1
    display = SegmentationDisplay.from_predictions([image], [mask])
    assert display.classes_.tolist() == [0, 7]
    for label, color in zip((0, 7), CYCLE, strict=False):
        expected = np.rint(0.4 * 100 + 0.6 * 255 * np.array(to_rgb(color)))
        assert (shown(display, 1, 0)[mask == label] == expected).all()
    assert (shown(display, 1, 0)[mask == -1] == 100).all()
    assert (shown(display, 0, 0) == image).all()
    names = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert names == ["0", "7"]


def test_an_estimator_is_shown_beside_the_truth(data):
    model = PixelClassifier(backbone="tiny", n_pixels=50, random_state=0)
    model.fit(data.X[:12], data.y[:12])
    display = SegmentationDisplay.from_estimator(model, data.X[12:15], data.y[12:15])
    assert display.axes_.shape == (3, 3)
    titles = [axes[0].get_title(loc="left") for axes in display.axes_]
    assert titles == ["image", "predicted", "true"]
    np.testing.assert_array_equal(np.stack(display.predicted), model.predict(data.X[12:15]))


def test_it_is_drawn_inside_axes_that_are_there_and_can_be_drawn_again(data):
    ax = plt.subplots(1, 2)[1][1]
    display = SegmentationDisplay.from_predictions(data.X[:2], data.y[:2], ax=ax)
    assert display.ax_ is ax
    again = display.plot()
    assert again is display
    assert display.ax_ is not ax


def test_masks_that_do_not_fit_are_refused(data):
    with pytest.raises(ValueError, match="X has 2 images and predicted 1 masks"):
        SegmentationDisplay.from_predictions(data.X[:2], data.y[:1])
    with pytest.raises(ValueError, match=r"mask 1 of y has 64 x 60 pixels .* its image 64 x 64"):
        SegmentationDisplay.from_predictions(data.X[:2], data.y[:2], [data.y[0], data.y[1][:, :60]])
