"""The same picture gives the same pixels, whatever it comes in."""

import io
import struct
from collections import namedtuple

import hypothesis.extra.numpy as hnp
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from sktransfer import DeepFeatureTransformer
from sktransfer.exceptions import ImageDecodeError, ImageError, ImageWarning
from sktransfer.images import as_image_sequence
from sktransfer.images.indexing import join, take
from sktransfer.raw_pixels import PixelTransformer

ORIENTATION = 0x0112
RAMP = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8) * 2


def pixels(X, row=0):
    return np.asarray(as_image_sequence(X).load(row))


def encode(image, fmt="PNG", **options):
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, fmt, **options)
    return buffer.getvalue()


def column(*items):
    values = np.empty(len(items), dtype=object)
    values[:] = items
    return values


class Items(torch.utils.data.Dataset):
    def __init__(self, *items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, row):
        return self.items[row]


# -------------------------------------------------------------------------------- the same pixels

LOSSLESS = {"PNG": {}, "TIFF": {}, "BMP": {}, "PPM": {}, "WEBP": {"lossless": True, "exact": True}}
ARRAYS = {
    "array": lambda a: a[None],
    "list": lambda a: [a],
    "object array": lambda a: column(a),
    "Series": lambda a: pd.Series([a]),
    "tensor": lambda a: torch.from_numpy(a.copy())[None],
    "tensor, channels first": lambda a: torch.from_numpy(a / 255).permute(2, 0, 1)[None],
    "list of tensors, channels first": lambda a: [torch.from_numpy(a / 255).permute(2, 0, 1)],
    "uint16": lambda a: a[None].astype(np.uint16) * 257,
    "memoryview": lambda a: [memoryview(a)],
    "memoryview of all": lambda a: memoryview(a[None]),
    "nested lists": lambda a: [a.tolist(), "other.png"],
    "pairs": lambda a: [(a, 0)],
    "Dataset": lambda a: Items(a),
    "Dataset of pairs": lambda a: Items((Image.fromarray(a), 1)),
    "masked array without a mask": lambda a: np.ma.MaskedArray(a)[None],
}
FILES = {
    "bytes": lambda data, path: [data],
    "bytearray": lambda data, path: [bytearray(data)],
    "memoryview": lambda data, path: [memoryview(data)],
    "path": lambda data, path: [path],
    "str": lambda data, path: [str(path)],
    "Series of str": lambda data, path: pd.Series([str(path)]),
    "object array": lambda data, path: column(path),
    "PIL": lambda data, path: [Image.open(io.BytesIO(data))],
    "PIL from a path": lambda data, path: [Image.open(path)],
    "PIL copied": lambda data, path: [Image.open(io.BytesIO(data)).copy()],
    "pair": lambda data, path: [(str(path), 2)],
    "Dataset": lambda data, path: Items(path),
}


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(np.uint8, st.tuples(*[st.integers(5, 12)] * 2, st.just(3))),
    st.sampled_from(sorted(ARRAYS)),
)
def test_property_an_array_gives_its_pixels_in_every_wrapper(picture, wrapper):
    np.testing.assert_array_equal(pixels(ARRAYS[wrapper](picture)), picture)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@pytest.mark.parametrize("wrapper", FILES)
@settings(deadline=None, max_examples=20)
@given(
    picture=hnp.arrays(np.uint8, st.tuples(*[st.integers(1, 9)] * 2, st.just(3))),
    fmt=st.sampled_from(sorted(LOSSLESS)),
    orientation=st.sampled_from(range(1, 9)),
)
def test_property_a_file_gives_its_upright_pixels_in_every_wrapper(
    wrapper, picture, fmt, orientation, folder
):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    turned = fmt in {"PNG", "TIFF", "WEBP"}
    data = encode(picture, fmt, **LOSSLESS[fmt], **({"exif": exif} if turned else {}))
    path = folder / f"picture.{fmt.lower()}"
    path.write_bytes(data)
    expected = {  # row 0 and column 0 of what is stored show this side (EXIF 2.3, tag 274)
        1: picture,
        2: picture[:, ::-1],
        3: picture[::-1, ::-1],
        4: picture[::-1],
        5: picture.transpose(1, 0, 2),
        6: np.rot90(picture, -1),
        7: picture[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(picture),
    }[orientation if turned else 1]
    X = FILES[wrapper](data, path)
    np.testing.assert_array_equal(pixels(X), expected)
    for item in X if isinstance(X, list) else ():
        if isinstance(item, Image.Image):
            item.close()


# ------------------------------------------------------------------------------ grey of many bits


@pytest.mark.parametrize("dtype", [np.int32, np.uint16])
def test_an_integer_image_is_the_same_in_an_array_a_file_and_pillow(dtype):
    grey = RAMP.astype(dtype) * (257 if dtype == np.uint16 else 1)
    data = encode(grey, "TIFF")
    opened = Image.open(io.BytesIO(data))
    for item in (grey, Image.fromarray(grey), data, opened, opened.copy()):
        np.testing.assert_array_equal(pixels([item])[..., 0], RAMP)


def test_integers_above_255_are_of_16_bits_wherever_pillow_holds_them():
    grey = RAMP.astype(np.int32) * 257
    data = encode(grey, "TIFF")
    for item in (Image.fromarray(grey), data, Image.open(io.BytesIO(data)).copy()):
        np.testing.assert_array_equal(pixels([item])[..., 0], RAMP)


def tiff(values, *, bits, photometric, sample_format=1):
    """Write a little-endian grey TIFF of one strip, 64 pixels square."""
    tags = [(256, 64), (257, 64), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1)]
    tags += [(278, 64), (279, len(values)), (339, sample_format)]
    out = b"II*\0" + struct.pack("<I", 8 + len(values)) + values + struct.pack("<H", len(tags))
    return out + b"".join(struct.pack("<HHII", tag, 4, 1, v) for tag, v in tags) + bytes(4)


@pytest.mark.parametrize(
    ("bits", "values", "sample_format"),
    [
        (8, 255 - RAMP, 1),
        (16, 65535 - RAMP.astype("<u2") * 257, 1),
        (32, (1 - RAMP / 255).astype("<f4"), 3),
    ],
)
@pytest.mark.parametrize("wrap", [bytes, lambda data: Image.open(io.BytesIO(data))])
def test_a_tiff_whose_zero_is_white_is_not_inverted(wrap, bits, values, sample_format):
    data = tiff(values.tobytes(), bits=bits, photometric=0, sample_format=sample_format)
    np.testing.assert_array_equal(pixels([wrap(data)])[..., 0], RAMP)


def test_a_tiff_of_12_bits_is_scaled_to_white():
    values = (RAMP.astype(np.uint16) << 4).reshape(-1, 2)
    first, second = values[:, 0], values[:, 1]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1)
    data = tiff(packed.astype(np.uint8).tobytes(), bits=12, photometric=1)
    np.testing.assert_array_equal(pixels([data])[..., 0], RAMP)


def test_the_transparent_grey_of_a_png_of_16_bits_is_white():
    grey = np.full((4, 4), 300, np.uint16)
    grey[0, 0] = 40_000
    data = encode(grey, transparency=300)
    decoded = pixels([data])[..., 0]
    assert decoded[0, 0] == 40_000 >> 8
    assert (decoded[1:] == 255).all()


# --------------------------------------------------------------------------- scaled while decoding


def jpegs():
    """Three photographs' worth of detail at many scales, 800 x 1200 pixels."""
    rng = np.random.default_rng(0)
    for _ in range(3):
        layers = [
            Image.fromarray(rng.integers(0, 256, (800 // k, 1200 // k, 3), dtype=np.uint8))
            for k in (100, 25, 5, 1)
        ]
        layers = [np.asarray(layer.resize((1200, 800)), float) for layer in layers]
        image = np.average(layers, axis=0, weights=(8, 4, 2, 1)).astype(np.uint8)
        yield encode(image, "JPEG", quality=92)


@pytest.mark.parametrize("size", [64, 96, 128, 224])
def test_a_jpeg_gives_the_features_of_its_pixels_at_every_image_size(size):
    files = list(jpegs())
    arrays = [np.asarray(Image.open(io.BytesIO(data))) for data in files]
    features = DeepFeatureTransformer("tiny", image_size=size, cache=None, precision="float32")
    from_files, from_arrays = features.transform(files), features.transform(arrays)
    if size < 200:
        np.testing.assert_array_equal(from_files, from_arrays)
    norms = np.linalg.norm(from_files, axis=1) * np.linalg.norm(from_arrays, axis=1)
    assert ((from_files * from_arrays).sum(axis=1) / norms).min() > 0.995


# --------------------------------------------------------------------- what an array does not show


def refuse(item, match):
    with pytest.raises(ImageDecodeError, match=match):
        as_image_sequence([np.zeros((9, 9), np.uint8), item]).load(1)


@pytest.mark.parametrize(
    ("tensor", "match"),
    [
        (
            lambda: torch.empty(8, 8, 3, device="meta"),
            r"is a tensor on the device 'meta'\. Convert",
        ),
        (lambda: torch.eye(8).to_sparse(), r"is a tensor of the kind sparse_coo"),
        (lambda: torch.eye(8).to_sparse_csr(), r"is a tensor of the kind sparse_csr"),
        (
            lambda: torch.quantize_per_tensor(torch.eye(8), 0.1, 0, torch.quint8),
            r"of the kind quantized",
        ),
    ],
    ids=["meta", "sparse", "csr", "quantized"],
)
@pytest.mark.filterwarnings("ignore:.*(CSR|quantiz):UserWarning")  # torch: unfinished, or old
def test_a_tensor_without_values_is_an_error_of_its_row(tensor, match):
    refuse(tensor(), match)


def test_a_meta_tensor_of_all_images_is_refused_at_once():
    with pytest.raises(ImageError, match=r"X is a tensor on the device 'meta'"):
        as_image_sequence(torch.empty(2, 8, 8, device="meta"))


def test_masked_pixels_are_an_error_of_their_row():
    X = np.ma.MaskedArray(np.zeros((3, 9, 9), np.uint8), mask=False)
    X[1, 2:4, 2] = np.ma.masked
    images = as_image_sequence(X)
    images.load(0)
    with pytest.raises(
        ImageDecodeError, match=r"^image 1 of 3 has 2 masked pixels.*X\.filled\(0\)"
    ):
        images.load(1)
    refuse(X[1], "has 2 masked pixels")


@pytest.mark.parametrize("rows", [np.ma.MaskedArray(np.eye(9), mask=np.eye(9))])
def test_a_masked_table_is_refused(rows):
    with pytest.raises(ImageError, match=r"X is a masked array.*X\.filled\(0\)"):
        PixelTransformer().fit(rows)


@pytest.mark.parametrize("box", [(5, 5, 5, 5), (2, 5, 9, 5)])
def test_a_crop_without_pixels_is_an_error_of_its_row(box):
    refuse(
        Image.new("RGB", (20, 20)).crop(box), r"has the size \d x 0 and so no pixels\. Remove it"
    )


def test_a_view_of_one_file_is_one_image():
    with pytest.raises(TypeError, match=r"X is one image\..*Wrap it in a list"):
        as_image_sequence(memoryview(encode(RAMP)))


# ------------------------------------------------------------------------- pairs, columns, one image


def test_a_data_set_of_pairs_can_be_cross_validated():
    rng = np.random.default_rng(0)
    y = np.arange(12) % 2
    X = rng.integers(0, 100, (12, 9, 9, 3), dtype=np.uint8) + (y * 120)[:, None, None, None].astype(
        np.uint8
    )
    Pair = namedtuple("Pair", "image label")
    model = make_pipeline(DeepFeatureTransformer("tiny", cache=None), LogisticRegression())
    expected = cross_val_score(model, X, y, cv=2)
    for items in (
        [(Image.fromarray(x), int(label)) for x, label in zip(X, y, strict=True)],
        [Pair(torch.from_numpy(x), "ab"[label]) for x, label in zip(X, y, strict=True)],
        [[x, label] for x, label in zip(X, y, strict=True)],
    ):
        scores = cross_val_score(model, Items(*items), y, cv=2, error_score="raise")
        np.testing.assert_allclose(scores, expected)


def test_two_texts_side_by_side_are_no_pair():
    with pytest.raises(
        ImageError, match=r"array of dtype .* and shape \(2, 2\).*Select the column"
    ):
        as_image_sequence([("a.png", "b.png"), ("c.png", "d.png")])


@pytest.mark.parametrize(
    "X",
    [
        pd.DataFrame({"left": ["a.png"], "right": ["b.png"]}),
        pd.DataFrame({"left": ["a.png"], "age": [3]}),
        np.array([["a.png", "b.png"]], dtype=object),
        np.array([["a.png", "b.png"]]),
    ],
    ids=["two paths", "path and number", "objects", "texts"],
)
def test_several_columns_are_refused_in_words_of_images(X):
    with pytest.raises(ImageError, match=r"X has 2 columns \(.*\), of which .* Select the column"):
        DeepFeatureTransformer("tiny").fit(X)


def polars_columns(paths, data):
    pl = pytest.importorskip("polars")
    pictures = [Image.open(path) for path in paths]
    return [
        pl.Series(paths),
        pl.DataFrame({"image": paths}),
        pl.Series(data),
        pl.Series(pictures, dtype=pl.Object),
        pl.Series(paths, dtype=pl.Categorical),
        pl.Series([np.asarray(picture).tolist() for picture in pictures]),
    ]


def arrow_columns(paths, data):
    pa = pytest.importorskip("pyarrow")
    return [
        pa.array(paths),
        pa.chunked_array([paths[:1], paths[1:]]),
        pa.table({"image": paths}),
        pa.array(data),
        pa.array(paths).dictionary_encode(),
        pa.array([np.asarray(Image.open(path)).tolist() for path in paths]),
    ]


@pytest.mark.parametrize("columns", [polars_columns, arrow_columns])
def test_columns_of_polars_and_arrow_hold_images(columns, tmp_path):
    X = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    paths, data = [str(tmp_path / f"{i}.png") for i in range(3)], [encode(x) for x in X]
    for path, content in zip(paths, data, strict=True):
        (tmp_path / path).write_bytes(content)
    features = DeepFeatureTransformer("tiny", cache=None)
    expected = features.fit_transform(X)
    rows = np.array([2, 0])
    for values in columns(paths, data):
        np.testing.assert_allclose(features.fit_transform(values), expected, rtol=1e-5)
        some = features.transform(take(values, rows))
        np.testing.assert_allclose(some, expected[rows], rtol=1e-5)
        both = features.transform(join(values, paths))
        np.testing.assert_allclose(both, np.vstack([expected, expected]), rtol=1e-5)


def test_several_columns_of_arrow_are_refused_in_words_of_images():
    pa = pytest.importorskip("pyarrow")
    with pytest.raises(ImageError, match=r"X has 2 columns \('a', 'b'\).*Select the column"):
        as_image_sequence(pa.table({"a": ["1.png"], "b": ["2.png"]}))


@pytest.mark.parametrize(
    ("X", "advice"),
    [
        (np.full((64, 48, 3), 99, np.uint8), r"64 grey images of 48 x 3 pixels.*X\[\.\.\., None\]"),
        (np.full((64, 48, 4), 0.5), r"64 grey images of 48 x 4 pixels.*X\[\.\.\., None\]"),
        (torch.full((3, 64, 48), 0.5), r"3 grey images of 64 x 48 pixels.*X\[:, None\]"),
        (np.full((144, 144), 99, np.uint8), r"144 grey images, one a row.*image_shape says so"),
    ],
)
def test_one_image_as_X_is_warned_of(X, advice):
    with pytest.warns(ImageWarning, match=rf"of one image, and is taken for {advice}"):
        as_image_sequence(X)


# ---------------------------------------------------------------------------------------- near black


DIGITS = RAMP[:32, :32] // 8  # 0..15
TWELVE = RAMP.astype(np.uint16) << 4


@pytest.mark.parametrize(
    ("item", "match"),
    [
        (RAMP.astype(np.uint16), r"16-bit pixels up to 252, .* If they are bytes, convert them"),
        (TWELVE, r"16-bit pixels up to 4032, .* If they are of 12 bits, .* X << 4\."),
        (encode(TWELVE), r"16-bit pixels up to 4032"),
        (encode(TWELVE, "TIFF"), r"16-bit pixels up to 4032"),
        (Image.fromarray(TWELVE), r"16-bit pixels up to 4032"),
        (torch.from_numpy(TWELVE.copy()), r"16-bit pixels up to 4032"),
        (DIGITS.astype(np.int64), r"integers up to 15, which are near black .* scale them"),
        (RAMP / 255 / 255, r"floats up to 0\.0039, .* divided by 255 twice"),
    ],
)
@pytest.mark.parametrize(
    "wrap", [lambda x: [x, x, x], lambda x: Items(x, x, x)], ids=["list", "Dataset"]
)
def test_pixels_that_come_out_near_black_are_warned_of_once(item, match, wrap):
    images = as_image_sequence(wrap(item))
    with pytest.warns(ImageWarning, match=rf"^image 0 of 3 holds {match}") as told:
        [images.load(row) for row in range(3)]
    assert len(told) == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_arrays_of_small_integers_are_warned_of_at_once(dtype):
    X = np.stack([DIGITS] * 5).astype(dtype)
    for same in (X, torch.from_numpy(X), X > 5):
        if same.dtype == bool:
            as_image_sequence(same)
            continue
        with pytest.warns(ImageWarning, match=r"^X holds integers up to 15, which are near black"):
            as_image_sequence(same)


def test_dark_and_blank_pictures_among_others_are_not_warned_of():
    X = np.stack([RAMP, RAMP // 64, RAMP * 0])
    for same in (X, X.astype(np.uint16) * 257, X / 255, X[2:], np.ones((9, 8, 8), np.uint8)):
        images = as_image_sequence(same)
        for row in {0, len(same) - 1}:
            images.load(row)
