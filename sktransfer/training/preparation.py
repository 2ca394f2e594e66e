"""Preparation: from images and targets to rows that a network can be trained on."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sktransfer.features.engine import prepare
from sktransfer.features.taps import kept_slots, resolve_slots
from sktransfer.parameters import check_integer
from sktransfer.training.augmentation import resolve_augmentation
from sktransfer.training.batches import TrainingRows
from sktransfer.training.deduplicate import merge_equal_rows
from sktransfer.training.freezing import first_trained_stage
from sktransfer.training.heads import make_head, start_at_prior
from sktransfer.training.hold_out import hold_out
from sktransfer.training.inputs import choose_inputs, compute_inputs
from sktransfer.training.losses import prior_scores
from sktransfer.training.network import TransferNetwork
from sktransfer.training.portable_network import TrainedNetwork
from sktransfer.training.seeding import seeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sktransfer.backbones.weights import LoadedBackbone
    from sktransfer.images.sequences import ImageSequence
    from sktransfer.preprocessing import Preprocessing
    from sktransfer.training.augmentation import Augmentation
    from sktransfer.training.settings import TrainingSettings
    from sktransfer.training.targets import LabelCoder, ValueScaler

__all__ = ["Rows", "faithful_settings", "new_network", "prepare_rows", "start_head"]

_MEASURED = 256  # rows whose features are enough to standardise by


@dataclass(frozen=True, eq=False)
class Rows:
    """What a training needs of its data.

    Parameters
    ----------
    train, valid : TrainingRows, or None if nothing is held back
        The rows.
    augmentation : callable or None
        What is done to each batch of pixels.
    trunk : tuple of two str
        What was stored of each image, and why, see `trunk.choose_inputs`.
    failed : list of int
        Rows of images that could not be read.
    """

    train: TrainingRows
    valid: TrainingRows | None
    augmentation: Augmentation | None
    trunk: tuple[str, str]
    failed: list[int]


def prepare_rows(
    estimator: Any,
    images: ImageSequence,
    y: NDArray[Any],
    weights: NDArray[np.float64],
    coder: LabelCoder | ValueScaler,
    row_factors: Callable[[NDArray[Any], NDArray[np.float64]], NDArray[np.float64]],
    loaded: LoadedBackbone,
    preprocessing: Preprocessing,
    settings: TrainingSettings,
    seed: int,
    *,
    holds_out: bool,
) -> Rows:
    """Run what is frozen, merge equal rows, and hold some back.

    Parameters
    ----------
    estimator : object
        With the parameters of `FineTuneClassifier`.
    images : ImageSequence
        What to train on.
    y : ndarray of shape (n_images,) or (n_images, n_outputs)
        Checked targets.
    weights : ndarray of shape (n_images,)
        Of the rows; rows of weight 0 are left out.
    coder : LabelCoder or ValueScaler
        Encodes the targets.
    row_factors : callable
        From targets and weights to factors by which weights are multiplied.
    loaded : LoadedBackbone
        The network with its weights.
    preprocessing : Preprocessing
        What happens to an image first.
    settings : TrainingSettings
        See there.
    seed : int
        Of split and views.
    holds_out : bool
        Whether rows are held back for early stopping.

    Raises
    ------
    ValueError
        If no image can be read.
    """
    first = first_trained_stage(estimator.strategy, estimator.n_trainable, loaded.spec)
    n_views = estimator.n_views
    if n_views is not None:
        check_integer("n_views", n_views, 1, "augmented views that are kept of an image")
    augmentation = resolve_augmentation(estimator.augmentation, trunk_is_frozen=first > 0)
    trunk = choose_inputs(loaded.spec, first, augments=augmentation is not None, n_views=n_views)
    inputs = compute_inputs(
        trunk[0],
        images,
        loaded,
        preprocessing,
        first,
        settings,
        estimator,
        augmentation=augmentation,
        n_views=n_views,
        generator=torch.Generator().manual_seed(seed),
    )
    encoded = np.zeros((len(y), coder.n_outputs), np.float32)
    encoded[weights > 0] = coder.encode(y[weights > 0])
    usable = np.setdiff1d(np.arange(len(y)), inputs.failed)
    if not weights[usable].any():
        raise ValueError(
            "none of the images that have a weight can be read, so there is nothing to train on. "
            "Check the paths; on_error='raise' names the first that fails."
        )
    rows, totals = merge_equal_rows(inputs.views, encoded, weights, usable)
    factors = row_factors(y[rows], totals)
    everything = TrainingRows(
        inputs.views, rows, encoded[rows], (totals * factors).astype(np.float32)
    )
    fraction = settings.validation_fraction if holds_out else 0.0
    kept, held_out = hold_out(_groups(encoded[rows], coder.kind), fraction, seed)
    return Rows(
        train=everything.subset(kept),
        valid=everything.subset(held_out) if len(held_out) else None,
        augmentation=augmentation if n_views is None else None,
        trunk=trunk,
        failed=inputs.failed,
    )


def faithful_settings(settings: TrainingSettings, loaded: LoadedBackbone) -> TrainingSettings:
    """Train in float32 where a pre-trained network's features are not those of float32 in bfloat16.

    MobileNetV2 is such a network: the cosine of its features in bfloat16 to those in float32 falls to
    0.99, and what is tuned under that noise forgets.

    Parameters
    ----------
    settings : TrainingSettings
        As they were asked for.
    loaded : LoadedBackbone
        The network with its weights.
    """
    if settings.precision != "bfloat16":
        return settings
    slots = resolve_slots(loaded, None, "avg", loaded.preprocessing.crop)
    found = prepare(loaded, settings.device, "auto", kept_slots(loaded.spec, slots)).precision
    return settings if found == "bfloat16" else replace(settings, precision="float32")


def new_network(
    estimator: Any,
    loaded: LoadedBackbone,
    preprocessing: Preprocessing,
    n_outputs: int,
    device: torch.device,
    seed: int,
) -> TrainedNetwork:
    """Copy a backbone and put a new head on it.

    Parameters
    ----------
    estimator : object
        With the parameters of `FineTuneClassifier`.
    loaded : LoadedBackbone
        Stays as it is.
    preprocessing : Preprocessing
        What happens to an image first.
    n_outputs : int
        Scores of the head.
    device : torch.device
        Whose random numbers are left alone.
    seed : int
        Of the head's first weights.
    """
    slots = resolve_slots(loaded, None, estimator.pooling, preprocessing.crop)
    widths = (sum(slot.width for slot in slots), n_outputs)
    with seeded(seed, device):
        head = make_head(estimator.head, *widths)
    first = first_trained_stage(estimator.strategy, estimator.n_trainable, loaded.spec)
    backbone = copy.deepcopy(loaded.module)
    network = TransferNetwork(
        backbone, loaded.spec, preprocessing, estimator.pooling, head, widths[0], first, True
    )
    return TrainedNetwork(network, loaded, estimator.backbone, estimator.head, widths)


def start_head(
    network: TransferNetwork,
    rows: TrainingRows,
    settings: TrainingSettings,
    kind: str,
    *,
    measures: bool,
) -> None:
    """Let a new head start from what the rows tell before any training.

    Parameters
    ----------
    network : TransferNetwork
        Whose head starts at the prior, and whose `standardize` is fitted; on the device of
        `settings` afterwards.
    rows : TrainingRows
        Of which the first 256 are measured; their order tells nothing.
    settings : TrainingSettings
        Where, how precisely and how many at once.
    kind : str
        Of the targets, see `losses.KINDS`.
    measures : bool
        Whether features are standardised. Those of random weights say nothing of later ones.
    """
    targets, weights = torch.from_numpy(rows.targets), torch.from_numpy(rows.weights)
    start_at_prior(network.head, prior_scores(kind, targets, weights))
    if not measures:
        return
    network.to(settings.device).eval()
    parts = []
    for start in range(0, min(len(rows), _MEASURED), settings.batch_size):
        indices = np.arange(start, min(start + settings.batch_size, len(rows)))
        inputs, _ = rows.batch(indices)
        with (
            torch.inference_mode(),
            torch.autocast(
                settings.device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"
            ),
        ):
            parts.append(network.features(inputs["inputs"].to(settings.device)))
    network.standardize.fit(torch.cat(parts))


def _groups(encoded: NDArray[np.float32], kind: str) -> NDArray[Any]:
    """Tell which rows are of one class; sets of labels and numbers have none."""
    if kind == "multiclass":
        classes: NDArray[Any] = encoded.argmax(1)
        return classes
    return encoded[:, 0] if kind == "binary" else np.zeros(len(encoded))
