"""Tar files of images, as WebDataset writes them."""

from __future__ import annotations

import tarfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sktransfer.exceptions import ImageError
from sktransfer.inference.sources.remote import is_image, open_file, signature_of, size_of
from sktransfer.inference.sources.shards import Row, Shard, Source, digest_of, ranges

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["TarShard", "source_of_tars"]


@dataclass(frozen=True)
class TarShard(Shard):
    """Images of one tar file.

    Parameters
    ----------
    file : str
        The file.
    first_in_file : int
        First image, counted in the file.
    """

    file: str
    first_in_file: int

    def read(self, at_once: int) -> Iterator[list[Row]]:
        """Read the images; of those before them only the headers."""
        rows: list[Row] = []
        end = self.first_in_file + self.n_rows
        with _images_of(self.file) as (tar, members):
            for number, member in enumerate(members):
                if number == end:
                    break
                if number < self.first_in_file:
                    continue
                content = tar.extractfile(member)
                assert content is not None
                rows.append(Row(f"{self.file}#{member.name}", content.read()))
                if len(rows) == at_once:
                    yield rows
                    rows = []
        if rows:
            yield rows


def source_of_tars(name: str, files: Sequence[str], shard_rows: int) -> Source:
    """Cut tar files into shards, none of which lies in two files.

    Raises
    ------
    ImageError
        If there is no image, or a file is no tar.
    """
    shards: list[Shard] = []
    words: list[object] = []
    n_rows = 0
    for file in files:
        with _images_of(file) as (_, members):
            in_file = sum(1 for _ in members)
        words += [signature_of(file), size_of(file), in_file]
        for first, some in ranges(in_file, shard_rows):
            shards.append(TarShard(len(shards), n_rows + first, some, file, first))
        n_rows += in_file
    if not shards:
        raise ImageError(f"the source {name!r} holds no image in its {len(files)} tar files.")
    return Source(name, tuple(shards), digest_of(words))


@contextmanager
def _images_of(file: str) -> Iterator[tuple[tarfile.TarFile, Iterator[tarfile.TarInfo]]]:
    """Open a tar file, and go through its images in order."""
    with open_file(file) as opened:
        try:
            tar = tarfile.open(fileobj=opened, mode="r:*")  # noqa: SIM115 - closed below
        except tarfile.TarError as exc:
            raise ImageError(f"the file {file!r} is no tar file ({exc}).") from exc
        with tar:
            yield tar, (member for member in tar if member.isfile() and is_image(member.name))
