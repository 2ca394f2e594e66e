"""The loop: epochs of a skorch net over rows, until they are done or a callback ends them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping
from skorch.helper import predefined_split
from torch.utils.data import DataLoader

from sktransfer.exceptions import TrainingError
from sktransfer.features.heap import kept_heap
from sktransfer.training.batches import Batches, n_batches
from sktransfer.training.callbacks import Clipping, EpochRecord, KeepBest, Phases, RateSchedule
from sktransfer.training.freezing import has_training_batchnorm, parameter_groups
from sktransfer.training.targets import ClassTarget, RowLoss, weighted_loss

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from sktransfer.randomness import RandomStream
    from sktransfer.training.augmentation import Augmentation
    from sktransfer.training.batches import TrainingRows
    from sktransfer.training.network import TransferNetwork
    from sktransfer.training.settings import TrainingSettings
    from sktransfer.training.targets import Target

__all__ = [
    "GroupedOptimizer",
    "TransferNet",
    "check_loss",
    "make_net",
    "own_callbacks",
    "skorch_options",
    "train",
]


class TransferNet(NeuralNet):  # type: ignore[misc] # skorch is untyped
    """A net whose batches are a dictionary of inputs and weights, and encoded targets.

    Its callbacks, its `predict` and its `score` see targets as the user passed them.

    Parameters
    ----------
    module : nn.Module
        The network.
    target : Target
        Encodes and decodes targets.
    stream : RandomStream, optional
        Random numbers of what draws while the network trains, such as dropout.
    generator : torch.Generator, optional
        Random numbers of order, augmentation and mixing.
    precision : {"float32", "bfloat16"}
        Number format of convolutions and matrix products while it trains.
    **params : dict
        See skorch's NeuralNet.
    """

    def __init__(
        self,
        module: Any,
        *,
        target: Target | None = None,
        stream: RandomStream | None = None,
        generator: torch.Generator | None = None,
        precision: str = "float32",
        **params: Any,
    ) -> None:
        super().__init__(module, **params)
        self.target, self.stream, self.generator = target, stream, generator
        self.precision = precision

    def infer(self, x: Any, **fit_params: Any) -> Tensor:
        """Run the network in its precision."""
        with self.autocast():
            scores: Tensor = super().infer(x, **fit_params)
        return scores

    def autocast(self) -> Any:
        """Return the context in which the network computes in its precision."""
        device = torch.device(self.device).type
        return torch.autocast(device, torch.bfloat16, enabled=self.precision == "bfloat16")

    def get_loss(
        self, y_pred: Tensor, y_true: Tensor, X: Any = None, training: bool = False
    ) -> Tensor:
        """Average the losses of the rows by their weights."""
        del training
        weight = X["weight"].to(y_pred.device)
        return weighted_loss(self.criterion_, y_pred, y_true.to(y_pred.device), weight)

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute loss and gradients, and refuse a loss that is no number."""
        if self.stream is None:
            step: dict[str, Any] = super().train_step_single(batch, **fit_params)
        else:
            self._set_training(True)
            inputs, encoded = batch
            with self.stream.lent():
                scores = self.infer(inputs, **fit_params)
                loss: Any = self.get_loss(scores, encoded, X=inputs, training=True)
            loss.backward()
            step = {"loss": loss, "y_pred": scores}
        rates = [group["lr"] for group in self.optimizer_.param_groups]
        check_loss(step["loss"].item(), len(self.history), max(rates))
        return step

    def fit_loop(
        self, X: Any, y: Any = None, epochs: int | None = None, **fit_params: Any
    ) -> TransferNet:
        """Run epochs until they are done, or `stops_` says that the training should end.

        A Ctrl-C goes on to the caller; skorch's own early stopping, which raises the same
        exception, ends the training as planned.
        """
        train_rows, valid_rows = self.get_split_datasets(X, y, **fit_params)
        parts = {"dataset_train": train_rows, "dataset_valid": valid_rows}
        batches = self.get_iterator(train_rows, training=True)
        valid_batches = (
            None if valid_rows is None else self.get_iterator(valid_rows, training=False)
        )
        self.stops_ = False
        for _ in range(self.max_epochs if epochs is None else epochs):
            self.notify("on_epoch_begin", **parts)
            self.run_single_epoch(
                batches, training=True, prefix="train", step_fn=self.train_step, **fit_params
            )
            self.validated_: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
            self.run_single_epoch(
                valid_batches,
                training=False,
                prefix="valid",
                step_fn=self.validation_step,
                **fit_params,
            )
            try:
                self.notify("on_epoch_end", **parts)
            except KeyboardInterrupt:
                if not self._early_stopping_is_due():
                    raise
                self.stops_ = True
            if self.stops_:
                break
        return self

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Return batches of rows of a training, or of whatever else a user passes to `predict`."""
        if training or hasattr(dataset, "batch"):
            return super().get_iterator(dataset, training=training)
        return DataLoader(dataset, batch_size=self.batch_size)

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **fit_params: Any
    ) -> None:
        """Run all batches; callbacks see the targets of a batch as the user passed them."""
        if iterator is None:
            return
        n_run = 0
        for batch in iterator:
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            self.history.record_batch(f"{prefix}_loss", step["loss"].item())
            self.history.record_batch(f"{prefix}_batch_size", len(batch[1]))
            encoded = batch[1][: len(step["y_pred"])]
            if not training:
                scores = step["y_pred"].detach().float().cpu().numpy()
                self.validated_.append((scores, encoded.cpu().numpy()))
            shown = (batch[0], self._restored(encoded))
            self.notify("on_batch_end", batch=shown, training=training, **step)
            n_run += 1
        self.history.record(f"{prefix}_batch_count", n_run)

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict targets as the user passed them."""
        scores = self._scores(X)
        return scores if self.target is None else self.target.decode(scores)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Compute probabilities of classes; the scores, if targets are no classes."""
        scores = self._scores(X)
        return self.target.probabilities(scores) if isinstance(self.target, ClassTarget) else scores

    def _scores(self, X: Any) -> NDArray[np.float64]:
        scores: NDArray[np.float64] = self.forward(X, device="cpu").double().numpy()
        return scores

    def _restored(self, encoded: Tensor) -> Any:
        return encoded if self.target is None else self.target.restore(encoded.cpu().numpy())

    def _early_stopping_is_due(self) -> bool:
        return any(
            isinstance(callback, EarlyStopping)
            and getattr(callback, "misses_", 0) >= callback.patience
            for _, callback in self.callbacks_
        )


class GroupedOptimizer:
    """Make an optimiser of groups that are already there, in place of skorch's own.

    Parameters
    ----------
    make : callable
        Function from groups and `lr` to an optimiser.
    groups : list of dict
        Groups of parameters with their rates.
    """

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


def make_net(
    network: TransferNetwork,
    settings: TrainingSettings,
    target: Target,
    stream: RandomStream,
    *,
    train_rows: TrainingRows,
    valid_rows: TrainingRows | None,
    augmentation: Augmentation | None,
    generator: torch.Generator,
) -> TransferNet:
    """Build and initialise the skorch net that trains a network.

    Parameters
    ----------
    network : TransferNetwork
        The network, which is trained in place.
    settings : TrainingSettings
        Rates, epochs, schedule, and the user's callbacks and parameters of skorch.
    target : Target
        The loss, and how targets are encoded.
    stream : RandomStream
        Random numbers of what draws while the network trains.
    train_rows, valid_rows : TrainingRows, or None for no validation
        The data.
    augmentation : callable or None
        Function that is applied to each training batch of pixels.
    generator : torch.Generator
        Random numbers of order, augmentation and mixing.

    Raises
    ------
    ValueError
        If batches of one image would go into a BatchNorm that trains.
    """
    network.to(settings.device).to(memory_format=torch.channels_last)
    _refuse_batches_of_one(network, len(train_rows), settings.batch_size)
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
    n_steps = n_batches(len(train_rows), settings.batch_size)
    own = own_callbacks(settings, network.first_trained, n_steps)
    if settings.max_grad_norm is not None:
        own.append(("clipping", Clipping(settings.max_grad_norm)))
    options = skorch_options(settings, own, groups, valid_rows)
    options |= {"criterion": RowLoss(target), "iterator_train": Batches}
    if "iterator_train" not in settings.net_params:
        options |= {
            "iterator_train__shuffle": True,
            "iterator_train__generator": generator,
            "iterator_train__augmentation": augmentation,
            "iterator_train__mixup": settings.mixup,
            "iterator_train__device": settings.device,
        }
    options |= dict(settings.net_params)
    net = TransferNet(network, target=target, stream=stream, generator=generator, **options)
    net.initialize()
    return net


def own_callbacks(
    settings: TrainingSettings, first_trained: int, n_steps: int
) -> list[tuple[str, Any]]:
    """Make the callbacks that every training has.

    Parameters
    ----------
    settings : TrainingSettings
        Epochs, schedule and early stopping.
    first_trained : int
        First stage that trains.
    n_steps : int
        Steps of an epoch.
    """
    own: list[tuple[str, Any]] = [
        ("phases", Phases(settings.warmup_epochs, first_trained)),
        ("epoch_record", EpochRecord()),
    ]
    if settings.schedule != "constant" and "optimizer" not in settings.net_params:
        start = settings.warmup_epochs * n_steps
        schedule = RateSchedule(settings.schedule, settings.max_epochs * n_steps, start)
        own.append(("rate_schedule", schedule))
    if settings.patience is not None:
        own.append(("keep_best", KeepBest(settings.patience, settings.warmup_epochs)))
    return own


def skorch_options(
    settings: TrainingSettings,
    own: list[tuple[str, Any]],
    groups: list[dict[str, Any]],
    valid_rows: TrainingRows | None,
) -> dict[str, Any]:
    """Gather the parameters of skorch's NeuralNet that every training has.

    Parameters
    ----------
    settings : TrainingSettings
        Rates, epochs, device, and the user's callbacks.
    own : list of (str, Callback)
        Callbacks that come before those of the user.
    groups : list of dict
        Groups of parameters with their rates.
    valid_rows : TrainingRows or None
        Rows that are held back.
    """
    callbacks = settings.callbacks
    options: dict[str, Any] = {
        "optimizer": GroupedOptimizer(settings.make_optimizer, groups),
        "lr": settings.lr,
        "max_epochs": settings.max_epochs,
        "batch_size": settings.batch_size,
        "train_split": None if valid_rows is None else predefined_split(valid_rows),
        "callbacks": callbacks if isinstance(callbacks, str) else [*own, *(callbacks or [])],
        "device": str(settings.device),
        "precision": settings.precision,
        "verbose": settings.run.verbose,
        "iterator_valid": Batches,
    }
    if not settings.run.verbose and callbacks != "disable":
        options["callbacks__print_log"] = None  # it would lay out its table in vain
    return options


def train(net: TransferNet, rows: Any, epochs: int | None = None) -> None:
    """Run the epochs of a net, until one of its callbacks ends them.

    Parameters
    ----------
    net : TransferNet
        Initialised net.
    rows : sized
        Rows to train on.
    epochs : int, optional
        Number of epochs; None means the net's `max_epochs`.

    Raises
    ------
    TrainingError
        If the loss is no number.
    """
    net.notify("on_train_begin", X=rows, y=None)
    with kept_heap():
        net.fit_loop(rows, epochs=epochs)
    net.notify("on_train_end", X=rows, y=None)
    net.train_split = None  # which would keep the images of the training alive
    net.validated_ = []


def _refuse_batches_of_one(network: torch.nn.Module, n_rows: int, batch_size: int) -> None:
    """Refuse batches of one image if a BatchNorm takes its statistics from them."""
    smallest = n_rows // n_batches(n_rows, batch_size)
    if smallest < 2 and has_training_batchnorm(network.train()):
        raise ValueError(
            f"batch_size={batch_size} with {n_rows} rows to train on gives batches of one image, "
            "from which BatchNorm in training mode cannot take statistics. Pass more images and a "
            "batch_size of at least 2, or set freeze_batchnorm=True with a pre-trained network."
        )
