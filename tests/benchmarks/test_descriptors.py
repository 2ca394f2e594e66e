"""The hand-made descriptors that `tiny` learns to tell."""

import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def descriptors():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import descriptors
    finally:
        sys.path.remove(str(BENCHMARKS))
    return descriptors


@pytest.fixture
def images():
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def stripes(angle: float) -> torch.Tensor:
    """A grating of which the grey value changes along `angle`, in radians: (1, 3, 32, 32)."""
    axis = torch.arange(32.0)
    phase = axis[:, None] * torch.sin(torch.tensor(angle)) + axis * torch.cos(torch.tensor(angle))
    return (0.5 + 0.5 * torch.sin(0.9 * phase)).expand(1, 3, 32, 32)


def test_mirror_images_share_their_description(descriptors, images):
    same = descriptors.describe(images.flip(3))
    torch.testing.assert_close(same, descriptors.describe(images), rtol=0, atol=1e-5)


def test_upside_down_images_do_not(descriptors, images):
    difference = descriptors.describe(images.flip(2)) - descriptors.describe(images)
    assert difference.abs().mean() > 0.01


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (24, 48)])
def test_images_of_any_size_have_as_many_finite_descriptors(descriptors, size):
    found = descriptors.describe(torch.rand(2, 3, *size))
    assert found.shape == (2, descriptors.N_DESCRIPTORS)
    assert found.isfinite().all()


def test_a_uniform_image_has_finite_descriptors_without_gradients(descriptors):
    grey = torch.full((1, 3, 32, 32), 0.5)
    assert descriptors.describe(grey).isfinite().all()
    assert descriptors.oriented_gradients(grey).abs().max() == 0


@pytest.mark.parametrize("index", range(8))
def test_the_orientation_of_stripes_fills_its_bin(descriptors, index):
    image = stripes(index * torch.pi / 8)
    gradients = descriptors.oriented_gradients(image).mean((2, 3))[0]  # (8,)
    assert gradients.argmax() == index


@pytest.mark.parametrize("index", range(6))
def test_the_filter_along_stripes_answers_most(descriptors, index):
    image = stripes(index * torch.pi / 6)
    for energies in descriptors.filter_energies(image)[:2]:
        assert energies.mean((2, 3))[0].argmax() == index


def test_a_colour_histogram_counts_all_pixels_at_their_place(descriptors):
    image = torch.zeros(1, 3, 32, 32)
    image[:, 0, :16] = 1.0  # the upper half red, the rest black
    shares = descriptors.colour_histogram(image).square().view(4, 4, 4)
    assert shares[3, 0, 0] == pytest.approx(0.5)
    assert shares[0, 0, 0] == pytest.approx(0.5)
    assert shares.sum() == pytest.approx(1.0)


def test_the_colour_layout_tells_where_a_colour_is(descriptors):
    image = torch.zeros(1, 3, 32, 32)
    image[:, 2, :8] = 1.0  # a blue sky
    cells = descriptors.colour_layout(image)[0]  # (6, 4, 4)
    assert (cells[2, 0] == 1).all()
    assert (cells[2, 1:] == 0).all()
    assert (cells[5, 0] == -2).all()
