"""A progress bar of images, if somebody wants one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(n_images: int, verbose: int) -> Iterator[Callable[[int], object]]:
    """Give a function that is told the number of images that have been finished."""
    from tqdm.auto import tqdm

    with tqdm(total=n_images, disable=not verbose, unit="image") as bar:
        yield bar.update
