"""What a comparison shows while it runs: a line for each finished candidate, and a bar on a terminal."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.comparison.grid_fit import best_setting
from sktransfer.formatting import as_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sktransfer.comparison.fit import Fit
    from sktransfer.comparison.grid_fit import GridFits

__all__ = ["Progress", "shown_progress", "shows_bars"]

_UNKNOWN_S = 0.3  # what a fit is taken to cost before one of its candidate was seen


class Progress:
    """The share of the work that is done, by measured seconds.

    Parameters
    ----------
    n_fits : mapping of str to int
        Number of fits of each candidate.
    weights : mapping of str to float
        Expected cost of a fit of each, in seconds; 0 where nothing is known.
    bar : tqdm or None
        Bar of 100 parts.
    verbose : int
        0 shows nothing.
    """

    def __init__(
        self, n_fits: Mapping[str, int], weights: Mapping[str, float], bar: Any, verbose: int
    ) -> None:
        self._left = dict(n_fits)
        self._seconds = {name: weights[name] or _UNKNOWN_S for name in n_fits}
        self._done = 0.0
        self._bar = bar
        self._verbose = verbose
        self._start = time.perf_counter()

    def begins(self, name: str) -> None:
        """Name the candidate that is fitted now."""
        if self._bar is not None:
            self._bar.set_description(name)

    def fitted(self, name: str, fit: Fit) -> None:
        """Count a fit by the time that it took."""
        seconds = float(np.nan_to_num(fit.wall_seconds))
        self._done += seconds
        self._left[name] -= 1
        self._seconds[name] = seconds or self._seconds[name]
        if self._bar is not None:
            left = sum(self._left[other] * self._seconds[other] for other in self._left)
            percent = int(100 * self._done / max(self._done + left, 1e-9))
            self._bar.update(max(0, percent - self._bar.n))

    def ends(self, name: str, found: GridFits) -> None:
        """Say what a candidate has reached."""
        self._left[name] = 0
        if not self._verbose:
            return
        line = f"{name}: {_in_words(found)}, {as_seconds(time.perf_counter() - self._start)} so far"
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        else:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()


@contextmanager
def shown_progress(
    n_fits: Mapping[str, int], weights: Mapping[str, float], *, verbose: int
) -> Iterator[Progress]:
    """Show the progress of a comparison on stderr, with a bar only on a terminal or in a notebook."""
    if not (verbose and shows_bars()):
        yield Progress(n_fits, weights, None, verbose)
        return
    from tqdm.auto import tqdm

    layout = "{desc} {percentage:3.0f}%|{bar}| {elapsed}"
    with tqdm(total=100, bar_format=layout) as bar:
        yield Progress(n_fits, weights, bar, verbose)
        bar.update(100 - bar.n)


def shows_bars() -> bool:
    """Tell whether stderr is a terminal or a notebook, where a line may be drawn again and again."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def _in_words(found: GridFits) -> str:
    if not found.fits:
        return found.note
    chosen = best_setting(found.fits)
    failed = next((fit.error for fit in chosen if fit.error is not None), None)
    if failed is not None:
        return f"failed, {type(failed).__name__}"
    score = f"{np.mean([fit.score for fit in chosen]):.3f}"
    return f"{score}, {found.note}" if found.note else score
