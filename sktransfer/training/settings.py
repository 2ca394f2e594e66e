"""The parameters of a training, checked and resolved."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any

import torch

from sktransfer.features.device import candidate_precisions, resolve_device, resolve_workers
from sktransfer.features.pooling import check_pooling
from sktransfer.parameters import check_choice, check_integer
from sktransfer.training.heads import check_head
from sktransfer.training.schedule import SCHEDULES

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["OPTIMIZERS", "TrainingSettings", "check_number", "read_settings"]

OPTIMIZERS = ("adamw", "adam", "sgd")
"""The optimisers that have a name."""

_MOST_HELD_OUT = 0.9
_BACKBONE_SHARE = 0.1  # of `lr`: the head starts from nothing, the backbone close to its goal


@dataclass(frozen=True)
class TrainingSettings:
    """What a training needs to know, beside the network and the data.

    Parameters
    ----------
    max_epochs, warmup_epochs : int
        Passes in all, and those at the start in which the head trains alone.
    lr, backbone_lr : float
        Rates of the head and of the backbone's last stage.
    make_optimizer : callable
        From groups of parameters, and `lr` for those that name none, to an optimiser.
    weight_decay : float
        Of the optimiser.
    layer_decay : float or None
        What rates are multiplied with from stage to stage, towards the input.
    max_grad_norm : float or None
        Longer gradients are scaled down to this length.
    schedule : {"cosine", "constant"}
        See `schedule`.
    batch_size : int
        The most rows in a batch.
    patience : int or None
        Epochs without a better validation loss before training stops; None for no early stopping.
    validation_fraction : float
        Part of the rows that is held back.
    mixup : float
        See `batches.mix_up`.
    device : torch.device
        Where the network trains.
    precision : {"float32", "bfloat16"}
        What convolutions and matrix products compute in while it trains.
    n_workers : int
        Threads that decode.
    """

    max_epochs: int
    warmup_epochs: int
    lr: float
    backbone_lr: float
    make_optimizer: Callable[..., torch.optim.Optimizer]
    weight_decay: float
    layer_decay: float | None
    max_grad_norm: float | None
    schedule: str
    batch_size: int
    patience: int | None
    validation_fraction: float
    mixup: float
    device: torch.device
    precision: str
    n_workers: int


def read_settings(estimator: Any, *, from_scratch: bool) -> TrainingSettings:
    """Check the training parameters of an estimator.

    Parameters
    ----------
    estimator : object
        With the parameters of `FineTuneClassifier` as attributes.
    from_scratch : bool
        Whether the backbone starts from nothing, like the head, so that its rate is `lr`.

    Raises
    ------
    ValueError, TypeError
        If one cannot be used.
    """
    pooling = estimator.pooling
    if not isinstance(pooling, str):
        raise TypeError(
            f"pooling={pooling!r} is a {type(pooling).__name__}. Pass one of 'avg', "
            "'max', 'avgmax', 'gem' and 'flatten'."
        )
    check_pooling(pooling)
    check_head(estimator.head)
    check_choice("on_error", estimator.on_error, ("raise", "warn", "nan"))
    check_choice("schedule", estimator.schedule, SCHEDULES)
    if estimator.image_size is not None:
        check_integer("image_size", estimator.image_size, 1, "the side of the input in pixels")
    max_epochs = check_integer("max_epochs", estimator.max_epochs, 1, "passes over the images")
    warmup = check_integer(
        "warmup_epochs", estimator.warmup_epochs, 0, "passes in which the head trains alone"
    )
    if warmup >= max_epochs and warmup > 0:
        raise ValueError(
            f"warmup_epochs={warmup} leaves nothing of max_epochs={max_epochs}, which counts all "
            "passes. Raise max_epochs, or set strategy='frozen'."
        )
    lr = check_number("lr", estimator.lr, 0, math.inf, "the rate of the head")
    share = 1.0 if from_scratch else _BACKBONE_SHARE
    backbone_lr = _optional(
        "backbone_lr", estimator.backbone_lr, 0, math.inf, "the backbone's rate"
    )
    early_stopping = bool(estimator.early_stopping)
    patience = check_integer("patience", estimator.patience, 1, "epochs without a better loss")
    device = resolve_device(estimator.device)
    weight_decay = check_number(
        "weight_decay", estimator.weight_decay, 0, math.inf, "of the optimiser", closed=True
    )
    return TrainingSettings(
        max_epochs=max_epochs,
        warmup_epochs=0 if from_scratch else warmup,
        lr=lr,
        backbone_lr=lr * share if backbone_lr is None else backbone_lr,
        make_optimizer=_optimizer(estimator.optimizer, device),
        weight_decay=weight_decay,
        layer_decay=_optional(
            "layer_decay", estimator.layer_decay, 0, 1, "the factor from stage to stage"
        ),
        max_grad_norm=_optional(
            "max_grad_norm", estimator.max_grad_norm, 0, math.inf, "the longest gradient"
        ),
        schedule=estimator.schedule,
        batch_size=check_integer("batch_size", estimator.batch_size, 1, "images in a step"),
        patience=patience if early_stopping else None,
        validation_fraction=check_number(
            "validation_fraction",
            estimator.validation_fraction,
            0,
            _MOST_HELD_OUT,
            "the part held back",
        ),
        mixup=check_number("mixup", estimator.mixup, 0, math.inf, "0 mixes nothing", closed=True),
        device=device,
        precision=_training_precision(estimator.precision, device),
        n_workers=resolve_workers(estimator.num_workers),
    )


def check_number(
    name: str, value: Any, low: float, high: float, meaning: str, *, closed: bool = False
) -> float:
    """Refuse what is no number between two others, and return it as a float.

    Parameters
    ----------
    name : str
        Of the parameter.
    value : object
        What was given.
    low, high : float
        Bounds. `high` itself is possible if it is finite and not the bound of a fraction.
    meaning : str
        What the number is.
    closed : bool, default=False
        Whether `low` itself is possible.

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is out of bounds.

    Examples
    --------
    >>> check_number("lr", -1, 0, math.inf, "the rate of the head")
    Traceback (most recent call last):
    ValueError: lr=-1 must be more than 0: the rate of the head.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}={value!r} must be a number: {meaning}.")
    number = float(value)
    if not (number >= low if closed else number > low) or not number <= high or number == math.inf:
        least = f"at least {low:g}" if closed else f"more than {low:g}"
        most = "" if high == math.inf else f" and at most {high:g}"
        raise ValueError(f"{name}={value!r} must be {least}{most}: {meaning}.")
    return number


def _optional(name: str, value: Any, low: float, high: float, meaning: str) -> float | None:
    return None if value is None else check_number(name, value, low, high, meaning)


def _optimizer(optimizer: Any, device: torch.device) -> Callable[..., torch.optim.Optimizer]:
    """Find what makes an optimiser of groups, all of which name their rate and decay."""
    if isinstance(optimizer, str):
        check_choice("optimizer", optimizer, OPTIMIZERS)
        if optimizer == "sgd":
            return partial(torch.optim.SGD, momentum=0.9, nesterov=True)
        adam = torch.optim.AdamW if optimizer == "adamw" else torch.optim.Adam
        return partial(adam, fused=True) if device.type in ("cpu", "cuda") else adam
    if isinstance(optimizer, type) and issubclass(optimizer, torch.optim.Optimizer):
        return optimizer
    raise TypeError(
        f"optimizer={optimizer!r} is a {type(optimizer).__name__}. Pass 'adamw', 'adam', 'sgd', or "
        "a subclass of torch.optim.Optimizer."
    )


def _training_precision(precision: str, device: torch.device) -> str:
    """Choose bfloat16 where it is native; float16 has too few exponents for gradients."""
    candidates = candidate_precisions(precision, device)
    if precision in ("float32", "bfloat16"):
        return precision
    native = candidate_precisions("auto", device)
    return "bfloat16" if "bfloat16" in native and candidates else "float32"
