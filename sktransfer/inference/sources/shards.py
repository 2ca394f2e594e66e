"""Shards: ranges of a source, each with all that a process needs to read its rows."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Row", "Shard", "Source", "digest_of", "ranges"]


class Row(NamedTuple):
    """One image of a source.

    Parameters
    ----------
    name : str
        Path of the image, or of the file that holds it and its place there.
    image : str, bytes or None
        A local path or an encoded file; None if it could not be fetched.
    error : str or None
        Reason for that.
    """

    name: str
    image: str | bytes | None
    error: str | None = None


@dataclass(frozen=True)
class Shard(ABC):
    """Consecutive rows of a source.

    Parameters
    ----------
    number : int
        Place among the shards of the source, from 0.
    first : int
        First row, counted through the whole source.
    n_rows : int
        Number of rows.
    """

    number: int
    first: int
    n_rows: int

    @abstractmethod
    def read(self, at_once: int) -> Iterator[list[Row]]:
        """Read the rows in order, at most `at_once` in a list."""


@dataclass(frozen=True)
class Source:
    """A list of shards.

    Parameters
    ----------
    name : str
        Name for messages.
    shards : tuple of Shard
        In the order of the rows.
    digest : str
        Digest of what is in the source: names, and of local files sizes and times of change.
    """

    name: str
    shards: tuple[Shard, ...]
    digest: str

    @property
    def n_rows(self) -> int:
        """Number of images."""
        return sum(shard.n_rows for shard in self.shards)


def digest_of(words: Iterable[object]) -> str:
    """Digest some words in order.

    Examples
    --------
    >>> digest_of(["a.png", 3]) == digest_of(["a.png", "3"]), digest_of(["a", "b"]) == digest_of(["ab"])
    (True, False)
    """
    digest = hashlib.sha256()
    for word in words:
        encoded = str(word).encode("utf-8", "surrogateescape")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()[:16]


def ranges(n_rows: int, rows_at_most: int) -> Iterator[tuple[int, int]]:
    """Cut rows into ranges: first row and number of rows of each.

    Examples
    --------
    >>> list(ranges(5, 2))
    [(0, 2), (2, 2), (4, 1)]
    """
    for first in range(0, n_rows, rows_at_most):
        yield first, min(rows_at_most, n_rows - first)
