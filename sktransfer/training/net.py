"""The skorch net of a training: its groups of parameters, its callbacks and its options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from skorch.helper import predefined_split

from sktransfer.training.batches import Batches, n_batches
from sktransfer.training.callbacks import Clipping, EpochRecord, KeepBest, Phases, RateSchedule
from sktransfer.training.freezing import has_training_batchnorm, parameter_groups
from sktransfer.training.loop import TransferNet
from sktransfer.training.targets import RowLoss

if TYPE_CHECKING:
    from collections.abc import Callable

    from sktransfer.randomness import RandomStream
    from sktransfer.training.augmentation import Augmentation
    from sktransfer.training.batches import TrainingRows
    from sktransfer.training.network import TransferNetwork
    from sktransfer.training.settings import TrainingSettings
    from sktransfer.training.targets import Target

__all__ = ["GroupedOptimizer", "make_net", "own_callbacks", "skorch_options"]


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
    batches: type = Batches,
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
    batches : type, default=Batches
        Iterator over batches of rows.

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
    options |= {
        "criterion": RowLoss(target),
        "iterator_train": batches,
        "iterator_valid": batches,
    }
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
    groups: list[dict[str, object]],
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
    _refuse_no_callbacks(callbacks)
    options: dict[str, object] = {
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


def _refuse_no_callbacks(callbacks: Any) -> None:
    """Refuse what skorch would fail at, deep inside."""
    if callbacks is None or callbacks == "disable":
        return
    if not isinstance(callbacks, list | tuple):
        raise TypeError(
            f"callbacks={callbacks!r} must be a list of skorch's callbacks, or of pairs of a name and "
            "one; 'disable' for none at all; or None."
        )
    for item in callbacks:
        callback = item[1] if isinstance(item, tuple) and len(item) == 2 else item
        if not hasattr(callback, "on_epoch_end"):
            raise TypeError(
                f"callbacks holds {item!r}, which is no callback. Pass callbacks of skorch, such as "
                "[skorch.callbacks.EarlyStopping()], or pairs of a name and one."
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
        self, make: Callable[..., torch.optim.Optimizer], groups: list[dict[str, object]]
    ) -> None:
        self.make, self.groups = make, groups

    def __call__(self, params: object, lr: float, **options: object) -> torch.optim.Optimizer:
        """Make the optimiser; `params`, which skorch collects, is not used."""
        del params
        return self.make([dict(group) for group in self.groups], lr=lr, **options)


def _refuse_batches_of_one(network: torch.nn.Module, n_rows: int, batch_size: int) -> None:
    """Refuse batches of one image if a BatchNorm takes its statistics from them."""
    smallest = n_rows // n_batches(n_rows, batch_size)
    if smallest < 2 and has_training_batchnorm(network.train()):
        raise ValueError(
            f"batch_size={batch_size} with {n_rows} rows to train on gives batches of one image, "
            "from which BatchNorm in training mode cannot take statistics. Pass more images and a "
            "batch_size of at least 2, or set freeze_batchnorm=True with a pre-trained network."
        )
