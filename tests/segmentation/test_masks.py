import io

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from sktransfer.datasets import load_digit_masks
from sktransfer.exceptions import ImageDecodeError, MaskError
from sktransfer.segmentation import MaskScorer, find_regions
from sktransfer.segmentation.mask_labels import MaskLabels, as_labels, classes_of
from sktransfer.segmentation.masks import as_mask_sequence

MASK = np.array([[0, 255, 255], [0, 0, 7]], np.uint8)


def _png(mask, mode=None):
    image = Image.fromarray(mask)
    if mode == "P":
        image.putpalette(list(range(256)) * 3)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda m: np.stack([m, m]),
        lambda m: [m, m.astype(np.int64)],
        lambda m: [m.tolist(), m.tolist()],
        lambda m: torch.from_numpy(np.stack([m, m])),
        lambda m: np.stack([m, m])[..., None],
        lambda m: [Image.fromarray(m), m],
        lambda m: [_png(m), _png(m, "P")],
        lambda m: pd.Series([_png(m), m]),
        lambda m: [m.astype(float), m],
    ],
)
def test_a_mask_is_the_same_in_any_container(wrap):
    masks = as_mask_sequence(wrap(MASK))
    assert [masks.read(row).tolist() for row in range(2)] == [MASK.tolist()] * 2


def test_flattened_rows_take_the_layout_of_the_images():
    masks = as_mask_sequence(MASK.reshape(1, -1), image_shape=(2, 3, 3))
    assert masks.read(0).tolist() == MASK.tolist()


def test_a_missing_file_names_row_path_and_cure(tmp_path):
    masks = as_mask_sequence([MASK, str(tmp_path / "lost.png")])
    with pytest.raises(
        ImageDecodeError, match=r"mask 1 of 2 \('.*lost.png'\) does not exist. .*on_error"
    ):
        masks.read(1)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((4, 5, 3)), "mask 0 of 1 has 3 channels .* palette PNG"),
        (np.full((4, 5), 0.5), "mask 0 of 1 holds 0.5, which is no label.*'nearest'"),
        (np.zeros(4), "mask 0 of 1 has the shape"),
        (3, r"mask 0 of 1 has the shape \(\)"),
    ],
)
def test_what_is_no_mask_is_refused(mask, message):
    with pytest.raises(MaskError, match=message):
        as_mask_sequence([mask]).read(0)


def test_a_jpeg_is_no_mask(tmp_path):
    path = tmp_path / "mask.jpg"
    Image.fromarray(MASK).save(path)
    with pytest.raises(MaskError, match=r"mask.jpg'\) is a JPEG"):
        as_mask_sequence([path]).read(0)


def test_one_mask_goes_in_a_list():
    with pytest.raises(TypeError, match="Pass a list with one mask"):
        as_mask_sequence("mask.png")


def test_labels_with_gaps_and_names_come_back_as_they_were():
    for mask in (MASK.astype(np.int64), np.array([["road", "car"], ["car", "sky"]])):
        labels = MaskLabels(classes_of([mask], as_labels(-1)), as_labels(-1))
        assert labels.decode(labels.encode(mask)).tolist() == mask.tolist()


def test_a_label_that_was_never_fitted_is_named_with_its_row():
    labels = MaskLabels(np.array([0, 1]), as_labels(-1))
    with pytest.raises(MaskError, match=r"mask 3 holds the label 7, .*unlabeled"):
        labels.encode(MASK[1:, 2:], "mask 3")


class _Fixed:
    """Predicts the masks that it was given, row by row."""

    def __init__(self, masks):
        self.masks = masks

    def predict(self, X):
        return [self.masks[int(row)] for row in X]


def test_scores_are_counted_over_the_data_set_and_absent_classes_left_out():
    true = [np.array([[0, 0, 0, 0]]), np.array([[0, 1, 1, 1]])]
    predicted = [np.array([[0, 0, 0, 1]]), np.array([[0, 1, 1, 1]])]
    model, rows = _Fixed(predicted), np.arange(2)
    assert MaskScorer()(model, rows, true) == pytest.approx((4 / 5 + 3 / 4) / 2)
    assert MaskScorer(label=1)(model, rows, true) == pytest.approx(3 / 4)
    assert MaskScorer("dice", label=1)(model, rows, true) == pytest.approx(6 / 7)
    assert MaskScorer("accuracy")(model, rows, true) == pytest.approx(7 / 8)
    assert MaskScorer(per_image=True)(model, rows, true) == pytest.approx(((3 / 4 + 0) / 2 + 1) / 2)


@pytest.mark.parametrize("method", ["iou", "dice", "accuracy", "boundary_f"])
def test_predictions_under_unlabeled_pixels_never_matter(method):
    rng = np.random.default_rng(0)
    true, one = rng.integers(0, 3, (2, 2, 9, 9))
    hidden = rng.random(true.shape) < 0.4
    true[hidden] = 255
    other = np.where(hidden, rng.integers(0, 3, one.shape), one)
    scorer = MaskScorer(method, unlabeled=[255, -1])
    if method == "boundary_f":  # outlines reach over the edge of what is labelled
        other = one
    assert scorer.measure(true, one) == scorer.measure(true, other)


def test_jaccard_is_that_of_scikit_learn():
    from sklearn.metrics import jaccard_score

    true, predicted = np.random.default_rng(1).integers(0, 4, (2, 3, 8, 8))
    expected = jaccard_score(true.ravel(), predicted.ravel(), average="macro")
    assert MaskScorer().measure(true, predicted) == pytest.approx(expected)


def test_an_outline_one_pixel_off_counts_and_a_shifted_one_does_not():
    true = np.zeros((1, 60, 60), int)
    true[0, 20:40, 20:40] = 1
    near, far = np.roll(true, 1, 2), np.roll(true, 12, 2)
    scorer = MaskScorer("boundary_f", label=1)
    assert scorer.measure(true, near) > 0.95
    assert scorer.measure(true, far) < 0.6


def test_masks_without_a_counted_pixel_have_no_score():
    with pytest.raises(MaskError, match=r"no pixel counts.*unlabeled=-1"):
        MaskScorer().measure(np.full((1, 2, 2), -1), np.zeros((1, 2, 2), int))


def test_a_prediction_of_another_size_is_refused():
    with pytest.raises(MaskError, match=r"mask 0 of 1 has the shape \(2, 3\), .*\(3, 2\)"):
        MaskScorer().measure([MASK], [MASK.T])


def test_regions_are_boxes_with_area_and_mean_probability():
    mask = np.zeros((10, 12), int)
    mask[2:5, 3:7] = 4
    mask[8, 8] = 4
    probabilities = np.zeros((10, 12, 2))
    probabilities[..., 1] = np.where(mask, 0.75, 0.5)
    found = find_regions([mask], probabilities=[probabilities], labels=[4], min_pixels=2)
    assert found.values.tolist() == [[0, 4, 2, 3, 5, 7, 12, 0.75]]
    assert len(find_regions([mask], labels=4)) == 2
    assert find_regions([mask], labels=9).columns.tolist() == found.columns.tolist()


def test_digit_masks_are_where_the_digits_are():
    masks = load_digit_masks()
    again = load_digit_masks()
    assert (masks.X == again.X).all()
    assert set(np.unique(masks.groups)) == {0, 1}
    # a digit is of one colour, so that within a region colours vary less than around it
    inside = [
        np.std(x[m == 1], 0).mean()
        for x, m in zip(masks.X, masks.y, strict=True)
        if (m == 1).sum() > 50
    ]
    outside = [np.std(x[m == 0], 0).mean() for x, m in zip(masks.X, masks.y, strict=True)]
    assert np.median(inside) < np.median(outside)
