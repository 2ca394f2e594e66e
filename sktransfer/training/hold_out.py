"""The internal validation split: which rows early stopping watches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MIN_HELD_OUT", "hold_out"]

MIN_HELD_OUT = 8
"""With fewer rows than these to hold back, nothing is: a loss over less would be noise, and few rows
are better used for training."""


def hold_out(
    groups: NDArray[np.generic], fraction: float, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split rows in a part to train on and a part to watch, in equal proportions of each group.

    Parameters
    ----------
    groups : ndarray of shape (n_rows,)
        The class of each row, or one value for all.
    fraction : float in (0, 1)
        Part of the rows that is held back.
    seed : int
        Decides which.

    Returns
    -------
    train, held_out : ndarray, dtype intp
        Row numbers, sorted. `held_out` is empty if it would have fewer than `MIN_HELD_OUT` rows. A
        group of one row always stays in `train`, and every group keeps at least one row there.

    Examples
    --------
    >>> train, held_out = hold_out(np.repeat([0, 1], [80, 20]), 0.1, seed=0)
    >>> len(train), np.bincount(np.repeat([0, 1], [80, 20])[held_out]).tolist()
    (90, [8, 2])
    """
    n_rows = len(groups)
    n_held_out = int(fraction * n_rows)
    everything = np.arange(n_rows, dtype=np.intp)
    if n_held_out < MIN_HELD_OUT:
        return everything, everything[:0]
    rng = np.random.default_rng(seed)
    place = np.empty(n_rows)  # of each row in its group, in 0..1: the first ones are held back
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        ranks = (np.arange(len(members)) + rng.uniform()) / len(members)
        ranks[-1] = 2.0  # stays
        place[rng.permutation(members)] = ranks
    chosen = np.argsort(place, kind="stable")[:n_held_out]
    held_out = np.sort(chosen[place[chosen] < 2.0])
    return np.setdiff1d(everything, held_out), held_out
