"""Preparation: from images, or rows of numbers, of two domains to what an adaptation is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sktransfer.adaptation.domain_batches import DomainRows
from sktransfer.features.plan import input_preprocessing
from sktransfer.parameters import check_integer
from sktransfer.training.augmentation import resolve_augmentation
from sktransfer.training.batches import TrainingRows
from sktransfer.training.freezing import first_trained_stage
from sktransfer.training.hold_out import hold_out
from sktransfer.training.inputs import choose_inputs, compute_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sktransfer.adaptation.domains import Domains
    from sktransfer.backbones.weights import LoadedBackbone
    from sktransfer.images.sequences import ImageSequence
    from sktransfer.training.augmentation import Augmentation
    from sktransfer.training.settings import TrainingSettings
    from sktransfer.training.targets import LabelCoder

__all__ = ["Prepared", "prepare", "rows_to_train_on"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """Inputs of all rows.

    Parameters
    ----------
    views : list of ndarray of shape (n_rows, ...)
        Pixels, maps or vectors; several where each image has several augmented views.
    augmentation : callable or None
        What is done to each batch of pixels.
    trunk : tuple of two str
        What was stored of each image, and why, see `finetuning.trunk.choose_inputs`.
    failed : list of int
        Rows of images that could not be read.
    """

    views: list[NDArray[Any]]
    augmentation: Augmentation | None
    trunk: tuple[str, str]
    failed: list[int]


def prepare(
    parameters: Any,
    parts: Sequence[ImageSequence],
    loaded: LoadedBackbone,
    settings: TrainingSettings,
    seed: int,
) -> Prepared:
    """Decode the images, or run the stages that are frozen.

    Parameters
    ----------
    parameters : object
        With those of `DANNClassifier` as attributes.
    parts : sequence of ImageSequence
        What to train on, one after the other: `X`, and `X_target` if it was given.
    loaded : LoadedBackbone
        The network with its weights.
    settings : TrainingSettings
        Where and with how many threads.
    seed : int
        Of stored views.
    """
    first = first_trained_stage(parameters.strategy, parameters.n_trainable, loaded.spec)
    n_views = parameters.n_views
    if n_views is not None:
        check_integer("n_views", n_views, 1, "augmented views that are kept of an image")
    augmentation = resolve_augmentation(parameters.augmentation, trunk_is_frozen=first > 0)
    trunk = choose_inputs(loaded.spec, first, augments=augmentation is not None, n_views=n_views)
    if parameters.pixel_norm == "per_domain" and (trunk[0] != "pixels" or first > 0):
        raise ValueError(
            f"pixel_norm='per_domain' is not possible with strategy={parameters.strategy!r}, whose "
            "frozen stages expect the pixels they were trained on. Pass 'weights', or "
            "strategy='full' or 'scratch'."
        )
    preprocessing = input_preprocessing(
        loaded.preprocessing, parameters.image_size, parameters.image_shape
    )
    generator = torch.Generator().manual_seed(seed)
    found = [
        compute_inputs(
            trunk[0],
            images,
            loaded,
            preprocessing,
            first,
            settings,
            parameters,
            augmentation=augmentation,
            n_views=n_views,
            generator=generator,
        )
        for images in parts
    ]
    views = [_joined(view) for view in zip(*(inputs.views for inputs in found), strict=True)]
    starts = np.cumsum([0, *map(len, parts)])
    failed = [
        int(s) + row for s, inputs in zip(starts, found, strict=False) for row in inputs.failed
    ]
    return Prepared(views, augmentation if n_views is None else None, trunk, failed)


def rows_to_train_on(
    views: list[NDArray[Any]],
    domains: Domains,
    failed: Sequence[int],
    coder: LabelCoder,
    factors: NDArray[np.float64],
    *,
    held_out: float,
    seed: int,
) -> tuple[DomainRows, TrainingRows | None]:
    """Sort the rows by domain, encode the labels of the source, and hold some of it back.

    Parameters
    ----------
    views : list of ndarray of shape (n_rows, ...)
        Inputs.
    domains : Domains
        Of each row.
    failed : sequence of int
        Rows that are left out.
    coder : LabelCoder
        Of the labels of the source.
    factors : ndarray of shape (n_source_rows,)
        What the label loss of each source row counts.
    held_out : float
        Part of the source rows that is held back; 0 for none.
    seed : int
        Decides which.
    """
    source = np.flatnonzero(domains.is_source)
    targets = np.zeros((len(domains.labels), coder.n_outputs), np.float32)
    targets[source] = coder.encode(domains.source_labels)
    weights = np.zeros(len(targets), np.float32)
    weights[source] = factors
    usable = np.setdiff1d(np.arange(len(targets)), failed)
    valid = None
    if held_out:
        readable = np.intersect1d(source, usable)
        _, chosen = hold_out(coder.codes(domains.labels[readable]), held_out, seed)
        if len(chosen):
            rows = readable[chosen]
            valid = TrainingRows(views, rows, targets[rows], np.ones(len(rows), np.float32))
            usable = np.setdiff1d(usable, rows)
    trained = np.intersect1d(source, usable)
    if weights[trained].any():
        weights[source] /= weights[trained].mean(dtype=np.float64)
    names = domains.names
    of_each = [usable[domains.numbers[usable] == name] for name in names]
    empty = [int(name) for name, some in zip(names, of_each, strict=True) if not len(some)]
    if empty:
        raise ValueError(
            f"none of the images of domain {empty[0]} can be read. Check the paths; "
            "on_error='raise' names the first that fails."
        )
    n_sources = int((names >= 0).sum())
    return DomainRows(views, of_each, n_sources, targets, weights), valid


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
