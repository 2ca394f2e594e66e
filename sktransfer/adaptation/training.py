"""One training: from checked parameters and data of two domains to a network that predicts."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from skorch.helper import predefined_split
from torch import nn

from sktransfer.adaptation.build import (
    NO_BACKBONE,
    domain_preprocessings,
    fit_standardizer,
    new_network,
    width_of,
)
from sktransfer.adaptation.collapse import Watch
from sktransfer.adaptation.domain_batches import DomainBatches
from sktransfer.adaptation.domain_pixels import PairPreprocessing
from sktransfer.adaptation.nets import AdaptationNet, AdaptationRecord, StepPlan
from sktransfer.adaptation.norms import join_batchnorms, split_batchnorms
from sktransfer.adaptation.preparation import Prepared, prepare, rows_to_train_on
from sktransfer.features.device import resolve_device
from sktransfer.features.plan import input_preprocessing
from sktransfer.training.batches import Batches
from sktransfer.training.callbacks import EpochRecord, KeepBest, Phases, RateSchedule
from sktransfer.training.freezing import has_training_batchnorm, parameter_groups
from sktransfer.training.loop import GroupedOptimizer, train
from sktransfer.training.losses import RowLoss
from sktransfer.training.seeding import draw_seed, seeded
from sktransfer.training.settings import read_settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sktransfer.adaptation.domain_batches import DomainRows
    from sktransfer.adaptation.domains import Domains
    from sktransfer.adaptation.norms import DomainSwitch
    from sktransfer.backbones.spec import BackboneSpec
    from sktransfer.preprocessing import Preprocessing
    from sktransfer.training.batches import TrainingRows
    from sktransfer.training.network import TransferNetwork
    from sktransfer.training.portable_network import TrainedNetwork
    from sktransfer.training.settings import TrainingSettings
    from sktransfer.training.targets import LabelCoder

__all__ = ["Outcome", "net_for_use", "run", "with_network"]

_COLUMNS = {
    "epoch": "epoch",
    "phase": "phase",
    "label_loss": "label_loss",
    "domain_loss": "domain_loss",
    "domain_accuracy": "domain_accuracy",
    "target_entropy": "target_entropy",
    "lambda": "lambda",
    "lr": "lr",
    "backbone_lr": "backbone_lr",
    "valid_loss": "valid_loss",
    "valid_score": "valid_score",
    "best": "best",
    "collapsed": "collapsed",
    "dur": "seconds",
}


@dataclass(frozen=True, eq=False)
class Outcome:
    """What has come of a training.

    Parameters
    ----------
    trained : TrainedNetwork
        Predicts for the target.
    source_statistics : dict of str to pair of ndarray
        Mean and variance of the source, by the path of a BatchNorm; empty if it has none of its own.
    source_preprocessing : Preprocessing or None
        Of the source, if it has one of its own.
    net : AdaptationNet
        The skorch net.
    failed : list of int
        Rows whose images could not be read.
    trunk : tuple of two str
        What was stored of each image, and why.
    history : list of dict
        What each epoch gave.
    """

    trained: TrainedNetwork
    source_statistics: dict[str, tuple[NDArray[Any], NDArray[Any]]]
    source_preprocessing: Preprocessing | None
    net: AdaptationNet
    failed: list[int]
    trunk: tuple[str, str]
    history: list[dict[str, Any]]


def run(
    estimator: Any,
    parameters: Any,
    parts: list[Any],
    domains: Domains,
    coder: LabelCoder,
    factors: NDArray[np.float64],
) -> Outcome:
    """Train.

    Parameters
    ----------
    estimator : AdaptedClassifier
        Which says what brings the domains together.
    parameters : object
        Its parameters as attributes.
    parts : list of ImageSequence or of ndarray
        The rows of both domains, one after the other.
    domains : Domains
        Of the rows.
    coder : LabelCoder
        Of the labels of the source.
    factors : ndarray of shape (n_source_rows,)
        What their losses count.

    Raises
    ------
    TrainingError
        If the features cannot adapt, or the first step fails.
    ValueError, TypeError
        If a parameter cannot be used.
    """
    scratch = parameters.backbone is None or parameters.strategy == "scratch"
    settings = read_settings(parameters, from_scratch=scratch)
    seed = draw_seed(parameters.random_state)
    loaded = estimator._load(seed)
    heads = estimator._two_heads(len(domains.names))
    if parameters.backbone is None:
        views = [np.concatenate(parts)]
        prepared = Prepared(views, None, ("vectors", "there is no backbone"), [])
        preprocessing, n_features = NO_BACKBONE.preprocessing, views[0].shape[1]
    else:
        prepared = prepare(parameters, parts, loaded, settings, seed)
        preprocessing = input_preprocessing(
            loaded.preprocessing, parameters.image_size, parameters.image_shape
        )
        n_features = width_of(loaded, parameters.pooling, preprocessing)
    held_out = settings.validation_fraction if settings.patience is not None else 0.0
    rows, valid = rows_to_train_on(
        prepared.views, domains, prepared.failed, coder, factors, held_out=held_out, seed=seed
    )
    of_source, of_target = None, preprocessing
    if parameters.pixel_norm == "per_domain" and parameters.backbone is not None:
        of_source, of_target = domain_preprocessings(preprocessing, rows)
    _refuse_nothing_to_adapt(parameters, loaded.spec)
    widths = (n_features, coder.n_outputs)
    trained = new_network(parameters, loaded, heads, widths, of_target, settings, seed)
    network = trained.network
    if parameters.backbone is None or not scratch:
        fit_standardizer(network, rows, settings)
    switch = split_batchnorms(network, parameters.batch_norm or "joint")
    switch.domain = "source"  # of the rows that are held back
    if of_source is not None:
        network.preprocessing = PairPreprocessing(of_source, of_target, switch)  # type: ignore[assignment]
    with seeded(seed, settings.device):
        net = _net(estimator, network, settings, coder, rows, valid, prepared, switch, seed)
        try:
            train(net, rows)  # type: ignore[arg-type] # skorch asks only for its length
        finally:
            statistics = join_batchnorms(network)
            network.preprocessing = of_target
            trained.changed(backbone=True)
            network.eval()
    switch.domain = "target"
    own = {path: (mean.numpy(), var.numpy()) for path, (mean, var) in statistics.items()}
    return Outcome(
        trained, own, of_source, net, prepared.failed, prepared.trunk, _tidy(net.history)
    )


def net_for_use(estimator: Any, trained: TrainedNetwork, criterion: RowLoss) -> AdaptationNet:
    """Make a net around a network that was unpickled; it has not been trained since."""
    device = resolve_device(estimator.device)
    net: AdaptationNet = AdaptationNet(
        trained.network, criterion=criterion, device=str(device), verbose=0
    ).initialize()
    return net


def with_network(trained: TrainedNetwork, network: TransferNetwork) -> TrainedNetwork:
    """Return the same with another network in it."""
    other = copy.copy(trained)
    other._network, other._preprocessing = network, network.preprocessing
    other.changed(backbone=True)
    return other


def _net(
    estimator: Any,
    network: TransferNetwork,
    settings: TrainingSettings,
    coder: LabelCoder,
    rows: DomainRows,
    valid: TrainingRows | None,
    prepared: Prepared,
    switch: DomainSwitch,
    seed: int,
) -> AdaptationNet:
    """Build and initialise the skorch net."""
    network.to(settings.device).to(memory_format=torch.channels_last)
    given = dict(estimator.net_params or {})
    batch_size = given.get("batch_size", settings.batch_size)
    halves = rows.halves(batch_size)
    _refuse_halves_of_one(network, halves.half, batch_size)
    n_steps = given.get("max_epochs", settings.max_epochs) * len(halves)
    alternates = estimator._objective() == "alternating"
    head: Any = network.head
    heads = nn.ModuleList([head.bottleneck, head.label]) if alternates else head
    groups = parameter_groups(
        network.backbone,
        network.spec,
        network.first_trained,
        heads,
        lr=settings.lr,
        backbone_lr=settings.backbone_lr,
        weight_decay=settings.weight_decay,
        layer_decay=settings.layer_decay,
    )
    domain_optimizer = None
    if alternates:
        of_domain = parameter_groups(
            nn.Identity(), NO_BACKBONE, 0, head.domain,
            lr=settings.lr, backbone_lr=settings.lr, weight_decay=settings.weight_decay,
        )  # fmt: skip
        domain_optimizer = settings.make_optimizer(of_domain)
    plan = StepPlan(
        estimator._objective(),
        estimator._strength(),
        estimator.lambda_gamma,
        estimator.entropy_weight,
        n_steps,
        rows.n_sources,
        settings.max_grad_norm,
        switch,
        domain_optimizer,
    )
    own: list[tuple[str, Any]] = [
        ("phases", Phases(settings.warmup_epochs, network.first_trained)),
        ("epoch_record", EpochRecord(coder.kind)),
        (
            "rate_schedule",
            RateSchedule(settings.schedule, n_steps, settings.warmup_epochs * len(halves)),
        ),
        ("adaptation_record", AdaptationRecord()),
    ]
    if settings.patience is not None:
        own.append(("keep_best", KeepBest(settings.patience, settings.warmup_epochs)))
    callbacks = estimator.callbacks
    options: dict[str, Any] = {
        "criterion": RowLoss(coder.kind, estimator.label_smoothing),
        "optimizer": GroupedOptimizer(settings.make_optimizer, groups),
        "lr": settings.lr,
        "max_epochs": settings.max_epochs,
        "batch_size": batch_size,
        "train_split": None if valid is None else predefined_split(valid),
        "callbacks": [*own, *(callbacks or [])],
        "device": str(settings.device),
        "precision": settings.precision,
        "verbose": estimator.verbose,
        "iterator_train": DomainBatches,
        "iterator_train__seed": seed,
        "iterator_train__augmentation": prepared.augmentation,
        "iterator_train__device": settings.device,
        "iterator_valid": Batches,
        "plan": plan,
        "watch": Watch(_chance(rows, coder), n_steps),
    }
    net: AdaptationNet = AdaptationNet(network, **(options | given)).initialize()
    return net


def _chance(rows: DomainRows, coder: LabelCoder) -> float:
    """Compute the label loss of a model that knows only how frequent the classes are."""
    source = np.concatenate(rows.domains[: rows.n_sources])
    weights = rows.weights[source][:, None].astype(np.float64)
    share = (rows.targets[source] * weights).sum(0) / weights.sum()
    if coder.kind == "binary":
        share = np.array([share[0], 1 - share[0]])
    return float(-sum(p * math.log(p) for p in share if p > 0))


def _refuse_nothing_to_adapt(parameters: Any, spec: BackboneSpec) -> None:
    nothing = spec is NO_BACKBONE
    if parameters.bottleneck is None and (nothing or parameters.strategy == "frozen"):
        what = "backbone=None" if nothing else "strategy='frozen'"
        raise ValueError(
            f"bottleneck=None and {what} leave nothing before the heads that could adapt. Pass the "
            "width of a bottleneck, or let stages of a backbone train."
        )


def _refuse_halves_of_one(network: nn.Module, half: int, batch_size: int) -> None:
    if half < 2 and has_training_batchnorm(network.train()):
        raise ValueError(
            f"batch_size={batch_size} gives half-batches of {half} row, from which BatchNorm in "
            "training mode cannot take statistics. Pass more rows, and a batch_size of at least 2."
        )


def _tidy(history: Any) -> list[dict[str, Any]]:
    """Make of skorch's history one flat dictionary an epoch, with only what was recorded."""
    return [
        {name: row[key] for key, name in _COLUMNS.items() if key in row}
        for row in history.to_list()
    ]
