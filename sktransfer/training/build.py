"""Build a network that trains: a copy of a backbone with a new head that starts from the data."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from sktransfer.backbones.registry import get_backbone
from sktransfer.backbones.weights import load_backbone, random_backbone
from sktransfer.features.engine import prepare
from sktransfer.features.taps import kept_slots, resolve_slots
from sktransfer.randomness import seeded
from sktransfer.training.freezing import first_trained_stage
from sktransfer.training.heads import make_head, start_at_prior
from sktransfer.training.network import TransferNetwork
from sktransfer.training.portable_network import TrainedNetwork

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from sktransfer.backbones.weights import LoadedBackbone
    from sktransfer.preprocessing import Preprocessing
    from sktransfer.training.batches import TrainingRows
    from sktransfer.training.settings import NetworkSettings, TrainingSettings
    from sktransfer.training.targets import Target

__all__ = [
    "faithful_settings",
    "feature_width",
    "fit_standardizer",
    "load",
    "new_network",
    "start_head",
]

_MEASURED = 256  # rows whose features are enough to standardise by


def load(network: NetworkSettings, seed: int) -> LoadedBackbone:
    """Load the backbone that was asked for, with its weights, or with random ones from `seed`."""
    if network.from_scratch:
        return random_backbone(get_backbone(network.backbone), seed)
    return load_backbone(network.backbone, network.weights, random_state=seed)


def faithful_settings(settings: TrainingSettings, loaded: LoadedBackbone) -> TrainingSettings:
    """Train in float32 where a pre-trained network's features are not those of float32 in bfloat16.

    MobileNetV2 is such a network: the cosine of its features in bfloat16 to those in float32 falls to
    0.99, and what is tuned under that noise forgets. A precision that was asked for by name, and a
    network that starts from random weights, are left as they are.
    """
    by_name = settings.run.precision != "auto"
    if by_name or settings.network.from_scratch or settings.precision != "bfloat16":
        return settings
    slots = resolve_slots(loaded, None, "avg", loaded.preprocessing.crop)
    found = prepare(loaded, settings.device, "auto", kept_slots(loaded.spec, slots)).precision
    return settings if found == "bfloat16" else replace(settings, precision="float32")


def feature_width(loaded: LoadedBackbone, pooling: str, preprocessing: Preprocessing) -> int:
    """Count the features that a pooling of the last stage gives."""
    return sum(slot.width for slot in resolve_slots(loaded, None, pooling, preprocessing.crop))


def new_network(
    loaded: LoadedBackbone,
    preprocessing: Preprocessing,
    settings: TrainingSettings,
    widths: tuple[int, int],
    seed: int,
    kind: type[TransferNetwork] = TransferNetwork,
) -> TrainedNetwork:
    """Copy a backbone and put a new head on it.

    Parameters
    ----------
    loaded : LoadedBackbone
        Stays as it is.
    preprocessing : Preprocessing
        Resize, crop and normalisation of an image.
    settings : TrainingSettings
        Head, pooling and strategy.
    widths : (int, int)
        Numbers of features and of scores.
    seed : int
        Seed of the head's first weights.
    kind : type, default=TransferNetwork
        Class of the network.
    """
    made_of = settings.network
    with seeded(seed, settings.device):
        head = make_head(made_of.head, *widths)
    network = kind(
        copy.deepcopy(loaded.module),
        loaded.spec,
        preprocessing,
        made_of.pooling,
        head,
        widths[0],
        first_trained_stage(made_of.strategy, made_of.n_trainable, loaded.spec),
        made_of.freeze_batchnorm and not made_of.from_scratch,
    )
    return TrainedNetwork(network, loaded, made_of.backbone, made_of.head, widths)


def start_head(
    network: TransferNetwork, rows: TrainingRows, settings: TrainingSettings, target: Target
) -> None:
    """Let a new head start from what the rows tell before any training.

    Parameters
    ----------
    network : TransferNetwork
        Its head starts at the prior, and its `standardize` is fitted unless the backbone starts from
        random weights, whose features say nothing of later ones. It is on the device of `settings`
        afterwards.
    rows : TrainingRows
        Rows of the training; the features of the first 256 are measured, whose order tells nothing.
    settings : TrainingSettings
        Device, precision and batch size.
    target : Target
        Says which scores suit all rows alike.
    """
    encoded, weights = torch.from_numpy(rows.targets), torch.from_numpy(rows.weights)
    start_at_prior(network.head, target.prior_scores(encoded, weights))
    if settings.network.from_scratch:
        return
    some = rows.first(_MEASURED)
    parts = (
        some.batch(slice(start, start + settings.batch_size))[0]["inputs"]
        for start in range(0, len(some), settings.batch_size)
    )
    fit_standardizer(network, parts, settings)


def fit_standardizer(
    network: TransferNetwork, batches: Iterable[Tensor], settings: TrainingSettings
) -> None:
    """Measure the features of some batches of inputs, and standardise by them from now on."""
    device = settings.device
    network.to(device).eval()
    in_half = settings.precision == "bfloat16"
    parts = []
    for inputs in batches:
        with (
            torch.inference_mode(),
            torch.autocast(device.type, torch.bfloat16, enabled=in_half),
        ):
            parts.append(network.features(inputs.to(device)).float())
    network.standardize.fit(torch.cat(parts))
