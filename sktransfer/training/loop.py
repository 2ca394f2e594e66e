"""The skorch net: half precision, weights of rows, and a stop when the loss is no number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from skorch import NeuralNet
from skorch.helper import predefined_split

from sktransfer.exceptions import TrainingError
from sktransfer.features.heap import kept_heap
from sktransfer.training.batches import Batches, n_batches
from sktransfer.training.callbacks import Clipping, EpochRecord, KeepBest, Phases, RateSchedule
from sktransfer.training.freezing import has_training_batchnorm, parameter_groups
from sktransfer.training.losses import RowLoss, weighted_loss

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from sktransfer.training.augmentation import Augmentation
    from sktransfer.training.batches import TrainingRows
    from sktransfer.training.network import TransferNetwork
    from sktransfer.training.settings import TrainingSettings

__all__ = [
    "GroupedOptimizer",
    "TransferNet",
    "check_loss",
    "make_net",
    "refuse_batches_of_one",
    "train",
]


class TransferNet(NeuralNet):  # type: ignore[misc] # skorch is untyped
    """A net whose batches are a dictionary of inputs and weights, and targets.

    Parameters
    ----------
    module : nn.Module
        The network.
    precision : {"float32", "bfloat16"}
        What convolutions and matrix products compute in while it trains.
    **params : dict
        See skorch's NeuralNet.
    """

    def __init__(self, module: Any, *, precision: str = "float32", **params: Any) -> None:
        super().__init__(module, **params)
        self.precision = precision

    def infer(self, x: Any, **fit_params: Any) -> Tensor:
        """Run the network in its precision."""
        device = torch.device(self.device).type
        with torch.autocast(device, torch.bfloat16, enabled=self.precision == "bfloat16"):
            scores: Tensor = super().infer(x, **fit_params)
        return scores

    def get_loss(
        self, y_pred: Tensor, y_true: Tensor, X: Any = None, training: bool = False
    ) -> Tensor:
        """Average the losses of the rows by their weights."""
        del training
        weight = X["weight"].to(y_pred.device)
        return weighted_loss(self.criterion_, y_pred, y_true.to(y_pred.device), weight)

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute loss and gradients, and refuse a loss that is no number."""
        step: dict[str, Any] = super().train_step_single(batch, **fit_params)
        rates = [group["lr"] for group in self.optimizer_.param_groups]
        check_loss(step["loss"].item(), len(self.history), max(rates))
        return step

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Tell all callbacks, and end the training if one of them has asked for that."""
        super().notify(method_name, **cb_kwargs)
        if method_name == "on_epoch_end" and getattr(self, "stops_", False):
            raise _Stop


class _Stop(Exception):  # noqa: N818 - it ends a training as planned
    """Ends the loop over epochs."""


class GroupedOptimizer:
    """Make an optimiser of groups that are already there, in place of skorch's own."""

    def __init__(
        self, make: Callable[..., torch.optim.Optimizer], groups: list[dict[str, Any]]
    ) -> None:
        self.make, self.groups = make, groups

    def __call__(self, params: Any, lr: float, **options: Any) -> torch.optim.Optimizer:
        """Make the optimiser; `params`, which skorch collects, is not used."""
        del params
        return self.make([dict(group) for group in self.groups], lr=lr, **options)


def check_loss(loss: float, epoch: int, lr: float) -> None:
    """Refuse a loss that is NaN or infinite.

    Raises
    ------
    TrainingError
        Naming epoch and rate.

    Examples
    --------
    >>> check_loss(float("nan"), 3, 0.5)
    Traceback (most recent call last):
    sktransfer.exceptions.TrainingError: the loss became nan in epoch 3, at a rate of 0.5. ...
    """
    if not math.isfinite(loss):
        raise TrainingError(
            f"the loss became {loss} in epoch {epoch}, at a rate of {lr:.3g}. Lower lr and "
            "backbone_lr, for example to a tenth, or ask lr_find(X, y) for a rate."
        )


def refuse_batches_of_one(network: torch.nn.Module, n_rows: int, batch_size: int) -> None:
    """Refuse batches of one image if a BatchNorm takes its statistics from them.

    Raises
    ------
    ValueError
        Saying what to change.
    """
    smallest = n_rows // n_batches(n_rows, batch_size)
    if smallest < 2 and has_training_batchnorm(network.train()):
        raise ValueError(
            f"batch_size={batch_size} with {n_rows} rows to train on gives batches of one image, "
            "from which BatchNorm in training mode cannot take statistics. Pass more images and a "
            "batch_size of at least 2, or set freeze_batchnorm=True with a pre-trained network."
        )


def make_net(
    network: TransferNetwork,
    settings: TrainingSettings,
    criterion: RowLoss,
    *,
    train_rows: TrainingRows,
    valid_rows: TrainingRows | None,
    seed: int,
    augmentation: Augmentation | None = None,
    callbacks: Any = None,
    net_params: Mapping[str, Any] | None = None,
    verbose: int = 0,
) -> TransferNet:
    """Build and initialise the skorch net that trains a network.

    Parameters
    ----------
    network : TransferNetwork
        Is trained in place.
    settings : TrainingSettings
        How.
    criterion : RowLoss
        The loss.
    train_rows, valid_rows : TrainingRows, or None for no validation
        The data.
    seed : int
        Of order, augmentation and mixing.
    augmentation : callable, optional
        Of each training batch of pixels.
    callbacks : list, optional
        Of skorch, after our own.
    net_params : mapping, optional
        Parameters of skorch's NeuralNet, which win over ours.
    verbose : int
        1 prints skorch's table of epochs.
    """
    network.to(settings.device).to(memory_format=torch.channels_last)
    refuse_batches_of_one(network, len(train_rows), settings.batch_size)
    groups = parameter_groups(
        network.backbone,
        network.spec,
        network.first_trained,
        network.head,
        lr=settings.lr,
        backbone_lr=settings.backbone_lr,
        weight_decay=settings.weight_decay,
        layer_decay=settings.layer_decay,
    )
    given = dict(net_params or {})
    own = _own_callbacks(network, settings, criterion.kind, len(train_rows), given)
    options: dict[str, Any] = {
        "criterion": criterion,
        "optimizer": GroupedOptimizer(settings.make_optimizer, groups),
        "lr": settings.lr,
        "max_epochs": settings.max_epochs,
        "batch_size": settings.batch_size,
        "train_split": None if valid_rows is None else predefined_split(valid_rows),
        "callbacks": callbacks if isinstance(callbacks, str) else [*own, *(callbacks or [])],
        "device": str(settings.device),
        "precision": settings.precision,
        "verbose": verbose,
        "iterator_train": Batches,
        "iterator_valid": Batches,
    }
    if not verbose and callbacks != "disable":
        options["callbacks__print_log"] = None  # it would lay out its table in vain
    if "iterator_train" not in given:
        options |= {
            "iterator_train__shuffle": True,
            "iterator_train__generator": torch.Generator().manual_seed(seed),
            "iterator_train__augmentation": augmentation,
            "iterator_train__mixup": settings.mixup,
            "iterator_train__device": settings.device,
        }
    net = TransferNet(network, **(options | given))
    net.initialize()
    return net


def train(net: TransferNet, rows: TrainingRows, epochs: int | None = None) -> None:
    """Run the epochs of a net, until one of its callbacks ends them.

    Parameters
    ----------
    net : TransferNet
        Initialised.
    rows : TrainingRows
        To train on.
    epochs : int, optional
        None means the net's `max_epochs`.

    Raises
    ------
    TrainingError
        If the loss is no number.
    """
    net.stops_ = False
    net.notify("on_train_begin", X=rows, y=None)
    try:
        with kept_heap():
            net.fit_loop(rows, epochs=epochs)
    except _Stop:
        pass
    except KeyboardInterrupt as stop:  # skorch's own early stopping; a user's Ctrl-C goes on
        if not _comes_from_callback(stop):
            raise
    net.notify("on_train_end", X=rows, y=None)
    net.train_split = None  # which would keep the images of the training alive


def _own_callbacks(
    network: TransferNetwork,
    settings: TrainingSettings,
    kind: str,
    n_rows: int,
    given: Mapping[str, Any],
) -> list[tuple[str, Any]]:
    own: list[tuple[str, Any]] = [
        ("phases", Phases(settings.warmup_epochs, network.first_trained)),
        ("epoch_record", EpochRecord(kind)),
    ]
    n_steps = n_batches(n_rows, given.get("batch_size", settings.batch_size))
    if settings.schedule != "constant" and "optimizer" not in given:
        epochs = given.get("max_epochs", settings.max_epochs)
        start = settings.warmup_epochs * n_steps
        own.append(("rate_schedule", RateSchedule(settings.schedule, epochs * n_steps, start)))
    if settings.max_grad_norm is not None:
        own.append(("clipping", Clipping(settings.max_grad_norm)))
    if settings.patience is not None:
        own.append(("keep_best", KeepBest(settings.patience, settings.warmup_epochs)))
    return own


def _comes_from_callback(stop: BaseException) -> bool:
    """Tell whether an exception was raised by a callback of skorch, and not by the keyboard."""
    trace = stop.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = "" if trace is None else trace.tb_frame.f_globals.get("__name__", "")
    return str(name).startswith("skorch.callbacks")
