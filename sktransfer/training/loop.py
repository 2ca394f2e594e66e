"""The loop: epochs of a skorch net over rows, until they are done or a callback ends them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping
from torch.utils.data import DataLoader

from sktransfer.exceptions import TrainingError
from sktransfer.features.heap import kept_heap
from sktransfer.training.targets import ClassTarget, weighted_loss

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from sktransfer.randomness import RandomStream
    from sktransfer.training.targets import Target

__all__ = ["TransferNet", "check_loss", "train"]


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
        module: object,
        *,
        target: Target | None = None,
        stream: RandomStream | None = None,
        generator: torch.Generator | None = None,
        precision: str = "float32",
        **params: object,
    ) -> None:
        super().__init__(module, **params)
        self.target, self.stream, self.generator = target, stream, generator
        self.precision = precision

    def infer(self, x: object, **fit_params: object) -> Tensor:
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

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, object]:
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
        self, X: object, y: object = None, epochs: int | None = None, **fit_params: Any
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

    def get_iterator(self, dataset: Any, training: bool = False) -> object:
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
                known = encoded.cpu().numpy()
                kept = (scores, known)
                self.validated_.append(kept if self.target is None else self.target.summary(*kept))
            shown = (batch[0], self._restored(encoded))
            self.notify("on_batch_end", batch=shown, training=training, **step)
            n_run += 1
        self.history.record(f"{prefix}_batch_count", n_run)

    def predict(self, X: object) -> NDArray[np.generic]:
        """Predict targets as the user passed them."""
        scores = self._scores(X)
        return scores if self.target is None else self.target.decode(scores)

    def predict_proba(self, X: object) -> NDArray[np.float64]:
        """Compute probabilities of classes; the scores, if targets are no classes."""
        scores = self._scores(X)
        return self.target.probabilities(scores) if isinstance(self.target, ClassTarget) else scores

    def _scores(self, X: object) -> NDArray[np.float64]:
        scores: NDArray[np.float64] = self.forward(X, device="cpu").double().numpy()
        return scores

    def _restored(self, encoded: Tensor) -> object:
        return encoded if self.target is None else self.target.restore(encoded.cpu().numpy())

    def _early_stopping_is_due(self) -> bool:
        return any(
            isinstance(callback, EarlyStopping)
            and getattr(callback, "misses_", 0) >= callback.patience
            for _, callback in self.callbacks_
        )


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


def train(net: TransferNet, rows: object, epochs: int | None = None) -> None:
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
