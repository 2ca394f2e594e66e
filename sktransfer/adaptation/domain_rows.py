"""Rows of several domains: their inputs put together, and the labels of the source encoded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sktransfer.adaptation.domain_batches import DomainRows
from sktransfer.adaptation.domain_statistics import DomainBackbones, has_statistics
from sktransfer.images.sequences import SomeRows
from sktransfer.training.arrays import allocate
from sktransfer.training.batches import TrainingRows
from sktransfer.training.hold_out import hold_out
from sktransfer.training.inputs import Inputs, compute_inputs
from sktransfer.training.supervised import warn_of_unreadable_classes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sktransfer.adaptation.domains import Domains
    from sktransfer.adaptation.norms import BatchNormMode
    from sktransfer.backbones.weights import LoadedBackbone
    from sktransfer.images.sequences import ImageSequence
    from sktransfer.preprocessing import Preprocessing
    from sktransfer.training.settings import TrainingSettings
    from sktransfer.training.targets import ClassTarget

__all__ = ["domain_rows", "inputs_of_numbers", "inputs_of_parts"]


def inputs_of_numbers(parts: Sequence[NDArray[np.float32]]) -> Inputs:
    """Return rows of numbers as inputs of the heads."""
    return Inputs("vectors", "there is no backbone", [np.concatenate(parts)], None, [])


def inputs_of_parts(
    parts: Sequence[ImageSequence],
    is_source: NDArray[np.bool_],
    loaded: LoadedBackbone,
    preprocessing: Preprocessing,
    settings: TrainingSettings,
    batch_norm: BatchNormMode | None,
    seed: int,
) -> tuple[Inputs, DomainBackbones | None]:
    """Compute the inputs of images that come in one or two parts, one after the other.

    With statistics for each domain, what runs once an image of a pre-trained backbone has them too.

    Parameters
    ----------
    parts : sequence of ImageSequence
        `X`, and `X_target` if it was given.
    is_source : ndarray of shape (n_rows,), dtype bool
        Whether each row of all parts is of a source.
    loaded, preprocessing, settings, seed
        As for `compute_inputs`.
    batch_norm : {"joint", "separate", "per_domain"} or None
        See `AdaptationParameters`.

    Returns
    -------
    Inputs
        Of all rows, in their order.
    DomainBackbones or None
        The backbone with the statistics of each domain, if it has them.
    """
    is_new = settings.network.from_scratch
    if batch_norm != "per_domain" or is_new or not has_statistics(loaded.module):
        images = parts[0] if len(parts) == 1 else SomeRows(parts, np.arange(len(is_source)))
        return compute_inputs(images, loaded, preprocessing, settings, seed), None
    backbones = DomainBackbones.fitted(loaded, parts, is_source, preprocessing, settings, seed)
    of_each = [np.flatnonzero(is_source), np.flatnonzero(~is_source)]
    computed = [
        compute_inputs(SomeRows(parts, rows), of_domain, preprocessing, settings, seed + number)
        for number, (rows, of_domain) in enumerate(
            zip(of_each, (backbones.source, backbones.target), strict=True)
        )
    ]
    views = [
        _in_order(view, of_each)
        for view in zip(*(inputs.views for inputs in computed), strict=True)
    ]
    failed = sorted(
        int(rows[row])
        for rows, inputs in zip(of_each, computed, strict=True)
        for row in inputs.failed
    )
    return replace(computed[0], views=views, failed=failed), backbones


def _in_order(
    views: Sequence[NDArray[np.generic]], of_each: Sequence[NDArray[np.intp]]
) -> NDArray[np.generic]:
    """Put the rows of each domain where they were among all."""
    n_rows = sum(map(len, of_each))
    ordered: NDArray[np.generic] = allocate((n_rows, *views[0].shape[1:]), views[0].dtype.type)
    for view, rows in zip(views, of_each, strict=True):
        ordered[rows] = view
    return ordered


def domain_rows(
    inputs: Inputs,
    domains: Domains,
    target: ClassTarget,
    factors: NDArray[np.float64],
    held_out: float,
    seed: int,
) -> tuple[DomainRows, TrainingRows | None]:
    """Sort the rows by domain, encode the labels of the source, and hold some of it back.

    Parameters
    ----------
    inputs : Inputs
        Inputs of all rows; those of images that could not be read are left out.
    domains : Domains
        Domain and label of each row.
    target : ClassTarget
        Encodes the labels of the source.
    factors : ndarray of shape (n_source_rows,)
        Per-sample weight of the label loss.
    held_out : float
        Part of the source rows that is held back; 0 for none.
    seed : int
        Seed of the split.
    """
    source = np.flatnonzero(domains.is_source)
    targets = np.zeros((len(domains.labels), target.n_outputs), np.float32)
    targets[source] = target.encode(domains.source_labels)
    weights = np.zeros(len(targets), np.float32)
    weights[source] = factors
    usable = np.setdiff1d(np.arange(len(targets)), inputs.failed)
    warn_of_unreadable_classes(target, targets, source, usable)
    valid = None
    if held_out:
        readable = np.intersect1d(source, usable)
        _, chosen = hold_out(target.strata(targets[readable]), held_out, seed)
        if len(chosen):
            rows = readable[chosen]
            valid = TrainingRows(inputs.views, rows, targets[rows], np.ones(len(rows), np.float32))
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
    return DomainRows(inputs.views, of_each, n_sources, targets, weights), valid
