"""Rows with targets: encoded, equal ones merged, and some of them held back for early stopping."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sktransfer.exceptions import ImageWarning
from sktransfer.training.batches import TrainingRows
from sktransfer.training.deduplicate import merge_equal_rows
from sktransfer.training.hold_out import hold_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sktransfer.training.inputs import Inputs
    from sktransfer.training.targets import Target

__all__ = ["SupervisedRows", "supervised_rows", "warn_of_unreadable_classes"]


@dataclass(frozen=True, eq=False)
class SupervisedRows:
    """The rows of a training.

    Parameters
    ----------
    train : TrainingRows
        Rows to train on.
    valid : TrainingRows or None
        Rows that are held back, if any are.
    """

    train: TrainingRows
    valid: TrainingRows | None


def supervised_rows(
    inputs: Inputs,
    y: NDArray[np.generic],
    weights: NDArray[np.float64],
    target: Target,
    class_factors: Callable[[NDArray[np.generic], NDArray[np.float64]], NDArray[np.float64]] | None,
    held_out: float,
    seed: int,
) -> SupervisedRows:
    """Put inputs and targets together.

    Parameters
    ----------
    inputs : Inputs
        Inputs of all images.
    y : ndarray of shape (n_images,) or (n_images, n_outputs)
        Targets of the user.
    weights : ndarray of shape (n_images,), dtype float64
        Weights of the images; those of weight 0 are left out.
    target : Target
        Encodes the targets.
    class_factors : callable or None
        Function from targets and weights to factors by which the weights are multiplied.
    held_out : float
        Part of the rows that is held back; 0 for none.
    seed : int
        Seed of the split.

    Raises
    ------
    ValueError
        If no image can be read.
    """
    weighted = weights > 0
    encoded = np.zeros((len(y), target.n_outputs), np.float32)
    encoded[weighted] = target.encode(y[weighted])
    usable = np.setdiff1d(np.arange(len(y)), inputs.failed)
    if not weights[usable].any():
        raise ValueError(
            "none of the images that have a weight can be read, so there is nothing to train on. "
            "Check the paths; on_error='raise' names the first that fails."
        )
    warn_of_unreadable_classes(target, encoded, np.flatnonzero(weighted), usable)
    rows, totals = merge_equal_rows(inputs.views, encoded, weights, usable)
    factors = 1.0 if class_factors is None else class_factors(y[rows], totals)
    everything = TrainingRows(
        inputs.views, rows, encoded[rows], (totals * factors).astype(np.float32)
    )
    kept, held_back = hold_out(target.strata(encoded[rows]), held_out, seed)
    valid = everything.subset(held_back) if len(held_back) else None
    return SupervisedRows(everything.subset(kept), valid)


def warn_of_unreadable_classes(
    target: Target,
    encoded: NDArray[np.float32],
    labelled: NDArray[np.intp],
    usable: NDArray[np.intp],
) -> None:
    """Warn of classes none of whose images can be read, which will hardly ever be predicted.

    Parameters
    ----------
    target : Target
        Kind of the targets.
    encoded : ndarray of shape (n_images, n_outputs)
        Encoded targets.
    labelled : ndarray of int
        Rows that have a target.
    usable : ndarray of int
        Rows whose images can be read.
    """
    strata = target.strata(encoded)
    lost = np.setdiff1d(strata[labelled], strata[np.intersect1d(labelled, usable)])
    if len(lost):
        first = [labelled[strata[labelled] == stratum][0] for stratum in lost]
        names = ", ".join(map(repr, target.restore(encoded[first]).tolist()))
        warnings.warn(
            f"no image of the class {names} can be read, so nothing is learned of it, although "
            "classes_ holds it. Check the files of these rows, or leave the rows out.",
            ImageWarning,
            stacklevel=2,
        )
