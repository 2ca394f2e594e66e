import io
import pickle
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from sktransfer.exceptions import ImageDecodeError, ImageError
from sktransfer.images import as_image_sequence

ORIENTATION = 0x0112


def picture(height=12, width=17, seed=0):
    """Random pixels, so that no flip, shift or change of channels goes unseen."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def photograph(height, width):
    """Smooth colours, which survive a JPEG."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 40), np.cos(y / 60), np.sin((x + y) / 90)]
    return (127.5 + 127 * np.stack(waves, axis=-1)).astype(np.uint8)


def encode(image, fmt="PNG", **options):
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, fmt, **options)
    return buffer.getvalue()


def pixels(X, row=0, **options):
    return np.asarray(as_image_sequence(X, **options).load(row))


class Labelled(torch.utils.data.Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, row):
        return self.items[row], row


class Unlabelled(Labelled):
    def __getitem__(self, row):
        return self.items[row]


def _column(items):
    """An object array of one dimension, also of items that are arrays."""
    column = np.empty(len(items), dtype=object)
    column[:] = items
    return column


def _paths(a, folder):
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{i}.png" for i in range(len(a))]
    for path, image in zip(paths, a, strict=True):
        path.write_bytes(encode(image))
    return paths


def _strings(a, folder):
    return [str(path) for path in _paths(a, folder)]


def _pils(a, folder):
    return [Image.fromarray(image) for image in a]


def _arrow(a, folder):
    pytest.importorskip("pyarrow")
    return pd.Series(_strings(a, folder), dtype="string[pyarrow]")


PIXEL_CONTAINERS = {
    "uint8 array": lambda a, folder: a,
    "channels first": lambda a, folder: a.transpose(0, 3, 1, 2),
    "float64 array": lambda a, folder: a / 255,
    "float32 array": lambda a, folder: (a / 255).astype(np.float32),
    "float16 array": lambda a, folder: (a / 255).astype(np.float16),
    "int64 array": lambda a, folder: a.astype(np.int64),
    "uint16 array": lambda a, folder: a.astype(np.uint16) * 257,
    "uint16 array, lower byte empty": lambda a, folder: a.astype(np.uint16) << 8,
    "opaque RGBA array": lambda a, folder: np.pad(a, [(0, 0)] * 3 + [(0, 1)], constant_values=255),
    "nested lists": lambda a, folder: a.tolist(),
    "object array of numbers": lambda a, folder: a.astype(object),
    "Fortran order": lambda a, folder: np.asfortranarray(a),
    "list of arrays": lambda a, folder: list(a),
    "tuple of arrays": lambda a, folder: tuple(a),
    "object array of arrays": lambda a, folder: _column(list(a)),
    "Series of arrays": lambda a, folder: pd.Series(list(a), index=range(10, 10 + len(a))),
    "list of PIL images": _pils,
    "Series of PIL images": lambda a, folder: pd.Series(_pils(a, folder)),
    "column of PIL images": lambda a, folder: pd.DataFrame({"image": _pils(a, folder)}),
    "tensor": lambda a, folder: torch.from_numpy(a.copy()),
    "float tensor, channels first": lambda a, folder: torch.from_numpy(a / 255).permute(0, 3, 1, 2),
    "tensor with gradient": lambda a, folder: torch.from_numpy(a / 255).requires_grad_(),
    "list of tensors": lambda a, folder: [torch.from_numpy(image.copy()) for image in a],
    "labelled data set of PIL images": lambda a, folder: Labelled(_pils(a, folder)),
    "labelled data set of tensors": lambda a, folder: Labelled(
        torch.from_numpy((a / 255).astype(np.float32)).permute(0, 3, 1, 2)
    ),
    "data set without labels": lambda a, folder: Unlabelled(a),
    "TensorDataset": lambda a, folder: torch.utils.data.TensorDataset(torch.from_numpy(a.copy())),
}
FILE_CONTAINERS = {
    "list of str": _strings,
    "list of Path": _paths,
    "tuple of str": lambda a, folder: tuple(_strings(a, folder)),
    "str array": lambda a, folder: np.array(_strings(a, folder)),
    "column of a str array": lambda a, folder: np.array(_strings(a, folder))[:, None],
    "object array of str": lambda a, folder: np.array(_strings(a, folder), dtype=object),
    "column of an object array": lambda a, folder: np.array(_strings(a, folder), object)[:, None],
    "nested list of str": lambda a, folder: [[path] for path in _strings(a, folder)],
    "Series of str": lambda a, folder: pd.Series(_strings(a, folder), index=range(7, 7 + len(a))),
    "Series of objects": lambda a, folder: pd.Series(_strings(a, folder), dtype=object),
    "Series of Path": lambda a, folder: pd.Series(_paths(a, folder)),
    "Series of arrow strings": _arrow,
    "categorical Series": lambda a, folder: pd.Series(_strings(a, folder), dtype="category"),
    "DataFrame of one column": lambda a, folder: pd.DataFrame({"path": _strings(a, folder)}),
    "list of bytes": lambda a, folder: [encode(image) for image in a],
    "list of bytearray": lambda a, folder: [bytearray(encode(image)) for image in a],
    "bytes array": lambda a, folder: np.array([encode(image) for image in a]),
    "object array of bytes": lambda a, folder: _column([encode(image) for image in a]),
    "labelled data set of paths": lambda a, folder: Labelled(_paths(a, folder)),
    "data set of bytes": lambda a, folder: Unlabelled([encode(image) for image in a]),
}
CONTAINERS = PIXEL_CONTAINERS | FILE_CONTAINERS
BATCH = np.stack([picture(seed=0), picture(seed=1), picture(seed=2)])


@pytest.fixture(params=CONTAINERS)
def container(request, tmp_path):
    """Three pictures in every kind of X."""
    return CONTAINERS[request.param](BATCH, tmp_path)


@pytest.fixture(params=PIXEL_CONTAINERS)
def pixel_container(request, tmp_path):
    return PIXEL_CONTAINERS[request.param](BATCH, tmp_path)


@pytest.fixture(params=FILE_CONTAINERS)
def file_container(request, tmp_path):
    return FILE_CONTAINERS[request.param](BATCH, tmp_path)


# ------------------------------------------------------------------ the same picture in anything


def test_every_container_gives_the_same_pictures_in_the_same_order(container):
    images = as_image_sequence(container)
    assert len(images) == 3
    for row, expected in enumerate(BATCH):
        image = images.load(row)
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), expected)


def test_every_container_of_pixels_gives_the_same_canonical_payload(pixel_container):
    images = as_image_sequence(pixel_container)
    for row, expected in enumerate(BATCH):
        payload = images.read(row)
        assert payload.dtype == np.uint8
        assert payload.flags.c_contiguous
        np.testing.assert_array_equal(payload, expected)


def test_every_container_of_files_gives_the_bytes_of_the_file_as_payload(file_container):
    images = as_image_sequence(file_container)
    assert [images.read(row) for row in range(3)] == [encode(image) for image in BATCH]


def test_a_list_may_mix_all_kinds_and_sizes(tmp_path):
    a, b = picture(5, 9), picture(20, 3)
    (path,) = _paths([a], tmp_path)
    images = as_image_sequence([path, str(path), encode(b), b, Image.fromarray(a), b / 255])
    for row, expected in enumerate([a, a, b, b, a, b]):
        np.testing.assert_array_equal(np.asarray(images.load(row)), expected)


def test_grey_is_the_same_whatever_its_shape_dtype_or_file():
    grey = picture()[..., 0]
    flat = grey.reshape(1, -1)
    expected = np.repeat(grey[..., None], 3, axis=-1)
    kinds = [
        (grey[None], None),
        (grey[None, ..., None], None),
        (grey[None, None], None),
        (grey[None] / 255, None),
        (grey[None].astype(np.uint16) * 257, None),
        (torch.from_numpy(grey[None].copy()), None),
        ([Image.fromarray(grey)], None),
        ([Image.fromarray(grey.astype(np.uint16) * 257)], None),
        ([Image.fromarray(grey.astype(np.int32))], None),
        ([Image.fromarray((grey / 255).astype(np.float32))], None),
        ([encode(grey)], None),
        ([encode(grey.astype(np.uint16) * 257)], None),
        ([encode(grey.astype(np.uint16) * 257, "TIFF")], None),
        ([encode(grey.astype(np.int32) * 257, "TIFF")], None),
        (flat, grey.shape),
        (flat.tolist(), grey.shape),
        (list(flat), grey.shape),
        (pd.DataFrame(flat), grey.shape),
        (torch.from_numpy(flat / 255), grey.shape),
    ]
    for X, image_shape in kinds:
        np.testing.assert_array_equal(pixels(X, image_shape=image_shape), expected)


def test_sixteen_bits_are_scaled_not_clipped():
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    for fmt in ("PNG", "TIFF"):
        decoded = pixels([encode(ramp, fmt)])[..., 0]
        np.testing.assert_allclose(decoded, ramp / 257, atol=1)
        np.testing.assert_array_equal(decoded, pixels(ramp[None])[..., 0])


def test_bool_arrays_and_one_bit_files_are_black_and_white():
    mask = picture()[..., 0] > 127
    expected = np.repeat(np.where(mask, 255, 0).astype(np.uint8)[..., None], 3, axis=-1)
    for X in (mask[None], torch.from_numpy(mask[None].copy()), [encode(Image.fromarray(mask))]):
        np.testing.assert_array_equal(pixels(X), expected)


def test_bfloat16_tensors_are_read_to_the_nearest_grey_level_they_can_hold():
    values = torch.rand(1, 3, 5, 6).to(torch.bfloat16)
    np.testing.assert_array_equal(pixels(values), pixels(values.float()))


def test_alpha_is_composited_on_white_alike_in_arrays_and_files():
    rgba = np.dstack([picture(), picture(seed=5)[..., 0]])
    alpha = rgba[..., 3:] / 255
    expected = rgba[..., :3] * alpha + 255 * (1 - alpha)
    first = pixels(rgba[None])
    np.testing.assert_allclose(first, expected, atol=1)
    files = [encode(rgba), encode(rgba, "TIFF"), encode(rgba, "WEBP", lossless=True)]
    arrays = [rgba[None] / 255, rgba.transpose(2, 0, 1)[None], torch.from_numpy(rgba[None].copy())]
    for X in [*arrays, [Image.fromarray(rgba)], *([file] for file in files)]:
        np.testing.assert_array_equal(pixels(X), first)


@pytest.mark.parametrize("mode", ["LA", "La", "PA", "RGBA", "RGBa"])
def test_a_transparent_image_of_any_mode_is_white(mode):
    image = Image.new("RGBA", (4, 3), (0, 0, 0, 0))
    for step in {"La": ["LA", "La"], "RGBa": ["RGBa"], "LA": ["LA"], "PA": ["PA"]}.get(mode, []):
        image = image.convert(step)
    if mode == "PA":
        image.putalpha(0)
    assert (pixels([image]) == 255).all()


@pytest.mark.parametrize("transparency", [0, bytes([0, 255])])
def test_the_transparent_colour_of_a_palette_is_white_and_raises_no_warning(transparency):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.paste(0, (0, 0, 2, 4))
    decoded = pixels([encode(image, transparency=transparency)])
    assert (decoded[:, :2] == 255).all()
    assert (decoded[:, 2:] == [40, 50, 60]).all()


def test_the_transparent_colour_of_an_rgb_file_is_white():
    image = Image.new("RGB", (4, 4), (1, 2, 3))
    image.putpixel((0, 0), (9, 9, 9))
    decoded = pixels([encode(image, transparency=(1, 2, 3))])
    assert decoded[0, 0].tolist() == [9, 9, 9]
    assert (decoded[1:] == 255).all()


def test_palettes_and_cmyk_become_rgb():
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 200, 100, 50])
    assert (pixels([encode(palette)]) == [200, 100, 50]).all()
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # red
    for X in ([cmyk], [encode(cmyk, "TIFF")], [encode(cmyk, "JPEG", quality=100)]):
        np.testing.assert_allclose(pixels(X), np.broadcast_to([255, 0, 0], (16, 16, 3)), atol=3)


@pytest.mark.parametrize("fmt", ["GIF", "PNG", "TIFF", "WEBP"])
def test_of_an_animation_the_first_frame_counts(fmt):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if fmt == "WEBP" else {}
    data = encode(frames[0], fmt, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert (pixels([data]) == [255, 0, 0]).all()
    assert (pixels([Image.open(io.BytesIO(data))]) == [255, 0, 0]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fmt", ["PNG", "TIFF", "JPEG"])
def test_exif_orientation_is_applied_to_files_and_to_pil_images(fmt, orientation):
    stored = Image.fromarray(photograph(40, 60))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encode(stored, fmt, exif=exif, **({"quality": 95} if fmt == "JPEG" else {}))
    array = np.asarray(Image.open(io.BytesIO(encode(stored, fmt, quality=95))))
    # Row 0 and column 0 of what is stored show this side of the picture (EXIF 2.3, tag 274).
    expected = {
        1: array,
        2: array[:, ::-1],
        3: array[::-1, ::-1],
        4: array[::-1],
        5: array.transpose(1, 0, 2),
        6: np.rot90(array, -1),
        7: array[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(array),
    }[orientation]
    np.testing.assert_array_equal(pixels([data]), expected)
    np.testing.assert_array_equal(pixels([Image.open(io.BytesIO(data))]), expected)


def test_damaged_exif_notes_neither_warn_nor_stop():
    data = encode(picture(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x09\0\x12\x01")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert pixels([data]).shape == (12, 17, 3)
    assert not caught


def test_an_image_of_one_pixel_is_an_image():
    one = np.full((1, 1, 3), 7, dtype=np.uint8)
    for X in (one[None], [one], [encode(one)], one[..., 0][None]):
        assert pixels(X).tolist() == [[[7, 7, 7]]]


@settings(deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(st.just(1), *[st.integers(5, 9)] * 2, st.just(3))))
def test_property_the_same_pixels_give_the_same_payload(X):
    reference = as_image_sequence(X).read(0)
    np.testing.assert_array_equal(reference, X[0])
    kinds = [X / 255, (X / 255).astype(np.float32), X.transpose(0, 3, 1, 2), X.astype(int)]
    for same in [*kinds, [Image.fromarray(X[0])], torch.from_numpy(X)]:
        np.testing.assert_array_equal(as_image_sequence(same).read(0), reference)


# ------------------------------------------------------------------------------------- layouts


def test_channels_are_last_where_both_layouts_fit():
    X = picture(3, 5)[None]  # (1, 3, 5, 3)
    np.testing.assert_array_equal(pixels(X), X[0])
    np.testing.assert_array_equal(pixels([X[0]]), X[0])


def test_three_dimensions_are_grey_images_even_if_three_pixels_wide():
    X = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    np.testing.assert_array_equal(pixels(X), np.repeat(X[0][..., None], 3, axis=-1))


@pytest.mark.parametrize("image_shape", [(6, 5), (6, 5, 1), (6, 5, 3), (3, 6, 5), (6, 5, 4)])
def test_flattened_rows_are_the_images_they_were(image_shape):
    X = np.random.default_rng(0).integers(0, 256, (2, *image_shape), dtype=np.uint8)
    rows = as_image_sequence(X.reshape(2, -1), image_shape=image_shape)
    for row in range(2):
        np.testing.assert_array_equal(rows.read(row), as_image_sequence(X).read(row))


def test_rows_without_an_image_shape_are_square_and_grey():
    X = np.arange(98, dtype=np.uint8).reshape(2, 49)
    np.testing.assert_array_equal(pixels(X, 1), pixels(X.reshape(2, 7, 7), 1))


def test_rows_that_are_no_square_ask_for_the_image_shape():
    with pytest.raises(
        ImageError, match=r"\(2, 50\).*50 is no square number.*image_shape=\(H, W\)"
    ):
        as_image_sequence(np.zeros((2, 50)))
    with pytest.raises(ImageError, match=r"image_shape=\(32, 32, 3\) or \(3, 32, 32\) would fit"):
        as_image_sequence(np.zeros((2, 3072)))


def test_an_image_shape_of_another_size_is_refused():
    with pytest.raises(ImageError, match=r"image_shape=\(28, 28\) has 784 values.*has 100"):
        as_image_sequence(np.zeros((2, 100)), image_shape=(28, 28))


@pytest.mark.parametrize(
    "image_shape", ["rows", (28,), (0, 3), (5, 4, 2), 28, (2.5, 4), (1, 2, 3, 4)]
)
def test_an_impossible_image_shape_is_refused(image_shape):
    with pytest.raises(ImageError, match=r"image_shape=.* is no layout of an image.*\(28, 28\)"):
        as_image_sequence(np.zeros((2, 100)), image_shape=image_shape)


def test_rows_of_pixels_are_images_one_pixel_high():
    X = picture()[..., 0]
    payload = as_image_sequence(X, image_shape="row").read(4)
    np.testing.assert_array_equal(payload, np.repeat(X[4][None, :, None], 3, axis=-1))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, object])
def test_rows_of_numbers_are_squashed_by_the_logistic_function(dtype):
    X = np.array([[-1000, -2, 0, 1, 1000], [3, 3, 3, 3, 3]]).astype(dtype)
    payload = as_image_sequence(X, image_shape="row").read(0)
    assert payload.shape == (1, 5, 3)
    assert payload[0, :, 0].tolist() == [0, 30, 128, 186, 255]


@settings(deadline=None)
@given(hnp.arrays(np.float64, (4, 3), elements=st.floats(-20, 20)), st.permutations(range(4)))
def test_property_a_row_of_numbers_does_not_depend_on_the_others(X, order):
    images = as_image_sequence(X, image_shape="row")
    shuffled = as_image_sequence(X[order], image_shape="row")
    for i, row in enumerate(order):
        np.testing.assert_array_equal(shuffled.read(i), images.read(row))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_of_numbers_that_are_not_finite_are_an_error_of_that_row(value):
    X = np.zeros((3, 4))
    X[1, 2] = value
    images = as_image_sequence(X, image_shape="row")
    images.read(0)
    with pytest.raises(ImageDecodeError, match=r"^image 1 of 3 contains NaN or inf\. Impute"):
        images.read(1)


def test_numbers_in_one_column_are_rows_not_items():
    for X in (np.zeros((3, 1)), np.zeros((3, 1), dtype=object), pd.DataFrame({"a": [0.0] * 3})):
        assert as_image_sequence(X, image_shape="row").read(0).tolist() == [[[128] * 3]]


# ------------------------------------------------------------------- mistakes in the whole of X


@pytest.mark.parametrize(
    ("X", "shape"),
    [
        ([], r"\(0,\)"),
        ((), r"\(0,\)"),
        (np.empty((0, 8, 8)), r"\(0, 8, 8\)"),
        (np.empty((0, 64)), r"\(0, 64\)"),
        (np.array([], dtype=object), r"\(0,\)"),
        (pd.Series([], dtype=object), r"\(0,\)"),
        (pd.DataFrame({"path": []}), r"\(0, 1\)"),
        (torch.empty(0, 3, 8, 8), r"\(0, 3, 8, 8\)"),
        (Unlabelled([]), r"\(0,\)"),
    ],
    ids=lambda X: type(X).__name__,
)
def test_an_empty_X_is_refused_in_scikit_learns_words(X, shape):
    message = (
        rf"Found array with 0 sample\(s\) \(shape={shape}\) while a minimum of 1 is required\."
    )
    with pytest.raises(ValueError, match=message):
        as_image_sequence(X)


def test_no_features_are_refused_in_scikit_learns_words():
    message = r"0 feature\(s\) \(shape=\(3, 0\)\) while a minimum of 1 is required\."
    with pytest.raises(ImageError, match=message):
        as_image_sequence(np.empty((3, 0)), image_shape="row")


@pytest.mark.parametrize("X", [np.arange(5.0), [1, 2, 3], pd.Series([1.0, 2.0]), torch.ones(3)])
def test_one_dimension_of_numbers_is_refused_in_scikit_learns_words(X):
    with pytest.raises(
        ImageError, match=r"Expected 2D array, got 1D array instead(.|\n)*Reshape your data"
    ):
        as_image_sequence(X)


@pytest.mark.parametrize("X", [np.array(1.0), torch.tensor(1.0)])
def test_a_scalar_is_refused_in_scikit_learns_words(X):
    with pytest.raises(ImageError, match="Expected 2D array, got scalar array instead"):
        as_image_sequence(X)


@pytest.mark.parametrize(
    "X", [scipy.sparse.csr_matrix((3, 4)), scipy.sparse.coo_array((3, 4)), torch.eye(3).to_sparse()]
)
def test_sparse_data_is_refused_in_scikit_learns_words(X):
    with pytest.raises(
        TypeError, match=r"Sparse data was passed for X, but dense data is required"
    ):
        as_image_sequence(X)


@pytest.mark.parametrize("X", [np.ones((2, 4), complex), torch.ones(2, 4, dtype=torch.complex64)])
def test_complex_data_is_refused_in_scikit_learns_words(X):
    with pytest.raises(ValueError, match="Complex data not supported"):
        as_image_sequence(X)


@pytest.mark.parametrize("X", ["leaf/1.jpg", Path("leaf/1.jpg")])
def test_one_path_asks_to_be_wrapped_in_a_list(X):
    with pytest.raises(
        TypeError, match=r"X is one path, 'leaf.1\.jpg'.*Wrap it in a list: \[X\]\."
    ):
        as_image_sequence(X)


@pytest.mark.parametrize("X", [Image.new("RGB", (3, 3)), b"\xff\xd8"])
def test_one_image_asks_to_be_wrapped_in_a_list(X):
    with pytest.raises(TypeError, match=r"X is one image\..*Wrap it in a list: \[X\]\."):
        as_image_sequence(X)


@pytest.mark.parametrize("X", [None, 5, {"image": 1}, {1, 2}, (i for i in range(3)), object()])
def test_what_holds_no_images_is_refused_by_its_type(X):
    with pytest.raises(TypeError, match=rf"X is of type {type(X).__name__}\. X can be an array"):
        as_image_sequence(X)


@pytest.mark.parametrize("shape", [(2, 5, 6, 7), (2, 5, 6, 2), (1, 1, 5, 5, 3), (2, 0, 5)])
def test_a_shape_of_no_images_is_refused_at_once(shape):
    with pytest.raises(ImageError, match=r"X has the shape \(.*\)\. Images are \(n, H, W\)"):
        as_image_sequence(np.zeros(shape))


def test_a_dtype_of_no_images_is_refused_at_once():
    with pytest.raises(ImageError, match=r"X has the dtype datetime64\[s\]\. Images are uint8"):
        as_image_sequence(np.zeros((2, 4), dtype="datetime64[s]"))


def test_several_columns_of_paths_ask_to_select_one():
    X = pd.DataFrame({"path": ["a.png"], "age": [3]})
    for columns in (X, X.to_numpy(), np.array([["a.png", "b.png"]])):
        with pytest.raises(ImageError, match="Select the column that holds"):
            as_image_sequence(columns)


def test_an_object_among_numbers_is_a_type_error_in_pythons_words():
    X = np.zeros((3, 4), dtype=object)
    X[0, 0] = {"foo": "bar"}
    with pytest.raises(TypeError, match=r"argument must be .* string.* number"):
        as_image_sequence(X, image_shape="row")


def test_rows_of_different_lengths_are_refused():
    with pytest.raises(ImageError, match="X is a list of rows of different lengths"):
        as_image_sequence([[1, 2, 3, 4], [1, 2]])


# ------------------------------------------------------------------------ mistakes in one image


def refuse(X, match, row=1):
    """Row 1 must fail with this message; the rows around it, and wrapping X, must not."""
    images = as_image_sequence(X)
    for good in set(range(len(images))) - {row}:
        images.load(good)
    with pytest.raises(ImageDecodeError, match=match) as caught:
        images.load(row)
    assert str(caught.value).endswith(
        ', or set on_error="nan" to keep its row as NaN and list it in `failed_`.'
    )


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.png"
    path.write_bytes(encode(picture()))
    return path


@pytest.fixture
def refuse_file(tmp_path, good):
    """A file of these bytes must fail as path and as bytes, with this message."""

    def check(data, match, name="IMG_0017.jpg"):
        bad = tmp_path / name
        bad.write_bytes(data)
        refuse([good, bad, good], rf"^image 1 of 3 \('.*{name}'\) {match}")
        refuse([encode(picture()), data, good], rf"^image 1 of 3 {match}")

    return check


def test_the_message_for_a_truncated_jpeg_is_the_documented_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = encode(photograph(80, 90), "JPEG")
    Path("IMG_0017.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageDecodeError, match="truncated") as caught:
        as_image_sequence(["IMG_0017.jpg"] * 240).load(17)
    assert str(caught.value) == (
        "image 17 of 240 ('IMG_0017.jpg') is a truncated JPEG. Replace the file, or set "
        'on_error="nan" to keep its row as NaN and list it in `failed_`.'
    )


@pytest.mark.parametrize("fraction", [0.02, 0.3, 0.6, 0.95])
def test_a_truncated_jpeg_is_an_error_wherever_it_ends(refuse_file, fraction):
    data = encode(picture(100, 100), "JPEG")
    refuse_file(data[: int(fraction * len(data))], r"is a truncated JPEG\. Replace the file")


def test_a_truncated_png_is_an_error(refuse_file):
    refuse_file(encode(picture(100, 100))[:5000], r"is a truncated PNG\. Replace the file")


def test_a_signature_alone_is_no_image(refuse_file):
    refuse_file(b"\xff\xd8", r"is a truncated or damaged JPEG\.")


def test_a_png_with_changed_bytes_is_damaged(refuse_file):
    data = bytearray(encode(picture(100, 100)))
    data[60:90] = bytes(30)
    refuse_file(bytes(data), "is a damaged PNG")


def test_a_text_file_is_not_an_image(refuse_file):
    refuse_file(b"path,label\n" * 50, r"is not an image, or of a kind that Pillow cannot read\.")


def test_an_empty_file_is_an_error_when_it_is_read(tmp_path, good):
    (tmp_path / "empty.png").touch()
    refuse([good, tmp_path / "empty.png"], r"^image 1 of 2 \('.*empty\.png'\) is an empty file\.")
    refuse([good, b""], r"^image 1 of 2 is an empty byte string\.")


def test_a_directory_is_an_error_that_asks_for_its_files(tmp_path, good):
    refuse([good, tmp_path], r"^image 1 of 2 \('.*'\) is a directory\. Pass the paths of the files")


def test_a_missing_file_is_an_error(good):
    refuse([good, "no/such.jpg"], r"^image 1 of 2 \('no/such\.jpg'\) does not exist\. Correct")
    refuse(
        [good, "nul\0byte"], r"^image 1 of 2 \('nul.*byte'\) cannot be read \(embedded null byte\)"
    )


@pytest.mark.parametrize("limit", [150, 100])  # 221 pixels are more than the limit, or than twice
def test_a_decompression_bomb_is_refused_before_it_is_decoded(monkeypatch, limit):
    images = as_image_sequence([encode(picture(4, 4)), encode(picture(17, 13))])
    decoded = []
    load = ImageFile.ImageFile.load

    def spy(image):
        decoded.append(image.size)
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", spy)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    images.load(0)
    message = rf"^image 1 of 2 would have .*MAX_IMAGE_PIXELS allows {limit}: .*Raise that limit"
    with pytest.raises(ImageDecodeError, match=message):
        images.load(1)
    assert set(decoded) == {(4, 4)}


def test_a_bomb_raises_no_warning_where_warnings_are_shown(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 150)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ImageDecodeError, match="would have 204 pixels when decoded"):
            as_image_sequence([encode(picture())]).load(0)
    assert not caught


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, np.float64("nan")])
def test_a_missing_value_is_an_error_of_its_row(missing, good):
    for X in ([str(good), missing], pd.Series([str(good), missing], dtype=object)):
        refuse(X, r"^image 1 of 2 is missing \(.*\)\. Remove the row")
    refuse([missing, str(good)], r"^image 0 of 2 is missing", row=0)


def test_a_missing_string_of_pandas_is_an_error_of_its_row(good):
    refuse(pd.Series([str(good), None], dtype="string"), r"^image 1 of 2 is missing")


def test_a_thing_that_is_no_image_is_an_error_by_its_type(good):
    refuse([good, {"path": "a"}], r"^image 1 of 2 is of type dict, not a path")


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (np.nan, r"contains NaN\. Fill in"),
        (200.0, r"has float values from 0 to 200, outside 0\.\.1\. Divide them by 255"),
        (1.01, r"has float values from 0 to 1\.01, outside 0\.\.1\. Clip them"),
        (
            16.0,
            r"has float values from 0 to 16, outside 0\.\.1\. Divide them by the value of white: 16",
        ),
        (70_000.0, r"has float values from 0 to 7e\+04, outside 0\.\.1\. Scale them"),
        (-0.5, r"has float values from -0\.5 to 0, outside 0\.\.1\. Pass the picture before"),
        (np.inf, r"has float values from 0 to inf, outside 0\.\.1\. Scale"),
    ],
)
@pytest.mark.parametrize(
    "wrap", [np.asarray, list, torch.from_numpy, Labelled], ids=lambda wrap: wrap.__name__
)
def test_floats_outside_0_to_1_are_an_error_of_their_row(value, match, wrap):
    X = np.zeros((3, 5, 5, 3))
    X[1, 2, 2, 0] = value
    refuse(wrap(X), f"^image 1 of 3 {match}")


def test_floats_may_miss_0_and_1_by_rounding_errors():
    X = np.array([[[1 + 1e-7, -1e-7]]])
    assert pixels(X)[..., 0].tolist() == [[255, 0]]


@pytest.mark.parametrize(("dtype", "value"), [(np.int64, 256), (np.int16, -1), (np.uint32, 1000)])
def test_integers_outside_0_to_255_are_an_error_of_their_row(dtype, value):
    X = np.zeros((3, 5, 5), dtype=dtype)
    X[1, 0, 0] = value
    refuse(X, rf"^image 1 of 3 has {np.dtype(dtype)} values from .* outside 0\.\.255\. Scale them")


@pytest.mark.parametrize("shape", [(5,), (5, 6, 7), (5, 0, 3), (1, 5, 5, 3)])
def test_an_array_of_a_shape_of_no_image_is_an_error_of_its_row(shape):
    refuse([picture(), np.zeros(shape)], r"^image 1 of 2 has the shape \(.*\)")


def test_an_array_of_text_is_an_error_of_its_row():
    refuse(
        [picture(), np.array([["a", "b"]])], r"^image 1 of 2 has the dtype <U1, which is no number"
    )


def test_an_error_inside_a_data_set_names_row_data_set_and_cause():
    class Broken(Unlabelled):
        def __getitem__(self, row):
            if row == 1:
                raise OSError("disk on fire")
            return self.items[row]

    refuse(
        Broken(BATCH), r"^image 1 of 3 cannot be read from the Broken \(OSError: disk on fire\)\."
    )


def test_a_pil_image_of_a_truncated_file_is_an_error_of_its_row():
    data = encode(picture(100, 100), "JPEG")
    bad = Image.open(io.BytesIO(data[: len(data) // 2]))
    refuse([picture(), bad], r"^image 1 of 2 is a truncated JPEG\. Replace the image")


# ------------------------------------------------------------------------- lazy, fast, in threads


def test_describe_counts_from_zero_and_names_the_path_if_there_is_one():
    images = as_image_sequence(["leaf/1.jpg", Path("leaf/2.jpg"), picture()])
    assert images.describe(0) == "image 0 of 3 ('leaf/1.jpg')"
    assert images.describe(1) == f"image 1 of 3 ({str(Path('leaf/2.jpg'))!r})"
    assert images.describe(2) == "image 2 of 3"


def test_files_are_read_only_when_asked(tmp_path):
    path = tmp_path / "later.png"
    images = as_image_sequence([path])
    with pytest.raises(ImageDecodeError, match="does not exist"):
        images.read(0)
    path.write_bytes(encode(picture()))
    np.testing.assert_array_equal(np.asarray(images.load(0)), picture())


def test_arrays_are_not_copied_and_memory_maps_stay_on_disk(tmp_path):
    np.save(tmp_path / "X.npy", BATCH)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert np.shares_memory(as_image_sequence(mapped).read(1), mapped)
    assert np.shares_memory(as_image_sequence(BATCH).read(1), BATCH)
    tensor = torch.from_numpy(BATCH.copy())
    assert np.shares_memory(as_image_sequence(tensor).read(1), tensor.numpy())


def test_what_is_like_an_array_is_read_row_by_row():
    class OnDisk:  # as h5py's and zarr's arrays are
        shape, dtype = BATCH.shape, BATCH.dtype

        def __len__(self):
            return len(BATCH)

        def __getitem__(self, row):
            asked.append(row)
            return BATCH[row]

    asked = []
    images = as_image_sequence(OnDisk())
    assert asked == []
    np.testing.assert_array_equal(images.read(2), BATCH[2])
    assert asked == [2]


def test_what_only_converts_to_an_array_is_converted():
    class NotAnArray:
        def __array__(self, dtype=None, copy=None):
            return BATCH

    np.testing.assert_array_equal(pixels(NotAnArray(), 1), BATCH[1])


def test_a_large_jpeg_is_decoded_smaller_only_when_four_times_as_large():
    images = as_image_sequence([encode(photograph(800, 1200), "JPEG", quality=95)])
    payload = images.read(0)
    sizes = {n: images.decode(0, payload, min_size=n).size for n in (None, 201, 200, 199, 50)}
    full = (1200, 800)
    assert sizes == {None: full, 201: full, 200: (600, 400), 199: full, 50: full}


def test_a_jpeg_decoded_smaller_looks_the_same_once_shrunk():
    data = encode(photograph(800, 1200), "JPEG", quality=95)
    images = as_image_sequence([data])
    small = images.decode(0, data, min_size=200)
    assert small.size == (600, 400)
    small, full = (
        image.resize((300, 200), Image.Resampling.BILINEAR)
        for image in (small, images.decode(0, data))
    )
    np.testing.assert_allclose(np.asarray(small, int), np.asarray(full, int), atol=2)


def test_the_users_pil_images_are_left_as_they_are():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    image = Image.open(io.BytesIO(encode(picture(), exif=exif)))
    as_image_sequence([image]).read(0)
    np.testing.assert_array_equal(np.asarray(image), picture())
    assert image.getexif()[ORIENTATION] == 6


def test_many_threads_read_what_one_thread_reads(tmp_path):
    files = [encode(photograph(64 + i, 90), "JPEG") for i in range(8)]
    paths = [tmp_path / f"{i}.jpg" for i in range(8)]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    lazy = [Image.open(path) for path in paths]
    images = as_image_sequence([*paths, *files, *lazy, *lazy] * 3)
    start = threading.Barrier(8)

    def load(row):
        if row < 8:
            start.wait()
        return np.asarray(images.load(row))

    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(load, range(len(images))))
    for row, image in enumerate(loaded):
        np.testing.assert_array_equal(image, loaded[row % 8])


def test_decoding_in_threads_leaves_the_warning_filters_as_they_were():
    data = encode(photograph(64, 64), "JPEG")
    images = as_image_sequence([data] * 200)
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(images.load, range(200)))
    assert warnings.filters == before


def test_a_sequence_of_images_pickles():
    images = pickle.loads(pickle.dumps(as_image_sequence([encode(picture())])))
    np.testing.assert_array_equal(np.asarray(images.load(0)), picture())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_tensor_on_a_gpu_is_read_row_by_row():
    X = torch.from_numpy(BATCH.copy())
    np.testing.assert_array_equal(pixels(X.cuda(), 1), BATCH[1])
    np.testing.assert_array_equal(pixels((X / 255).half().cuda(), 1), BATCH[1])
    np.testing.assert_array_equal(pixels([x.cuda() for x in X], 1), BATCH[1])
