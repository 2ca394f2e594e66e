"""Large images go through in tiles, and nobody can tell."""

import numpy as np
import pytest
import torch

from sktransfer import FineTuneSegmenter, PixelClassifier
from sktransfer.backbones import load_backbone
from sktransfer.datasets import load_digit_masks
from sktransfer.segmentation import coarse_scores, frozen_maps, grids
from sktransfer.segmentation.grids import Grid, resample
from sktransfer.segmentation.reach import layer_reach
from sktransfer.segmentation.tiles import tiles


@pytest.fixture(scope="module")
def data():
    return load_digit_masks()


@pytest.fixture
def small_tiles(monkeypatch):
    """Let images over 320 x 320 pixels go through in tiles."""
    monkeypatch.setattr(frozen_maps, "MAX_PIXELS", 320 * 320)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize(
    ("strategy", "head"), [("full", "fpn"), ("frozen", "fcn8s"), ("partial", "unet")]
)
def test_a_large_image_is_labelled_in_tiles_as_if_it_were_whole(
    data, strategy, head, monkeypatch, batches_run
):
    model = FineTuneSegmenter(
        "tiny", strategy=strategy, head=head, max_epochs=1, precision="float32", cache=None,
        random_state=0,
    ).fit(data.X[:8], data.y[:8])  # fmt: skip
    large = np.tile(
        data.X[:9].reshape(3, 3, 64, 64, 3).swapaxes(1, 2).reshape(192, 192, 3), (2, 3, 1)
    )
    large = large[:371, :523]
    batches_run.clear()
    in_tiles = model.predict_proba([large])[0]
    assert len(batches_run) >= 4
    monkeypatch.setattr(frozen_maps, "MAX_PIXELS", 10**9)
    np.testing.assert_allclose(in_tiles, model.predict_proba([large])[0], rtol=0, atol=1e-5)


@pytest.mark.usefixtures("small_tiles")
def test_pixels_of_large_images_are_classified_in_tiles(data, monkeypatch):
    model = PixelClassifier(backbone="tiny", precision="float32", cache=None, random_state=0)
    model.fit(data.X[:8], data.y[:8])
    large = np.tile(data.X[0], (6, 6, 1))
    in_tiles = model.predict_proba([large])[0]
    monkeypatch.setattr(frozen_maps, "MAX_PIXELS", 10**9)
    np.testing.assert_allclose(in_tiles, model.predict_proba([large])[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("backbone", "seen"),
    [("squeezenet1_1", 128), ("mobilenet_v2", 256), ("mobilenet_v3_small", None)],
)
def test_what_a_cell_sees_is_measured(backbone, seen):
    # mobilenet_v2: 491 pixels across, so 245 to each side; the gates of mobilenet_v3 see everything
    loaded = load_backbone(backbone, "random", random_state=0)
    paths = [stage.modules[-1] for stage in loaded.spec.stages]
    found = layer_reach(loaded.module, loaded.spec, paths)
    assert found == seen


def test_tiles_cover_an_image_once_and_are_small():
    covered = np.zeros((1000, 700), int)
    for rows, columns in tiles((1000, 700), 96, 32, 400 * 400):
        covered[rows.start : rows.stop, columns.start : columns.stop] += 1
        shape = rows.outer_stop - rows.outer_start, columns.outer_stop - columns.outer_start
        assert shape[0] * shape[1] <= 400 * 400
        assert rows.start % 32 == rows.outer_start % 32 == 0
    assert np.all(covered == 1)


def test_scores_are_placed_strip_by_strip_as_at_once(monkeypatch):
    maps = torch.randn(1, 3, 20, 30)
    scores = coarse_scores.CoarseScores([(maps, Grid(4.0, 1.0))], (70, 110), (1.1, 1.1))
    at_once = scores.probabilities()
    monkeypatch.setattr(coarse_scores, "_VALUES", 3 * 110 * 8)
    np.testing.assert_allclose(scores.probabilities(), at_once, rtol=1e-5)
    assert np.array_equal(scores.codes(), at_once.argmax(-1))


def test_long_axes_are_mixed_as_short_ones_are(monkeypatch):
    maps, to = torch.randn(2, 3, 9, 14), Grid(1.5, 0.3)
    short = resample(maps, Grid(4.0, 2.0), to, (25, 40), (0.7, 1.2))
    monkeypatch.setattr(grids, "_DENSE", 10)
    torch.testing.assert_close(resample(maps, Grid(4.0, 2.0), to, (25, 40), (0.7, 1.2)), short)
