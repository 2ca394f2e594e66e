"""Images that lie in files of their own: folders, lists, CSV and Parquet tables of paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sktransfer.inference.sources.remote import fetch, is_remote, signature_of
from sktransfer.inference.sources.shards import Row, Shard, Source, digest_of, ranges

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["PathShard", "source_of_paths"]


@dataclass(frozen=True)
class PathShard(Shard):
    """Paths or URLs of images.

    Parameters
    ----------
    paths : tuple of str
        One for each row.
    """

    paths: tuple[str, ...]

    def read(self, at_once: int) -> Iterator[list[Row]]:
        """Hand on local paths as they are, and fetch remote files."""
        for first in range(0, self.n_rows, at_once):
            paths = self.paths[first : first + at_once]
            found = dict(_fetched([path for path in paths if is_remote(path)]))
            yield [found.get(path) or Row(path, path) for path in paths]


def source_of_paths(name: str, paths: Sequence[str], shard_rows: int) -> Source:
    """Cut paths into shards."""
    shards = tuple(
        PathShard(number, first, n_rows, tuple(paths[first : first + n_rows]))
        for number, (first, n_rows) in enumerate(ranges(len(paths), shard_rows))
    )
    return Source(name, shards, digest_of(map(signature_of, paths)))


def _fetched(urls: list[str]) -> Iterator[tuple[str, Row]]:
    if not urls:
        return
    for url, content in zip(urls, fetch(urls), strict=True):
        if isinstance(content, Exception):
            reason = f"cannot be fetched ({type(content).__name__}: {content})"
            yield url, Row(url, None, reason)
        else:
            yield url, Row(url, content)
