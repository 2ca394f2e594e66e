import numpy as np
import pytest
import torch

from sktransfer.training.augmentation import resolve_augmentation
from sktransfer.training.batches import Batches, TrainingRows, mix_up


@pytest.fixture
def rows():
    images = np.arange(33 * 4 * 4 * 3, dtype=np.uint8).reshape(33, 4, 4, 3)
    targets = np.arange(33, dtype=np.float32)[:, None]
    return TrainingRows([images], np.arange(33), targets, np.ones(33, np.float32))


def _seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_every_row_comes_once_in_batches_of_nearly_equal_sizes(rows):
    batches = Batches(rows, 32, shuffle=True, generator=_seeded())
    targets = [target for _, target in batches]
    assert [len(target) for target in targets] == [17, 16]  # and no batch of one
    assert sorted(torch.cat(targets)[:, 0].tolist()) == list(range(33))
    assert len(batches) == 2


def test_each_pass_has_another_order_and_a_seed_repeats_both(rows):
    batches = Batches(rows, 8, shuffle=True, generator=_seeded())
    first, second = (torch.cat([t for _, t in batches]) for _ in range(2))
    assert not first.equal(second)
    again = Batches(rows, 8, shuffle=True, generator=_seeded())
    assert torch.cat([t for _, t in again]).equal(first)
    assert torch.cat([t for _, t in again]).equal(second)


def test_fewer_rows_than_a_batch_are_one_batch(rows):
    assert [len(target) for _, target in Batches(rows.subset(np.arange(3)), 32)] == [3]


def test_views_come_in_turn():
    views = [np.full((2, 3), view, np.float32) for view in range(2)]
    rows = TrainingRows(views, np.arange(2), np.zeros((2, 1), np.float32), np.ones(2, np.float32))
    batches = Batches(rows, 2)
    assert [float(inputs["inputs"][0, 0]) for _ in range(3) for inputs, _ in batches] == [0, 1, 0]


def test_weights_of_a_subset_have_a_mean_of_one(rows):
    some = TrainingRows(rows.views, rows.rows, rows.targets, np.arange(33, dtype=np.float32))
    assert some.subset(np.array([1, 3])).weights.tolist() == [0.5, 1.5]


def test_mixing_blends_inputs_weights_and_targets_alike():
    inputs = {"inputs": torch.eye(4), "weight": torch.tensor([1.0, 2.0, 3.0, 4.0])}
    mixed, target = mix_up(inputs, torch.eye(4), 1.0, _seeded(3))
    assert not target.equal(torch.eye(4))
    torch.testing.assert_close(mixed["inputs"], target)
    torch.testing.assert_close(target.sum(1), torch.ones(4))
    pixels = {"inputs": torch.full((2, 4, 4, 3), 200, dtype=torch.uint8), "weight": torch.ones(2)}
    assert mix_up(pixels, torch.eye(2), 1.0, _seeded())[0]["inputs"].unique().tolist() == [200]


@pytest.mark.parametrize("name", ["light", "strong"])
def test_augmentation_gives_other_views_that_the_seed_decides(name):
    augment = resolve_augmentation(name, trunk_is_frozen=False)
    ramp = torch.arange(16, dtype=torch.uint8).repeat(16, 1)[..., None].repeat(1, 1, 3) * 10
    batch = ramp[None].repeat(20, 1, 1, 1)
    views = augment(batch, _seeded())
    assert views.shape == batch.shape
    assert views.dtype == torch.uint8
    assert len(views.flatten(1).unique(dim=0)) == 20
    assert views.equal(augment(batch, _seeded()))
    assert not views.equal(augment(batch, _seeded(1)))
    flipped = views[:, :, 0].float().mean((1, 2)) > views[:, :, -1].float().mean((1, 2))
    assert 3 < flipped.sum() < 17
    assert (views.float().mean() - batch.float().mean()).abs() < 15  # it is still the same picture


def test_automatic_augmentation_leaves_frozen_work_to_run_once():
    assert resolve_augmentation("auto", trunk_is_frozen=True) is None
    assert resolve_augmentation("auto", trunk_is_frozen=False) is not None
    assert resolve_augmentation(None, trunk_is_frozen=False) is None


def test_somebodys_function_takes_image_by_image_and_the_seed_decides_its_draws():
    def noise(image):
        assert image.shape == (3, 4, 4)
        return (image + torch.randint(0, 50, (1,))).to(torch.uint8)

    augment = resolve_augmentation(noise, trunk_is_frozen=False)
    batch = torch.zeros(6, 4, 4, 3, dtype=torch.uint8)
    state = torch.get_rng_state()
    views = augment(batch, _seeded())
    assert len(views.flatten(1).unique(dim=0)) > 1
    assert views.equal(augment(batch, _seeded()))
    assert torch.get_rng_state().equal(state)


def test_a_function_that_returns_something_else_is_refused():
    batch = torch.zeros(2, 4, 4, 3, dtype=torch.uint8)
    with pytest.raises(
        TypeError, match=r"augmentation returned torch.float32. It must return a uint8"
    ):
        resolve_augmentation(lambda image: image.float(), trunk_is_frozen=False)(batch, _seeded())
    with pytest.raises(ValueError, match=r"returned the shape \(3, 2, 4\)"):
        resolve_augmentation(lambda image: image[:, :2], trunk_is_frozen=False)(batch, _seeded())
    with pytest.raises(ValueError, match=r"augmentation='heavy' is not possible"):
        resolve_augmentation("heavy", trunk_is_frozen=False)
    with pytest.raises(TypeError, match=r"augmentation=3 is a int"):
        resolve_augmentation(3, trunk_is_frozen=False)
