import numpy as np
import pytest

from sktransfer.adaptation.half_batches import HalfBatches


def epoch_of(n_source, n_target, batch_size, seed=0):
    rows = np.arange(n_source + n_target)
    batches = HalfBatches([rows[:n_source]], [rows[n_source:]], batch_size)
    return batches, list(batches.epoch(np.random.default_rng(seed)))


@pytest.mark.parametrize(
    ("n_source", "n_target", "batch_size"),
    [(1000, 50, 32), (50, 1000, 32), (64, 64, 32), (5, 3, 32), (1, 1, 32), (33, 7, 32)],
)
def test_any_ratio_gives_full_halves_and_never_zero_steps(n_source, n_target, batch_size):
    batches, drawn = epoch_of(n_source, n_target, batch_size)
    assert len(drawn) == len(batches) >= 1
    for rows in drawn:
        assert len(rows) == 2 * batches.half
        assert (rows[: batches.half] < n_source).all()
        assert (rows[batches.half :] >= n_source).all()


def test_an_epoch_shows_every_row_of_both_domains():
    _, drawn = epoch_of(1000, 50, 32)
    rows, counts = np.unique(np.concatenate(drawn), return_counts=True)
    assert len(rows) == 1050
    assert counts[:1000].max() - counts[:1000].min() <= 1
    assert counts[1000:].max() - counts[1000:].min() <= 1  # the smaller one begins again, evenly


def test_epochs_differ_and_seeds_repeat():
    batches, first = epoch_of(20, 20, 4, seed=1)
    _, again = epoch_of(20, 20, 4, seed=1)
    rng = np.random.default_rng(1)
    epochs = [np.concatenate(list(batches.epoch(rng))) for _ in range(2)]
    np.testing.assert_array_equal(np.concatenate(first), np.concatenate(again))
    assert (epochs[0] != epochs[1]).any()


def test_several_sources_have_the_same_part_whatever_their_numbers():
    rows = np.arange(120)
    batches = HalfBatches([rows[:10], rows[10:100]], [rows[100:]], 8)
    for drawn in batches.epoch(np.random.default_rng(0)):
        assert (drawn[:8] < 10).sum() == 4
