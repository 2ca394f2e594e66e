"""Batches with one half from the source and one from the target, whatever their numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["HalfBatches"]


@dataclass(frozen=True)
class HalfBatches:
    """Rows of the batches of one epoch: first the half of the source, then that of the target.

    An epoch passes once over the larger domain, in shuffled order, and begins the smaller one again,
    shuffled anew, as often as that takes. All halves have the same size, so the last rows of a pass
    may be filled up with the first of the next: with 1000 rows of one domain and 50 of the other an
    epoch is as long as with 1000 of each, and there is always at least one batch.

    Where there are several sources, or several targets, each has the same part in its half.

    Parameters
    ----------
    sources, targets : sequence of ndarray of shape (n_rows,), dtype int64
        Rows of each domain, none of them empty.
    batch_size : int
        Rows in each half. Where both domains are smaller than that, the halves are as large as the
        larger domain.

    Examples
    --------
    >>> batches = HalfBatches([np.arange(5)], [np.arange(5, 7)], batch_size=2)
    >>> len(batches), batches.half
    (3, 2)
    >>> for rows in batches.epoch(np.random.default_rng(0)):
    ...     print(rows)
    [2 4 5 6]
    [3 0 5 6]
    [1 4 5 6]
    """

    sources: Sequence[NDArray[np.int64]]
    targets: Sequence[NDArray[np.int64]]
    batch_size: int

    @property
    def half(self) -> int:
        """Rows in each half of a batch."""
        return min(self.batch_size, self._larger)

    @property
    def _larger(self) -> int:
        return max(sum(map(len, self.sources)), sum(map(len, self.targets)))

    def __len__(self) -> int:
        return -(-self._larger // self.half)

    def epoch(self, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        """Draw the batches of one epoch.

        Parameters
        ----------
        rng : numpy.random.Generator
            Decides the order.

        Yields
        ------
        ndarray of shape (2 * half,), dtype int64
            Rows; the first `half` are of the source.
        """
        n_rows = len(self) * self.half
        source, target = (
            _mixed([_passes(rows, n_rows, rng) for rows in domains], n_rows, rng)
            for domains in (self.sources, self.targets)
        )
        for start in range(0, n_rows, self.half):
            stop = start + self.half
            yield np.concatenate([source[start:stop], target[start:stop]])


def _passes(rows: NDArray[np.int64], n_rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return `n_rows` of `rows`: one shuffled pass after the other."""
    n_passes = -(-n_rows // len(rows))
    return np.concatenate([rng.permutation(rows) for _ in range(n_passes)])[:n_rows]


def _mixed(
    domains: Sequence[NDArray[np.int64]], n_rows: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Take turns, so that each run of as many rows as there are domains has one of each."""
    if len(domains) == 1:
        return domains[0]
    n_turns = -(-n_rows // len(domains))
    turns = np.stack([rows[:n_turns] for rows in domains], axis=1)  # (n_turns, n_domains)
    return rng.permuted(turns, axis=1).reshape(-1)[:n_rows]
