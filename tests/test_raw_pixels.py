import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone

from sktransfer.exceptions import ImageError
from sktransfer.raw_pixels import PixelTransformer


def test_images_of_the_right_size_come_out_pixel_by_pixel():
    X = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)
    rows = PixelTransformer(4).fit_transform(X)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, X.reshape(3, -1) / 255.0, atol=1e-6)


def test_the_same_picture_gives_the_same_row_whatever_it_is_wrapped_in(digits, tmp_path):
    paths = [str(tmp_path / f"{row}.png") for row in range(3)]
    pictures = [Image.fromarray(image) for image in digits.X[:3]]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    expected = PixelTransformer(16).transform(digits.X[:3])
    flat = PixelTransformer(16, image_shape=(8, 8)).transform(digits.X[:3].reshape(3, -1))
    for rows in (
        PixelTransformer(16).transform(pictures),
        PixelTransformer(16).transform(paths),
        flat,
    ):
        np.testing.assert_array_equal(rows, expected)


def test_images_of_any_size_become_rows_of_one_width(digits):
    images = [np.zeros((5, 9, 3), np.uint8), np.full((40, 20, 3), 255, np.uint8)]
    rows = PixelTransformer(6).transform(images)
    assert rows.shape == (2, 108)
    assert (rows[0].max(), rows[1].min()) == (0, 1)


def test_names_say_which_pixel_a_column_is():
    X = np.zeros((1, 2, 2, 3), np.uint8)
    X[0, 1, 0, 2] = 255
    transformer = PixelTransformer(2)
    names = transformer.get_feature_names_out()
    assert names[transformer.transform(X)[0] == 1].tolist() == ["pixel_1_0_blue"]


def test_set_output_gives_a_table_with_these_names(digits):
    table = PixelTransformer(2).set_output(transform="pandas").fit_transform(digits.X[:3])
    assert table.columns[0] == "pixel_0_0_red"
    assert table.shape == (3, 12)


def test_it_clones_without_looking_at_its_parameters():
    transformer = clone(PixelTransformer("large", image_shape="row"))
    assert transformer.get_params() == {"size": "large", "image_shape": "row"}


@pytest.mark.parametrize("size", ["8", 8.0, True, None])
def test_a_size_that_is_no_int_is_refused(digits, size):
    with pytest.raises(TypeError, match=f"size={size!r} must be an int"):
        PixelTransformer(size).fit(digits.X[:2])


def test_a_size_below_one_is_refused(digits):
    with pytest.raises(ValueError, match="size=0 must be at least 1"):
        PixelTransformer(0).fit(digits.X[:2])


def test_what_holds_no_images_is_refused_by_fit():
    with pytest.raises((ImageError, TypeError), match=r"X"):
        PixelTransformer(4).fit({"a": 1})
