"""The generator of the images on which `tiny` is pre-trained."""

import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def fractals():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import fractals
    finally:
        sys.path.remove(str(BENCHMARKS))
    return fractals


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def atlas(fractals):
    return fractals.draw_atlas(12, 2, 6, 32, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("n_maps", [2, 3, 5, 8])
def test_singular_values_contract_as_the_paper_asks(fractals, generator, n_maps):
    values = fractals.sample_singular_values(n_maps, 200, generator)
    assert values.shape == (200, n_maps, 2)
    assert (values >= 0).all()
    assert (values <= 1).all()
    assert (values[..., 0] >= values[..., 1]).all()
    weighted = (values[..., 0] + 2 * values[..., 1]).sum(1)
    assert (weighted >= (5 + n_maps) / 2 - 1e-4).all()
    assert (weighted <= (6 + n_maps) / 2 + 1e-4).all()


def test_fractals_neither_explode_nor_collapse(fractals, generator):
    pictures = fractals.draw_fractals(fractals.sample_systems(40, generator), 48, generator)
    assert pictures.shape == (40, 2, 48, 48)
    covered = (pictures[:, 0] > 0).float().mean((1, 2))
    assert (covered > 0.01).all()
    assert covered.median() > 0.05
    assert (covered < 0.999).float().mean() > 0.8


def test_scenes_have_the_shape_and_range_of_images_and_vary(fractals, atlas, generator):
    images, _ = fractals.draw_scenes(atlas, 6, 40, generator)
    assert images.shape == (12, 3, 40, 40)
    assert images.min() >= 0
    assert images.max() <= 1
    assert images.std((1, 2, 3)).min() > 0.005
    assert (images[0] - images[1]).abs().mean() > 0.02


def test_two_views_of_a_scene_are_alike_but_not_equal(fractals, atlas, generator):
    images, _ = fractals.draw_scenes(atlas, 32, 40, generator)
    first, second = images[:32], images[32:]
    assert (first - second).abs().mean((1, 2, 3)).min() > 0

    def distance(a, b):
        return (a.mean((2, 3)) - b.mean((2, 3))).abs().mean()

    assert distance(first, second) < distance(first, second.roll(1, 0))


def test_the_same_seed_makes_the_same_images(fractals, atlas):
    one, two = (
        fractals.draw_scenes(atlas, 3, 32, torch.Generator().manual_seed(5))[0] for _ in range(2)
    )
    assert torch.equal(one, two)
