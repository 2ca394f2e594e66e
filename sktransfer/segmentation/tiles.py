"""Tiles: a large image is cut so that its parts, with what their cells see around them, are small."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MAX_PIXELS", "Span", "tiles"]

MAX_PIXELS = 2**23
"""Pixels that go through a network together."""

_MOST = 64  # parts of a side


class Span(NamedTuple):
    """A part of one axis, in pixels.

    Parameters
    ----------
    start, stop : int
        Rows or columns that the part is for.
    outer_start, outer_stop : int
        Rows or columns that its cells see.
    """

    start: int
    stop: int
    outer_start: int
    outer_stop: int


def tiles(
    size: tuple[int, int], reach: int, step: int, max_pixels: int = MAX_PIXELS
) -> Iterator[tuple[Span, ...]]:
    """Cut an image into tiles of at most `max_pixels`, such that the fewest pixels are seen twice.

    Parameters
    ----------
    size : (int, int)
        Height and width of the image.
    reach : int
        Pixels that are needed around a tile, a multiple of `step`.
    step : int
        Pixels of which all places of cuts are a multiple.
    max_pixels : int
        Pixels of a tile with what is around it; if no tile is that small, nothing is cut.

    Examples
    --------
    >>> [(rows.stop, columns.stop) for rows, columns in tiles((100, 64), 8, 4, 5000)]
    [(52, 64), (100, 64)]
    """
    cuts = [
        [_spans(side, n_parts, reach, step) for n_parts in range(1, _MOST + 1)] for side in size
    ]
    ways = list(itertools.product(*cuts))
    small = [way for way in ways if _largest(way) <= max_pixels]
    return itertools.product(*min(small or ways[:1], key=_seen))


def _spans(side: int, n_parts: int, reach: int, step: int) -> list[Span]:
    length = step * math.ceil(side / n_parts / step)
    return [
        Span(
            start,
            min(side, start + length),
            max(0, start - reach),
            min(side, start + length + reach),
        )
        for start in range(0, side, length)
    ]


def _largest(way: tuple[list[Span], ...]) -> int:
    """Count the pixels of the largest tile."""
    return math.prod(max(span.outer_stop - span.outer_start for span in spans) for spans in way)


def _seen(way: tuple[list[Span], ...]) -> int:
    """Count the pixels of all tiles."""
    return math.prod(sum(span.outer_stop - span.outer_start for span in spans) for spans in way)
