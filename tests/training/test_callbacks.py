"""The callbacks of a training, each with a net that has only what it uses."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skorch.history import History
from torch import nn

from sktransfer.training.callbacks import (
    Clipping,
    EpochRecord,
    KeepBest,
    Phases,
    RateSchedule,
    tidy,
)


def _net(**attributes):
    module = nn.Linear(2, 1)
    groups = [
        {"params": [module.weight], "lr": 0.1, "part": "backbone"},
        {"params": [module.bias], "lr": 1.0, "part": "head"},
    ]
    optimizer = torch.optim.SGD(groups)
    return SimpleNamespace(
        history=History(), module_=module, optimizer_=optimizer, stops_=False, **attributes
    )


def test_the_head_trains_alone_first():
    network = SimpleNamespace(spec=SimpleNamespace(stages=range(5)), first_trained=3)
    network.set_trained = lambda first: setattr(network, "first_trained", first)
    net, trained = _net(), []
    net.module_ = network
    phases = Phases(warmup_epochs=2, first_trained=3)
    for _ in range(4):
        net.history.new_epoch()
        phases.on_epoch_begin(net)
        trained.append(network.first_trained)
    assert trained == [5, 5, 3, 3]
    assert net.history[:, "phase"] == ["head", "head", "all", "all"]


def test_rates_follow_the_schedule_and_the_backbone_rises_where_it_begins():
    net = _net()
    schedule = RateSchedule("cosine", n_steps=40, backbone_start=20)
    schedule.on_train_begin(net)
    rates = []
    for _ in range(40):
        schedule.on_batch_begin(net, training=True)
        schedule.on_batch_begin(net, training=False)  # of the validation part, which is no step
        rates.append([group["lr"] for group in net.optimizer_.param_groups])
    backbone, head = np.array(rates).T
    assert head.argmax() == 1
    assert (np.diff(head[2:]) < 0).all()
    assert backbone[20] < backbone[21]  # it rises
    np.testing.assert_allclose(backbone[21:], head[21:] / 10)  # and joins


def test_long_gradients_become_short_and_short_ones_stay():
    net = _net()
    for scale, expected in ((10.0, 1.0), (0.1, 0.1)):
        net.module_.weight.grad = torch.tensor([[0.6, 0.0]]) * scale
        net.module_.bias.grad = torch.tensor([0.8]) * scale
        Clipping(1.0).on_grad_computed(net)
        grads = [parameter.grad.flatten() for parameter in net.module_.parameters()]
        assert torch.cat(grads).norm().item() == pytest.approx(expected, rel=1e-4)


def _epoch(net, keeper, loss, value):
    net.history.new_epoch()
    net.history.record("valid_loss", loss)
    nn.init.constant_(net.module_.bias, value)
    keeper.on_epoch_end(net, dataset_valid=object())


def test_the_weights_of_the_best_epoch_return_and_training_stops_when_it_is_long_past():
    net, keeper = _net(), KeepBest(patience=2)
    keeper.on_train_begin(net)
    for value, loss in enumerate([3.0, 1.0, 2.0]):
        _epoch(net, keeper, loss, value)
        assert not net.stops_
    _epoch(net, keeper, 1.5, 9)
    assert net.stops_
    keeper.on_train_end(net)
    assert net.module_.bias.item() == 1
    assert net.history[:, "best"] == [True, True, False, False]


def test_epochs_of_the_head_alone_do_not_stop_a_training():
    net, keeper = _net(), KeepBest(patience=1, start=3)
    keeper.on_train_begin(net)
    for loss in (1.0, 2.0, 2.0):
        _epoch(net, keeper, loss, 0)
        assert not net.stops_
    _epoch(net, keeper, 2.0, 0)
    assert net.stops_


def test_without_a_validation_part_the_last_weights_stay():
    net, keeper = _net(), KeepBest(patience=1)
    keeper.on_train_begin(net)
    nn.init.constant_(net.module_.bias, 5)
    keeper.on_epoch_end(net, dataset_valid=None)
    keeper.on_train_end(net)
    assert net.module_.bias.item() == 5


def test_the_history_says_rates_and_validation_score_in_numbers_of_python():
    quality = SimpleNamespace(
        quality=lambda scores, encoded: np.float32((scores == encoded).mean())
    )
    net = _net(target=quality, validated_=[(np.ones(3), np.ones(3)), (np.ones(1), np.zeros(1))])
    net.history.new_epoch()
    EpochRecord().on_epoch_end(net)
    (row,) = tidy(net.history)
    assert row == {"valid_score": 0.75, "lr": 1.0, "backbone_lr": 0.1}
    assert type(row["valid_score"]) is float
