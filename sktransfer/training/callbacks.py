"""Callbacks of skorch: phases, rates by step, the best weights, and what each epoch gave."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from skorch.callbacks import Callback
from torch import nn

from sktransfer.training.schedule import rate_factor

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor

__all__ = [
    "COLUMNS",
    "Clipping",
    "EpochRecord",
    "KeepBest",
    "Phases",
    "RateSchedule",
    "plain",
    "restore",
    "snapshot",
    "tidy",
]

COLUMNS = {
    "epoch": "epoch",
    "phase": "phase",
    "train_loss": "train_loss",
    "valid_loss": "valid_loss",
    "valid_score": "valid_score",
    "lr": "lr",
    "backbone_lr": "backbone_lr",
    "best": "best",
    "dur": "seconds",
}


class Phases(Callback):  # type: ignore[misc] # skorch is untyped
    """Let the head train alone for some epochs, then the stages that are to train with it.

    Parameters
    ----------
    warmup_epochs : int
        Epochs in which the head trains alone.
    first_trained : int
        First stage that trains afterwards.
    """

    def __init__(self, warmup_epochs: int, first_trained: int) -> None:
        self.warmup_epochs, self.first_trained = warmup_epochs, first_trained

    def on_epoch_begin(self, net: Any, **_: object) -> None:
        """Freeze at the first epoch, and unfreeze when the time has come."""
        network, is_early = net.module_, len(net.history) <= self.warmup_epochs
        first = len(network.spec.stages) if is_early else self.first_trained
        if network.first_trained != first:
            network.set_trained(first)
        net.history.record("phase", "head" if is_early else "all")


class RateSchedule(Callback):  # type: ignore[misc]
    """Set the rate of each group of parameters before each step, see `schedule.rate_factor`.

    Parameters
    ----------
    schedule : str
        Name of the schedule.
    n_steps : int
        Steps of the whole training.
    backbone_start : int
        The step at which the backbone's parameters begin to train.
    """

    def __init__(self, schedule: str, n_steps: int, backbone_start: int) -> None:
        self.schedule, self.n_steps, self.backbone_start = schedule, n_steps, backbone_start

    def on_train_begin(self, net: Any, **_: object) -> None:
        """Remember the rates that the groups were made with."""
        self.step_ = 0
        self.rates_ = [group["lr"] for group in net.optimizer_.param_groups]

    def on_batch_begin(self, net: Any, training: bool = False, **_: object) -> None:
        """Set the rates of the step that comes."""
        if not training:
            return
        for group, rate in zip(net.optimizer_.param_groups, self.rates_, strict=True):
            start = self.backbone_start if group.get("part") == "backbone" else 0
            factor = rate_factor(self.schedule, max(self.step_, start), self.n_steps, start)
            group["lr"] = rate * factor
        self.step_ += 1


class Clipping(Callback):  # type: ignore[misc]
    """Scale long gradients down to a length; skorch's own goes through frozen parameters too.

    Parameters
    ----------
    max_norm : float
        The length, over all that the optimiser changes.
    """

    def __init__(self, max_norm: float) -> None:
        self.max_norm = max_norm

    def on_grad_computed(self, net: Any, **_: object) -> None:
        """Scale."""
        groups = net.optimizer_.param_groups
        nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], self.max_norm)


class KeepBest(Callback):  # type: ignore[misc]
    """Keep the weights of the epoch with the smallest validation loss, and stop when it is long past.

    Parameters
    ----------
    patience : int
        Epochs without a smaller loss after which training stops.
    start : int
        Epochs that do not count.
    """

    def __init__(self, patience: int, start: int = 0) -> None:
        self.patience, self.start = patience, start

    def on_train_begin(self, net: Any, **_: object) -> None:  # noqa: ARG002 - skorch's signature
        """Forget an earlier training."""
        self.best_loss_, self.waited_ = math.inf, 0
        self.state_: dict[str, Tensor] | None = None

    def on_epoch_end(self, net: Any, dataset_valid: Any = None, **_: object) -> None:
        """Compare the epoch's validation loss with the smallest so far."""
        if dataset_valid is None:
            return
        loss = net.history[-1, "valid_loss"]
        is_best = loss < self.best_loss_
        net.history.record("best", is_best)
        if is_best:
            self.best_loss_, self.waited_ = loss, 0
            self.state_ = snapshot(net.module_, net.optimizer_)
        elif len(net.history) > self.start:
            self.waited_ += 1
            net.stops_ = self.waited_ >= self.patience

    def on_train_end(self, net: Any, **_: object) -> None:
        """Return to the best weights."""
        if self.state_ is not None:
            restore(net.module_, self.state_)
            self.state_ = None


class EpochRecord(Callback):  # type: ignore[misc]
    """Write rates and the validation score of each epoch into skorch's history."""

    def on_epoch_end(self, net: Any, **_: object) -> None:
        """Record what the epoch gave."""
        if net.validated_ and net.target is not None:
            scores, encoded = (np.concatenate(part) for part in zip(*net.validated_, strict=True))
            net.history.record("valid_score", net.target.quality(scores, encoded))
        for group in net.optimizer_.param_groups:
            name = "backbone_lr" if group.get("part") == "backbone" else "lr"
            net.history.record(name, max(group["lr"], net.history[-1].get(name, 0.0)))


def snapshot(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Copy all that training can change: the parameters of an optimiser, and all buffers."""
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    state = {
        name: parameter.detach().clone()
        for name, parameter in network.named_parameters()
        if id(parameter) in trained
    }
    return state | {name: buffer.clone() for name, buffer in network.named_buffers()}


def restore(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Put back what `snapshot` copied."""
    network.load_state_dict(state, strict=False)


def tidy(history: Any, columns: Mapping[str, str] = COLUMNS) -> list[dict[str, Any]]:
    """Make of skorch's history one flat dictionary an epoch, with only what was recorded.

    Parameters
    ----------
    history : skorch.history.History
        History that skorch recorded.
    columns : mapping of str to str
        Names of skorch's records, and those that users see.
    """
    return [
        {name: plain(row[key]) for key, name in columns.items() if key in row}
        for row in history.to_list()
    ]


def plain(value: object) -> object:
    """Turn a number of NumPy into one of Python."""
    return value.item() if isinstance(value, np.generic) else value
