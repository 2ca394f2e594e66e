"""Heads, losses, targets, merging, splits, schedules and the range test, each on its own."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from sktransfer.randomness import seeded
from sktransfer.training.arrays import allocate
from sktransfer.training.deduplicate import merge_equal_rows
from sktransfer.training.heads import Standardizer, make_head, start_at_prior
from sktransfer.training.hold_out import hold_out
from sktransfer.training.schedule import rate_factor
from sktransfer.training.targets import (
    ContinuousTarget,
    MulticlassTarget,
    MultilabelTarget,
    RowLoss,
    check_labels,
    class_target,
    class_weights,
    weighted_loss,
)

THREE = MulticlassTarget(np.arange(3), np.dtype(int))


@pytest.mark.parametrize("head", ["linear", "mlp", lambda n_in, n_out: nn.Linear(n_in, n_out)])
def test_a_head_maps_features_to_scores(head):
    assert make_head(head, 7, 3)(torch.zeros(2, 7)).shape == (2, 3)


def test_named_heads_start_with_the_scores_of_no_knowledge():
    for name in ("linear", "mlp"):
        assert not make_head(name, 7, 3)(torch.randn(2, 7)).any()


def test_a_head_that_cannot_be_used_is_refused():
    with pytest.raises(
        TypeError, match=r"head returned an object of type str. It must return an nn.Module"
    ):
        make_head(lambda n_in, n_out: "head", 7, 3)
    with pytest.raises(ValueError, match=r"to the shape \(2, 4\). It must give \(2, 3\)"):
        make_head(lambda n_in, n_out: nn.Linear(n_in, n_out + 1), 7, 3)


def test_features_are_standardised_and_constant_ones_are_not_blown_up():
    features = torch.tensor([[0.0, 5.0], [200.0, 5.0], [400.0, 5.0]])
    standardizer = Standardizer(2)
    standardizer.fit(features)
    values = standardizer(features)
    assert values[:, 0].std(correction=0) == pytest.approx(1, abs=0.01)
    assert standardizer(torch.tensor([[200.0, 6.0]]))[0, 1] < 1


def test_a_head_starts_at_the_share_of_each_class():
    targets = torch.eye(3)[[0, 0, 0, 1, 2, 2, 2, 2]]
    head = make_head("linear", 4, 3)
    start_at_prior(head, THREE.prior_scores(targets, torch.ones(8)))
    probabilities = head(torch.zeros(1, 4)).softmax(1)[0]
    assert probabilities.tolist() == pytest.approx(
        [(3 + 1 / 3) / 9, (1 + 1 / 3) / 9, (4 + 1 / 3) / 9]
    )


def test_losses_are_those_of_torch():
    scores, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 1, 0, 2])
    onehot = torch.eye(3)[labels]
    expected = nn.CrossEntropyLoss(label_smoothing=0.2)(scores, labels)
    smoothed = MulticlassTarget(np.arange(3), np.dtype(int), 0.2)
    torch.testing.assert_close(RowLoss(smoothed)(scores, onehot), expected)
    flags = MultilabelTarget(np.arange(3), np.dtype(int))
    torch.testing.assert_close(
        RowLoss(flags)(scores, onehot), nn.BCEWithLogitsLoss()(scores, onehot)
    )
    values = ContinuousTarget(np.zeros(3), np.ones(3), one_axis=False)
    torch.testing.assert_close(RowLoss(values)(scores, onehot), nn.MSELoss()(scores, onehot))


def test_somebody_elses_loss_refuses_weights():
    scores, target = torch.zeros(2, 1), torch.ones(2, 1)
    assert weighted_loss(nn.L1Loss(), scores, target, torch.ones(2)) == 1
    with pytest.raises(ValueError, match="gives one loss for a batch, so rows cannot have weights"):
        weighted_loss(nn.L1Loss(), scores, target, torch.tensor([0.5, 1.5]))


def test_quality_is_accuracy_or_the_coefficient_of_determination():
    onehot = np.eye(3, dtype=np.float32)
    assert THREE.quality(onehot, onehot[[0, 1, 1]]) == pytest.approx(2 / 3)
    y = np.array([[0.0], [1.0], [2.0]], np.float32)
    values = ContinuousTarget(np.zeros(1), np.ones(1), one_axis=True)
    assert values.quality(y, y) == 1
    assert values.quality(np.ones_like(y), y) == 0


def test_labels_of_any_kind_come_back_as_they_were():
    for labels in (["b", "a", "c"], [10, 3, 7], [2.0, 1.0, 5.0], [True, False, True]):
        y = check_labels(labels)
        target = class_target(y)
        restored = target.restore(target.encode(y))
        decoded = target.decode(100 * target.encode(y).astype(float) - 50)
        assert restored.tolist() == decoded.tolist() == labels
        assert decoded.dtype == y.dtype


def test_several_labels_a_row_are_a_matrix():
    y = check_labels(np.array([[1, 0, 1], [0, 0, 0]]))
    target = class_target(y)
    assert isinstance(target, MultilabelTarget)
    assert target.labels(np.array([[0.9, 0.2, 0.6]])).tolist() == [[1, 0, 1]]


def test_a_label_that_was_not_there_at_first_is_refused():
    target = class_target(np.array([1, 2]))
    with pytest.raises(ValueError, match=r"y holds \[3\], which is not among the classes \[1, 2\]"):
        target.encode(np.array([1, 3]))


def test_targets_are_standardised_and_return_in_their_units():
    y = np.array([[1000.0, 5.0], [3000.0, 5.0]])
    scaler = ContinuousTarget.of(y, np.ones(2))
    assert scaler.encode(y).tolist() == [[-1, 0], [1, 0]]
    np.testing.assert_allclose(scaler.decode(scaler.encode(y).astype(float)), y)


def test_balanced_classes_have_the_same_total():
    y, weights = np.array([0, 0, 0, 1]), np.array([1.0, 1, 1, 2])
    factors = class_weights("balanced", class_target(y), y, weights)
    assert (factors * weights)[:3].sum() == pytest.approx((factors * weights)[3])


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ("equal", r"class_weight='equal' is not possible. Choose None, 'balanced', or a dict"),
        ({5: 1.0}, r"class_weight names 5, which is not among the classes \[0, 1\]"),
    ],
)
def test_weights_of_classes_that_cannot_be_used_are_refused(class_weight, message):
    y = np.array([0, 1])
    with pytest.raises(ValueError, match=message):
        class_weights(class_weight, class_target(y), y, np.ones(2))


def test_weights_and_repetitions_in_any_order_give_the_same_rows():
    rng = np.random.default_rng(0)
    images, targets = rng.integers(0, 9, (5, 2, 2)), np.arange(5, dtype=np.float32)[:, None]
    weights = np.array([2.0, 0.0, 1.0, 3.0, 1.0])
    rows, totals = merge_equal_rows([images], targets, weights, np.arange(5))
    repeated = rng.permutation(np.repeat(np.arange(5), weights.astype(int)))
    again, sums = merge_equal_rows([images[repeated]], targets[repeated], np.ones(7), np.arange(7))
    assert totals.tolist() == sums.tolist()
    assert targets[rows].tolist() == targets[repeated][again].tolist()
    assert 1 not in rows


def test_equal_images_of_different_classes_stay_apart():
    images = np.zeros((2, 2, 2), np.uint8)
    rows, _ = merge_equal_rows([images], np.eye(2, dtype=np.float32), np.ones(2), np.arange(2))
    assert sorted(rows) == [0, 1]


def test_the_split_keeps_proportions_and_every_class():
    groups = np.repeat([0, 1, 2, 3], [60, 30, 9, 1])
    train, held_out = hold_out(groups, 0.2, seed=0)
    assert sorted([*train, *held_out]) == list(range(100))
    assert len(held_out) == 20
    assert np.abs(np.bincount(groups[held_out], minlength=4) - [12, 6, 2, 0]).max() <= 1
    assert set(groups[train]) == {0, 1, 2, 3}


def test_few_rows_are_all_trained_on():
    train, held_out = hold_out(np.zeros(40), 0.1, seed=0)
    assert len(train) == 40
    assert len(held_out) == 0


def test_rates_rise_fall_and_join_the_curve_when_a_part_thaws():
    curve = [rate_factor("cosine", step, 200) for step in range(200)]
    assert max(curve) == 1
    assert curve[0] == 0.1
    assert curve[-1] < 0.001
    assert rate_factor("cosine", 100, 200, start=100) == pytest.approx(curve[100] / 10)
    assert rate_factor("cosine", 120, 200, start=100) == curve[120]
    assert rate_factor("constant", 3, 200) == 1


def test_a_seed_decides_inside_and_leaves_no_trace():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with seeded(1, torch.device("cpu")):
        first = torch.rand(3)
    with seeded(1, torch.device("cpu")):
        assert torch.rand(3).equal(first)
    assert torch.get_rng_state().equal(before)


def test_a_large_array_is_a_file_without_a_name(monkeypatch, tmp_path):
    monkeypatch.setattr("sktransfer.training.arrays.MAX_BYTES_IN_MEMORY", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array = allocate((10, 30), np.float32)
    assert isinstance(array, np.memmap)
    array[:] = math.pi
    assert array[9, 29] == np.float32(math.pi)
    assert not list(tmp_path.iterdir())
    assert not isinstance(allocate((2, 3), np.float32), np.memmap)
