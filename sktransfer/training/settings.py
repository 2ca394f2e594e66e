"""The parameters of a training, resolved: what `fit` reads instead of the estimator."""

from __future__ import annotations

import difflib
import inspect
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

import torch

from sktransfer.features.device import candidate_precisions, resolve_device
from sktransfer.features.pooling import WHOLE_MAP
from sktransfer.parameters import check_choice
from sktransfer.training.parameters import TrainingParameters

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping

    from torch import nn

    from sktransfer.backbones.spec import BackboneLike
    from sktransfer.features.run_parameters import RunSettings
    from sktransfer.images import ImageShape
    from sktransfer.training.parameters import LoopParameters

__all__ = ["OPTIMIZERS", "NetworkSettings", "Optimizer", "TrainingSettings", "training_settings"]

Optimizer: TypeAlias = Literal["adamw", "adam", "sgd"]

OPTIMIZERS: Final[tuple[Optimizer, ...]] = get_args(Optimizer)
"""The optimisers that have a name."""

_BACKBONE_SHARE: Final = (
    0.1  # of `lr`: the head starts from nothing, the backbone close to its goal
)

# Parameters of skorch's NeuralNet that have a parameter of ours behind them.
_OURS: Final = {
    "lr": "lr",
    "optimizer__lr": "lr",
    "optimizer__weight_decay": "weight_decay",
    "max_epochs": "max_epochs",
    "batch_size": "batch_size",
}
_WITHOUT_EFFECT: Final = (
    "module",
    "optimizer__param_groups",
    "train_split",
    "predict_nonlinearity",
)


@dataclass(frozen=True)
class NetworkSettings:
    """What a network is made of, and which part of it trains.

    Parameters
    ----------
    backbone : str, nn.Module, callable or BackboneSpec
        Backbone that was asked for.
    weights : str or path
        Weights that were asked for.
    strategy : {"scratch", "full", "frozen", "partial"}
        Strategy of transfer.
    n_trainable : int
        Number of stages that train with "partial".
    head : str or callable
        Head that was asked for, see `heads.make_head`.
    pooling : str
        Pooling of the last map.
    image_size : int or None
        Side of the input in pixels.
    image_shape : tuple of int, "row" or None
        Layout of flattened rows.
    freeze_batchnorm : bool
        Whether BatchNorm keeps its statistics in stages that train.
    """

    backbone: BackboneLike
    weights: str | os.PathLike[str]
    strategy: str
    n_trainable: int
    head: str | Callable[[int, int], nn.Module]
    pooling: str
    image_size: int | None
    image_shape: ImageShape
    freeze_batchnorm: bool

    @property
    def from_scratch(self) -> bool:
        """Whether the backbone starts from random weights, like the head."""
        return self.strategy == "scratch"


@dataclass(frozen=True)
class TrainingSettings:
    """What a training needs to know, beside the network and the data.

    Parameters
    ----------
    network : NetworkSettings
        Settings of the network to train.
    run : RunSettings
        Settings for sending images through frozen stages.
    max_epochs, warmup_epochs : int
        Passes in all, and those at the start in which the head trains alone.
    lr, backbone_lr : float
        Learning rates of the head and of the backbone's last stage.
    make_optimizer : callable
        Function from groups of parameters, and `lr` for those that name none, to an optimiser.
    weight_decay : float
        Weight decay of the optimiser.
    layer_decay : float or None
        Factor of the rates from stage to stage, towards the input.
    max_grad_norm : float or None
        Length to which longer gradients are scaled down.
    schedule : {"cosine", "constant"}
        See `schedule`.
    batch_size : int
        Largest number of rows in a batch.
    patience : int or None
        Epochs without a better validation loss before training stops; None for no early stopping.
    validation_fraction : float
        Part of the rows that is held back.
    augmentation : str, callable or None
        Augmentation that was asked for.
    n_views : int or None
        Number of stored views of an image.
    mixup : float
        See `batches.mix_up`.
    device : torch.device
        Device on which the network trains.
    precision : {"float32", "bfloat16"}
        Number format of convolutions and matrix products while it trains.
    callbacks : list, "disable" or None
        The user's callbacks of skorch.
    net_params : dict
        The user's parameters of skorch's NeuralNet, without those that are in a field above.
    """

    network: NetworkSettings
    run: RunSettings
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
    augmentation: object
    n_views: int | None
    mixup: float
    device: torch.device
    precision: str
    callbacks: Literal["disable"] | Iterable[object] | None
    net_params: Mapping[str, Any]

    @property
    def held_out(self) -> float:
        """Part of the rows that early stopping watches; 0 if there is none."""
        return 0.0 if self.patience is None else self.validation_fraction

    def for_one_epoch(self) -> TrainingSettings:
        """Return the settings of an epoch more: constant rates, all at once, nothing held back."""
        return replace(self, schedule="constant", warmup_epochs=0, patience=None)

    def with_strategy(self, strategy: str) -> TrainingSettings:
        """Return the same settings with another strategy."""
        return replace(self, network=replace(self.network, strategy=strategy))


def training_settings(
    parameters: LoopParameters,
    *,
    mixup: float = 0.0,
    backbone_is_new: bool | None = None,
    max_epochs: int | None = None,
) -> TrainingSettings:
    """Resolve parameters that have been checked.

    Parameters
    ----------
    parameters : LoopParameters
        Parameters of an estimator.
    mixup : float, default=0.0
        Exponent of `batches.mix_up`.
    backbone_is_new : bool, optional
        Whether the backbone starts from nothing, like the head, so that its rate is `lr`. None asks
        the strategy.
    max_epochs : int, optional
        Number of passes, where the parameter of this name does not say it.

    Raises
    ------
    ValueError, TypeError
        If parameters do not fit each other, or one of `net_params` could have no effect.
    """
    network = NetworkSettings(
        parameters.backbone,
        parameters.weights,
        parameters.strategy,
        parameters.n_trainable,
        parameters.head,
        parameters.pooling if isinstance(parameters, TrainingParameters) else WHOLE_MAP,
        parameters.image_size,
        parameters.image_shape,
        bool(parameters.freeze_batchnorm),
    )
    own, net_params = _split_net_params(parameters.net_params)
    lr = float(own.get("lr", parameters.lr))
    passes = parameters.max_epochs if max_epochs is None else max_epochs
    max_epochs = int(own.get("max_epochs", passes))
    if parameters.warmup_epochs >= max_epochs and parameters.warmup_epochs > 0:
        raise ValueError(
            f"warmup_epochs={parameters.warmup_epochs} leaves nothing of max_epochs={max_epochs}, "
            "which counts all passes. Raise max_epochs, or set strategy='frozen'."
        )
    is_new = network.from_scratch if backbone_is_new is None else backbone_is_new
    share = 1.0 if is_new else _BACKBONE_SHARE
    device = resolve_device(parameters.device)
    return TrainingSettings(
        network=network,
        run=parameters.run_settings(),
        max_epochs=max_epochs,
        warmup_epochs=0 if is_new else parameters.warmup_epochs,
        lr=lr,
        backbone_lr=lr * share if parameters.backbone_lr is None else parameters.backbone_lr,
        make_optimizer=_optimizer(parameters.optimizer, device),
        weight_decay=float(own.get("weight_decay", parameters.weight_decay)),
        layer_decay=parameters.layer_decay,
        max_grad_norm=parameters.max_grad_norm,
        schedule=parameters.schedule,
        batch_size=int(own.get("batch_size", parameters.batch_size)),
        patience=parameters.patience if parameters.early_stopping else None,
        validation_fraction=float(parameters.validation_fraction),
        augmentation=parameters.augmentation,
        n_views=parameters.n_views,
        mixup=float(mixup),
        device=device,
        precision=_training_precision(parameters.precision, device),
        callbacks=parameters.callbacks,
        net_params=net_params,
    )


def _split_net_params(
    net_params: Mapping[str, Any] | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Set apart what has a parameter of ours, and refuse what could have no effect."""
    given = dict(net_params or {})
    without_effect = [name for name in given if name.split("__")[0] == "module"]
    without_effect += [name for name in given if name in _WITHOUT_EFFECT]
    if without_effect:
        raise ValueError(
            f"net_params={{{without_effect[0]!r}: ...}} could have no effect: the network, its groups "
            "of parameters, the validation part and what becomes of scores are the estimator's. "
            "Use its own parameters, such as head, lr, layer_decay and validation_fraction."
        )
    if given:
        _refuse_unknown_to_skorch(given)
    own = {_OURS[name]: value for name, value in given.items() if name in _OURS}
    return own, {name: value for name, value in given.items() if name not in _OURS}


def _refuse_unknown_to_skorch(net_params: Mapping[str, Any]) -> None:
    from skorch import NeuralNet  # takes long to import, and few need it here

    known = {*_OURS, *inspect.signature(NeuralNet).parameters}
    unknown = next((name for name in net_params if name.split("__")[0] not in known), None)
    if unknown is None:
        return
    near = difflib.get_close_matches(unknown, known, n=1)
    nearest = f" Nearest: {near[0]!r}." if near else ""
    raise ValueError(
        f"net_params={{{unknown!r}: ...}} is no parameter of skorch.NeuralNet.{nearest} Those of a part of "
        "it are written 'optimizer__betas', for example."
    )


def _optimizer(optimizer: object, device: torch.device) -> Callable[..., torch.optim.Optimizer]:
    """Return what makes an optimiser of groups, all of which name their rate and decay."""
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
    if precision in ("float32", "bfloat16"):
        return precision
    return "bfloat16" if "bfloat16" in candidate_precisions("auto", device) else "float32"
