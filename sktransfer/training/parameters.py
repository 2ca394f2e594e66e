"""How a network is trained: parameters that all estimators that train share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sktransfer.features.pooling import check_pooling
from sktransfer.features.run_parameters import NetworkParameters, RunParameters
from sktransfer.parameters import checked, choice, integer, number, optional
from sktransfer.training.freezing import STRATEGIES
from sktransfer.training.heads import check_head
from sktransfer.training.schedule import SCHEDULES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import torch
    from torch import nn

    from sktransfer.features.pooling import PoolingName
    from sktransfer.training.freezing import Strategy
    from sktransfer.training.schedule import Schedule
    from sktransfer.training.settings import Optimizer

__all__ = ["LoopParameters", "TrainingParameters"]

MOST_HELD_OUT = 0.9


def _one_pooling(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(
            f"{name}={value!r} is a {type(value).__name__}. Pass the name of one pooling, such as "
            "'avg'."
        )
    check_pooling(value)


@dataclass(kw_only=True, eq=False, repr=False)
class LoopParameters(RunParameters, NetworkParameters):
    """Parameters of how a network is trained, whatever becomes of its maps.

    Parameters
    ----------
    weights : str or path, default="default"
        "default" for the best that are published, another published name such as "IMAGENET1K_V2",
        the path of a .safetensors or .pth file, or "random". Strategy "scratch" does not look at it.
    strategy : {"scratch", "full", "frozen", "partial"}, default="partial"
        Part that trains beside the new head: everything from random weights; everything from
        pre-trained weights, at a low rate; nothing; or the last `n_trainable` stages.
    n_trainable : int, default=1
        Number of stages that train with "partial", counted from the last.
    head : {"linear", "mlp"} or callable, default="linear"
        One layer; a hidden layer of 256 with dropout; or a function (in_features, out_features) that
        returns a module.
    warmup_epochs : int, default=0
        Epochs at the start in which the head trains alone. The backbone's rate then rises from zero;
        the head's optimiser goes on. They are part of `max_epochs`.
    max_epochs : int, default=20
        Passes over the images.
    lr : float, default=0.001
        Learning rate of the head.
    backbone_lr : float or None, default=None
        Learning rate of the backbone. None is a tenth of `lr`: the backbone starts close to its goal
        and the head from nothing, whose first, large gradients would undo what the weights know. With
        "scratch" both start from nothing, and None is `lr`.
    optimizer : {"adamw", "adam", "sgd"} or class, default="adamw"
        The optimiser; "sgd" has Nesterov momentum of 0.9. Or a class of torch.optim.
    weight_decay : float, default=0.0001
        Weight decay of the optimiser; biases and norms have none.
    augmentation : {"auto", "light", "strong"}, None or callable, default="auto"
        "light" flips, crops a little and changes colours a little, "strong" does more of it, turns and
        cuts out. "auto" is none where stages are frozen, so that these run once an image, and "light"
        where all train. A callable takes one image (3, height, width), uint8, and returns one; what
        it draws from torch, NumPy or `random` follows `random_state`.
    freeze_batchnorm : bool, default=True
        Whether BatchNorm keeps its statistics in stages that train too, as suits small data. With
        "scratch" it never does.
    early_stopping : bool, default=True
        Whether a part of the rows is held back, training stops when their loss has not fallen for
        `patience` epochs, and the best weights are restored.
    validation_fraction : float, default=0.1
        Part of the rows that is held back. If it were fewer than 8 rows, nothing is held back, and
        the last weights are kept.
    patience : int, default=5
        Epochs without a smaller validation loss.
    callbacks : list or None, default=None
        Callbacks for the skorch net, after its own. They see `y` as the user passed it, so that
        scoring callbacks work.
    net_params : dict or None, default=None
        Parameters of skorch's NeuralNet, such as ``{"optimizer__betas": (0.9, 0.99)}``. They win over
        those of the estimator; one that could have no effect is refused.
    schedule : {"cosine", "constant"}, default="cosine"
        Rates rise for a twentieth of the steps and then fall to zero, or stay.
    layer_decay : float or None, default=None
        Factor of the rate for each stage that lies behind: below 1, early stages, which are general,
        change less.
    max_grad_norm : float or None, default=1.0
        Length to which longer gradients are scaled down.
    n_views : int or None, default=None
        With augmentation, number of views of each image that are made before the first epoch, through
        which the epochs then go in turn, so that frozen stages run `n_views` times an image. None
        makes new views each epoch, and all stages run in each.
    """

    strategy: Strategy = checked("partial", choice(*STRATEGIES))
    n_trainable: int = checked(1, integer(1, "stages that train, counted from the last"))
    head: str | Callable[[int, int], nn.Module] = checked(
        "linear", lambda _, value: check_head(value)
    )
    warmup_epochs: int = checked(0, integer(0, "passes in which the head trains alone"))
    max_epochs: int = checked(20, integer(1, "passes over the images"))
    lr: float = checked(1e-3, number(0, math.inf, "the rate of the head"))
    backbone_lr: float | None = checked(None, optional(number(0, math.inf, "the backbone's rate")))
    optimizer: Optimizer | type[torch.optim.Optimizer] = "adamw"
    weight_decay: float = checked(1e-4, number(0, math.inf, "of the optimiser", closed=True))
    augmentation: object = "auto"
    freeze_batchnorm: bool = True
    early_stopping: bool = True
    validation_fraction: float = checked(0.1, number(0, MOST_HELD_OUT, "the part held back"))
    patience: int = checked(5, integer(1, "epochs without a better loss"))
    callbacks: Literal["disable"] | Iterable[object] | None = None
    net_params: Mapping[str, Any] | None = None
    schedule: Schedule = checked("cosine", choice(*SCHEDULES))
    layer_decay: float | None = checked(
        None, optional(number(0, 1, "the factor from stage to stage"))
    )
    max_grad_norm: float | None = checked(
        1.0, optional(number(0, math.inf, "the longest gradient"))
    )
    n_views: int | None = checked(
        None, optional(integer(1, "augmented views that are kept of an image"))
    )


@dataclass(kw_only=True, eq=False, repr=False)
class TrainingParameters(LoopParameters):
    """Parameters of how a network is trained whose last map is pooled.

    Parameters
    ----------
    pooling : {"avg", "max", "avgmax", "gem", "flatten", "token", "tokenavg"}, default="avg"
        Pooling of the last map to a vector.
    """

    pooling: PoolingName = checked("avg", _one_pooling)
