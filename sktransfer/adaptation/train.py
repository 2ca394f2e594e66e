"""The training of an adaptation: from data of two domains to a network that predicts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import nn

from sktransfer.adaptation.build import NO_BACKBONE, AdaptationNetwork, two_domains
from sktransfer.adaptation.collapse import CollapseDetector
from sktransfer.adaptation.domain_batches import DomainBatches
from sktransfer.adaptation.domain_pixels import DomainPixels
from sktransfer.adaptation.loop import AdaptationNet, AdaptationRecord, StepPlan
from sktransfer.adaptation.norms import set_source_statistics, set_statistics
from sktransfer.randomness import RandomStream
from sktransfer.training.build import feature_width, fit_standardizer, new_network
from sktransfer.training.callbacks import COLUMNS, tidy
from sktransfer.training.freezing import has_training_batchnorm, parameter_groups
from sktransfer.training.loop import train
from sktransfer.training.net import own_callbacks, skorch_options
from sktransfer.training.targets import RowLoss

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sktransfer.adaptation.domain_batches import DomainRows
    from sktransfer.adaptation.domain_statistics import DomainBackbones
    from sktransfer.adaptation.norms import DomainSwitch
    from sktransfer.adaptation.settings import AdaptationSettings
    from sktransfer.backbones.weights import LoadedBackbone
    from sktransfer.preprocessing import Preprocessing
    from sktransfer.training.batches import TrainingRows
    from sktransfer.training.inputs import Inputs
    from sktransfer.training.portable_network import TrainedNetwork
    from sktransfer.training.settings import TrainingSettings
    from sktransfer.training.targets import ClassTarget

__all__ = ["DomainData", "Outcome", "adapt"]

_MEASURED: Final = 256  # rows of each domain by which features are standardised
_AT_ONCE: Final = 64

_COLUMNS: Final = {
    "epoch": "epoch",
    "phase": "phase",
    "label_loss": "label_loss",
    "domain_loss": "domain_loss",
    "domain_accuracy": "domain_accuracy",
    "target_entropy": "target_entropy",
    "target_diversity": "target_diversity",
    "lambda": "lambda",
    **{name: shown for name, shown in COLUMNS.items() if name not in ("train_loss", "dur")},
    "collapsed": "collapsed",
    "dur": "seconds",
}


@dataclass(frozen=True, eq=False)
class Outcome:
    """The result of a training.

    Parameters
    ----------
    trained : TrainedNetwork
        The network, which predicts for the target.
    source_statistics : dict of str to pair of ndarray
        Mean and variance of the source, by the path of a BatchNorm; empty if it has none of its own.
    source_preprocessing : Preprocessing or None
        Preprocessing of the source, if it has one of its own.
    net : AdaptationNet
        The skorch net.
    history : list of dict
        Records of the epochs.
    """

    trained: TrainedNetwork
    source_statistics: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
    source_preprocessing: Preprocessing | None
    net: AdaptationNet
    history: list[dict[str, object]]


@dataclass(frozen=True, eq=False)
class DomainData:
    """Inputs of a training on two domains.

    Parameters
    ----------
    inputs : Inputs
        Inputs of all rows.
    rows : DomainRows
        Rows of each domain.
    valid : TrainingRows or None
        Rows of the source that are held back.
    backbones : DomainBackbones or None
        The backbone with the statistics of each domain, where frozen stages have them.
    """

    inputs: Inputs
    rows: DomainRows
    valid: TrainingRows | None
    backbones: DomainBackbones | None


def adapt(
    data: DomainData,
    loaded: LoadedBackbone,
    preprocessing: Preprocessing,
    target: ClassTarget,
    settings: TrainingSettings,
    adaptation: AdaptationSettings,
    seed: int,
) -> Outcome:
    """Train a new network on rows of two domains.

    Parameters
    ----------
    data : DomainData
        Inputs of both domains.
    loaded : LoadedBackbone
        The backbone with its weights.
    preprocessing : Preprocessing
        Resize, crop and normalisation of an image.
    target : ClassTarget
        The loss of labels, and how they are encoded.
    settings : TrainingSettings
        Rates, epochs, schedule, device.
    adaptation : AdaptationSettings
        Alignment and normalisation of the domains.
    seed : int
        Seed of everything random.

    Raises
    ------
    TrainingError
        If the features cannot adapt, or the first step fails.
    ValueError
        If nothing could adapt, or BatchNorm would see one row.
    """
    _refuse_nothing_to_adapt(settings, adaptation)
    rows = data.rows
    pixels = DomainPixels.of(preprocessing, rows) if adaptation.pixels_per_domain else None
    width = (
        rows.views[0].shape[1]
        if loaded.spec is NO_BACKBONE
        else feature_width(loaded, settings.network.pooling, preprocessing)
    )
    trained = new_network(
        loaded,
        preprocessing if pixels is None else pixels.target,
        replace(settings, network=replace(settings.network, head=adaptation.heads)),
        (width, target.n_outputs),
        seed,
        AdaptationNetwork,
    )
    network = trained.network
    assert isinstance(network, AdaptationNetwork)
    if data.backbones is not None:
        set_statistics(network.backbone, data.backbones.target_statistics)
    with two_domains(network, adaptation.batch_norm, pixels) as statistics:
        if data.backbones is not None:
            set_source_statistics(network.backbone, data.backbones.source_statistics)
        if loaded.spec is NO_BACKBONE or not settings.network.from_scratch:
            # In float32, whatever the training computes in.
            in_float32 = replace(settings, precision="float32")
            fit_standardizer(network, _some_inputs(rows, network.switch), in_float32)
        net = _make_net(network, data, target, settings, adaptation, seed)
        train(net, rows)
    trained.changed(backbone=True)
    network.eval()
    own = {path: (mean.numpy(), var.numpy()) for path, (mean, var) in statistics.items()}
    source = None if pixels is None else pixels.source
    return Outcome(trained, own, source, net, tidy(net.history, _COLUMNS))


def _some_inputs(rows: DomainRows, switch: DomainSwitch) -> Iterator[torch.Tensor]:
    """Yield inputs of each domain, while the norms are switched to it."""
    for number, domain in enumerate(rows.domains):
        switch.domain = "source" if number < rows.n_sources else "target"
        for start in range(0, len(domain[:_MEASURED]), _AT_ONCE):
            yield rows.batch(domain[start : min(start + _AT_ONCE, _MEASURED)])[0]["inputs"]
    switch.domain = "source"


def _make_net(
    network: AdaptationNetwork,
    data: DomainData,
    target: ClassTarget,
    settings: TrainingSettings,
    adaptation: AdaptationSettings,
    seed: int,
) -> AdaptationNet:
    """Build and initialise the skorch net."""
    rows = data.rows
    network.to(settings.device).to(memory_format=torch.channels_last)
    halves = rows.halves(settings.batch_size)
    _refuse_halves_of_one(network, halves.half, settings.batch_size)
    n_steps = settings.max_epochs * len(halves)
    head: Any = network.head
    alignment = adaptation.alignment
    alignment.start(head.domain, settings)
    groups = parameter_groups(
        network.backbone,
        network.spec,
        network.first_trained,
        nn.ModuleList([head.bottleneck, head.label]) if alignment.optimizers() else head,
        lr=settings.lr,
        backbone_lr=settings.backbone_lr,
        weight_decay=settings.weight_decay,
        layer_decay=settings.layer_decay,
    )
    plan = StepPlan(
        alignment,
        adaptation.lambda_max,
        adaptation.lambda_gamma,
        adaptation.entropy_weight,
        adaptation.diversity_weight,
        n_steps,
        rows.n_sources,
        settings.max_grad_norm,
        network.switch,
        CollapseDetector(_chance(rows, target), n_steps),
    )
    own = own_callbacks(settings, network.first_trained, len(halves))
    early_stopping = [own.pop()] if settings.patience is not None else []
    own = [*own, ("adaptation_record", AdaptationRecord()), *early_stopping]
    options = skorch_options(settings, own, groups, data.valid)
    options |= {
        "criterion": RowLoss(target),
        "iterator_train": DomainBatches,
        "iterator_train__seed": seed,
        "iterator_train__augmentation": data.inputs.augmentation,
        "iterator_train__device": settings.device,
    }
    options |= dict(settings.net_params)
    stream = RandomStream(seed, settings.device)
    net = AdaptationNet(network, plan=plan, target=target, stream=stream, **options)
    net.initialize()
    return net


def _chance(rows: DomainRows, target: ClassTarget) -> float:
    """Compute the label loss of a model that knows only how frequent the classes are."""
    source = np.concatenate(rows.domains[: rows.n_sources])
    weights = rows.weights[source][:, None].astype(np.float64)
    share = (rows.targets[source] * weights).sum(0) / weights.sum()
    if target.n_outputs == 1:
        share = np.array([share[0], 1 - share[0]])
    return float(-sum(p * math.log(p) for p in share if p > 0))


def _refuse_nothing_to_adapt(settings: TrainingSettings, adaptation: AdaptationSettings) -> None:
    nothing = settings.network.backbone is NO_BACKBONE
    if adaptation.heads.bottleneck is None and (nothing or settings.network.strategy == "frozen"):
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
