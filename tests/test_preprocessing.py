import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.models import (
    Inception_V3_Weights,
    ResNet50_Weights,
    ViT_H_14_Weights,
    get_model_weights,
    list_models,
)
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F
from torchvision.transforms._presets import ImageClassification

from sktransfer.preprocessing import Preprocessing

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET = Preprocessing(224, 256, mean=MEAN, std=STD)


def photograph(width, height, seed=0):
    """Noise over smooth colours: sharp edges as well as areas."""
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 20), np.cos(y / 30), np.sin((x + y) / 50)], axis=-1)
    noise = np.random.default_rng(seed).normal(0, 25, (height, width, 3))
    return Image.fromarray((127.5 + 100 * waves + noise).clip(0, 255).astype(np.uint8))


def torchvision_pixels(image, resize, crop, interpolation="bilinear"):
    mode = InterpolationMode(interpolation)
    return np.asarray(F.center_crop(F.resize(image, [resize], mode, antialias=True), [crop]))


def difference(a, b):
    return np.abs(a.astype(int) - b.astype(int))


@pytest.mark.parametrize(
    "size", [(500, 375), (375, 500), (640, 427), (301, 299), (90, 70), (256, 256)]
)
@pytest.mark.parametrize("resize", [224, 232, 255, 256])
def test_pixels_equal_torchvisions_to_one_grey_level(size, resize):
    image = photograph(*size)
    ours = Preprocessing(224, resize, MEAN, STD)(image)
    gap = difference(ours, torchvision_pixels(image, resize, 224))
    # Pillow rounds between its two passes, and goes first along the axis that a crop makes cheaper.
    assert (gap <= 1).mean() > 0.9999
    assert gap.max() <= 2
    assert gap.mean() < 0.1


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (90, 70)])
@pytest.mark.parametrize("interpolation", ["bicubic", "lanczos", "hamming"])
def test_pixels_equal_torchvisions_almost_everywhere_with_other_filters(size, interpolation):
    image = photograph(*size)
    ours = Preprocessing(96, 110, MEAN, STD, interpolation=interpolation)(image)
    gap = difference(ours, torchvision_pixels(image, 110, 96, interpolation))
    assert (gap <= 1).mean() > 0.98
    assert gap.mean() < 0.2


@settings(deadline=None, max_examples=40)
@given(
    width=st.integers(1, 120),
    height=st.integers(1, 120),
    crop=st.integers(8, 64),
    extra=st.integers(0, 20),
)
def test_property_the_crop_covers_what_torchvisions_covers(width, height, crop, extra):
    if (width, height) == (crop, crop):
        return
    # A ramp along each axis: any shift or other scale of the box changes its values.
    y, x = np.mgrid[:height, :width]
    ramps = np.stack([255 * x / width, 255 * y / height, 0 * x], axis=-1)
    image = Image.fromarray(ramps.astype(np.uint8))
    ours = Preprocessing(crop, crop + extra, MEAN, STD)(image)
    assert difference(ours, torchvision_pixels(image, crop + extra, crop)).max() <= 2


@settings(deadline=None)
@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 600), st.integers(0, 100))
def test_property_the_box_lies_inside_the_image(width, height, crop, extra):
    left, top, right, bottom = Preprocessing(crop, crop + extra, MEAN, STD)._box(width, height)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(1, 1), (1, 20000), (20000, 1), (3, 5000), (2, 1)])
def test_very_elongated_and_tiny_images_become_full_sized(size, interpolation):
    preprocessing = Preprocessing(224, 256, MEAN, STD, interpolation=interpolation)
    assert (preprocessing(Image.new("RGB", size, (9, 8, 7))) == [9, 8, 7]).all()


def test_an_image_of_the_networks_size_is_neither_resized_nor_cropped():
    image = photograph(224, 224)
    np.testing.assert_array_equal(IMAGENET(image), np.asarray(image))
    assert difference(IMAGENET(image), torchvision_pixels(image, 256, 224)).max() > 10


def test_pixels_are_new_writable_contiguous_bytes():
    for size in ((224, 224), (300, 400)):
        ours = IMAGENET(photograph(*size))
        assert ours.shape == (224, 224, 3)
        assert ours.dtype == np.uint8
        assert ours.flags.writeable
        assert ours.flags.c_contiguous


def test_squash_ignores_proportions():
    image = photograph(300, 150)
    ours = Preprocessing(64, 64, MEAN, STD, fit="squash")(image)
    whole = np.asarray(image.resize((64, 64), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(ours, whole)
    assert difference(ours, Preprocessing(64, 64, MEAN, STD)(image)).mean() > 5


def test_normalize_gives_what_torchvision_gives_channels_last():
    batch = torch.from_numpy(np.stack([IMAGENET(photograph(300, 250, seed)) for seed in range(3)]))
    values = IMAGENET.normalize(batch)
    assert values.shape == (3, 3, 224, 224)
    assert values.dtype == torch.float32
    assert values.is_contiguous(memory_format=torch.channels_last)
    expected = F.normalize(batch.permute(0, 3, 1, 2) / 255, MEAN, STD)
    torch.testing.assert_close(values, expected, rtol=1e-5, atol=1e-5)
    assert batch.dtype == torch.uint8


def test_the_whole_way_is_torchvisions_transforms_of_the_weights():
    transforms = ResNet50_Weights.IMAGENET1K_V2.transforms()
    ours = Preprocessing.from_torchvision(transforms)
    image = photograph(500, 333)
    a = ours.normalize(torch.from_numpy(ours(image))[None]).flatten()
    b = transforms(image).flatten()
    assert torch.cosine_similarity(a, b, dim=0) > 0.9999
    torch.testing.assert_close(a, b, rtol=0, atol=2.1 / 255 / min(STD))


def test_torchvisions_presets_are_read_as_they_are():
    assert Preprocessing.from_torchvision(
        ResNet50_Weights.IMAGENET1K_V2.transforms()
    ) == Preprocessing(224, 232, MEAN, STD, interpolation="bilinear")
    assert Preprocessing.from_torchvision(
        ViT_H_14_Weights.IMAGENET1K_SWAG_E2E_V1.transforms()
    ) == Preprocessing(518, 518, MEAN, STD, interpolation="bicubic")
    assert Preprocessing.from_torchvision(Inception_V3_Weights.DEFAULT.transforms()).crop == 299


def test_every_classification_preset_of_torchvision_can_be_read():
    import torchvision.models

    names = list_models(module=torchvision.models)
    for name in names:
        for weights in get_model_weights(name):
            transforms = weights.transforms()
            assert isinstance(transforms, ImageClassification)
            ours = Preprocessing.from_torchvision(transforms)
            assert [ours.crop] == transforms.crop_size
            assert [ours.resize] == transforms.resize_size
    assert len(names) > 50


def test_timms_configurations_are_read_as_timm_reads_them():
    config = {
        "input_size": (3, 299, 299),
        "interpolation": "bicubic",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "crop_pct": 0.8975,
        "crop_mode": "center",
    }
    half = (0.5, 0.5, 0.5)
    assert Preprocessing.from_timm(config) == Preprocessing(299, 333, half, half, "bicubic")
    del config["crop_pct"], config["crop_mode"]
    assert Preprocessing.from_timm(config).resize == 341
    squashed = Preprocessing.from_timm(config | {"crop_mode": "squash", "crop_pct": 1.0})
    assert squashed == Preprocessing(299, 299, half, half, "bicubic", fit="squash")


@pytest.mark.parametrize("crop_mode", ["center", "squash"])
def test_pixels_equal_timms_own_transforms(crop_mode):
    timm_data = pytest.importorskip("timm.data")
    config = {
        "input_size": (3, 96, 96),
        "interpolation": "bilinear",
        "mean": MEAN,
        "std": STD,
        "crop_pct": 0.9,
        "crop_mode": crop_mode,
    }
    ours = Preprocessing.from_timm(config)
    image = photograph(320, 211)
    theirs = timm_data.create_transform(**config)(image)
    a = ours.normalize(torch.from_numpy(ours(image))[None])[0]
    torch.testing.assert_close(a, theirs, rtol=0, atol=2.1 / 255 / min(STD))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"input_size": (3, 224, 320)}, r"input_size=\(3, 224, 320\) is not square"),
        (
            {"crop_mode": "border"},
            "crop_mode='border' is not possible. Choose one of: 'center', 'squash'",
        ),
        (
            {"interpolation": "cubic"},
            "interpolation='cubic' is not possible. Choose one of: 'nearest'",
        ),
        ({"crop_pct": 1.5}, "resize=149 must be at least crop=224"),
        ({"mean": (0.5,)}, r"mean=\(0\.5,\) and std=.* must have three values each"),
        ({"std": (0, 1, 1)}, r"std=\(0\.0, 1\.0, 1\.0\) must .* positive"),
    ],
)
def test_impossible_configurations_are_refused(change, match):
    config = {"input_size": (3, 224, 224), "interpolation": "bilinear", "mean": MEAN, "std": STD}
    Preprocessing.from_timm(config)
    with pytest.raises(ValueError, match=match):
        Preprocessing.from_timm(config | change)


def test_with_size_keeps_the_part_that_is_cropped():
    assert IMAGENET.with_size(224) == IMAGENET
    assert IMAGENET.with_size(112) == Preprocessing(112, 128, MEAN, STD)
    assert Preprocessing(224, 224, MEAN, STD).with_size(65).resize == 65
    with pytest.raises(ValueError, match="image_size=0 must be at least 1 pixel"):
        IMAGENET.with_size(0)


def test_min_size_is_what_the_shorter_side_becomes():
    assert IMAGENET.min_size == 256


def test_the_key_tells_any_two_preprocessings_apart_and_is_the_same_text_every_time():
    assert IMAGENET.key == (
        "crop=224 resize=256 mean=0.485,0.456,0.406 std=0.229,0.224,0.225 "
        "interpolation=bilinear fit=shorter"
    )
    others = [
        Preprocessing(223, 256, MEAN, STD),
        Preprocessing(224, 255, MEAN, STD),
        Preprocessing(224, 256, STD, STD),
        Preprocessing(224, 256, MEAN, MEAN),
        Preprocessing(224, 256, MEAN, STD, "bicubic"),
        Preprocessing(224, 256, MEAN, STD, fit="squash"),
    ]
    assert len({p.key for p in [IMAGENET, *others]}) == 7
    preset = SimpleNamespace(
        crop_size=[224], resize_size=[256], mean=np.array(MEAN), std=np.array(STD),
        interpolation=InterpolationMode.BILINEAR,
    )  # fmt: skip
    assert Preprocessing.from_torchvision(preset).key == IMAGENET.key


def test_a_preprocessing_pickles_hashes_and_cannot_be_changed():
    assert pickle.loads(pickle.dumps(IMAGENET)) == IMAGENET
    assert hash(IMAGENET) == hash(Preprocessing(224, 256, MEAN, STD))
    with pytest.raises(AttributeError, match="cannot assign to field 'crop'"):
        IMAGENET.crop = 3
