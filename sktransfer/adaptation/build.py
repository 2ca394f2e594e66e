"""Networks of an adaptation: a backbone, or none for rows of numbers, with heads for two tasks."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import nn

from sktransfer.adaptation.domain_pixels import fitted_to
from sktransfer.backbones.registry import BackboneSpec
from sktransfer.backbones.weights import LoadedBackbone
from sktransfer.features.taps import resolve_slots
from sktransfer.preprocessing import Preprocessing
from sktransfer.training.freezing import first_trained_stage
from sktransfer.training.heads import make_head
from sktransfer.training.network import TransferNetwork
from sktransfer.training.portable_network import TrainedNetwork
from sktransfer.training.seeding import seeded

if TYPE_CHECKING:
    from sktransfer.adaptation.domain_batches import DomainRows
    from sktransfer.adaptation.heads import TwoHeads
    from sktransfer.training.settings import TrainingSettings

__all__ = [
    "NO_BACKBONE",
    "domain_preprocessings",
    "fit_standardizer",
    "loaded_nothing",
    "new_network",
    "width_of",
]

NO_BACKBONE: Final = BackboneSpec(
    "no backbone", nn.Identity, (), {}, Preprocessing(1, 1, mean=(0, 0, 0), std=(1, 1, 1))
)
"""Of rows of numbers, which go into the bottleneck as they are."""

_MEASURED = 256  # rows of each domain by which features are standardised
_PIXELS = 4096  # images of each domain whose pixels are measured


def loaded_nothing() -> LoadedBackbone:
    """Return what stands for the backbone of rows of numbers."""
    return LoadedBackbone(nn.Identity(), NO_BACKBONE, "none", "", NO_BACKBONE.preprocessing)


def width_of(loaded: LoadedBackbone, pooling: str, preprocessing: Preprocessing) -> int:
    """Count the features that a backbone gives."""
    return sum(slot.width for slot in resolve_slots(loaded, None, pooling, preprocessing.crop))


def new_network(
    parameters: Any,
    loaded: LoadedBackbone,
    heads: TwoHeads,
    widths: tuple[int, int],
    preprocessing: Preprocessing,
    settings: TrainingSettings,
    seed: int,
) -> TrainedNetwork:
    """Copy a backbone and put new heads on it.

    Parameters
    ----------
    parameters : object
        With those of `DANNClassifier` as attributes.
    loaded : LoadedBackbone
        Stays as it is.
    heads : TwoHeads
        Builds the heads.
    widths : tuple of int
        Of the features and of the scores of classes.
    preprocessing : Preprocessing
        Of an image.
    settings : TrainingSettings
        See there.
    seed : int
        Of the heads' first weights.
    """
    with seeded(seed, settings.device):
        head = make_head(heads, *widths)
    scratch = loaded.spec is NO_BACKBONE or parameters.strategy == "scratch"
    first = 0
    if loaded.spec is not NO_BACKBONE:
        first = first_trained_stage(parameters.strategy, parameters.n_trainable, loaded.spec)
    network = TransferNetwork(
        copy.deepcopy(loaded.module),
        loaded.spec,
        preprocessing,
        parameters.pooling,
        head,
        widths[0],
        first,
        bool(parameters.freeze_batchnorm) and not scratch,
    )
    backbone = NO_BACKBONE if loaded.spec is NO_BACKBONE else parameters.backbone
    return TrainedNetwork(network, loaded, backbone, heads, widths)


def fit_standardizer(
    network: TransferNetwork, rows: DomainRows, settings: TrainingSettings
) -> None:
    """Measure the features of some rows of each domain, before the training."""
    network.to(settings.device).eval()
    some = np.concatenate([domain[:_MEASURED] for domain in rows.domains])
    parts = []
    for start in range(0, len(some), 64):
        inputs, _ = rows.batch(some[start : start + 64])
        with torch.inference_mode():
            parts.append(network.features(inputs["inputs"].to(settings.device)).float())
    network.standardize.fit(torch.cat(parts))


def domain_preprocessings(
    preprocessing: Preprocessing, rows: DomainRows
) -> tuple[Preprocessing, Preprocessing]:
    """Measure the pixels of the source and of the target."""
    pixels = rows.views[0]
    halves = rows.domains[: rows.n_sources], rows.domains[rows.n_sources :]
    source, target = (
        fitted_to(preprocessing, np.concatenate([pixels[domain[:_PIXELS]] for domain in half]))
        for half in halves
    )
    return source, target
