"""A progress bar over work that may be done in other processes."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["watched"]

_EVERY_S = 0.2


@contextmanager
def watched(
    finished: Path, total: int, *, unit: str, verbose: int
) -> Iterator[Callable[[str], None]]:
    """Show on stderr how much of the work is done.

    Parameters
    ----------
    finished : Path
        A file to which every process appends one byte for each piece that it has finished; it need
        not be there yet.
    total : int
        Number of pieces.
    unit : str
        What a piece is called.
    verbose : int
        0 shows nothing.

    Yields
    ------
    callable
        Takes what is being done now, in words, to show before the bar.
    """
    from tqdm import tqdm

    over = threading.Event()
    with tqdm(total=total, unit=unit, disable=not verbose) as bar:

        def look() -> None:
            bar.update((finished.stat().st_size if finished.exists() else 0) - bar.n)

        def keep_looking() -> None:
            while not over.wait(_EVERY_S):
                look()

        thread = threading.Thread(target=keep_looking, daemon=True)
        if verbose:
            thread.start()
        try:
            yield bar.set_description
        finally:
            over.set()
            if verbose:
                thread.join()
                look()
