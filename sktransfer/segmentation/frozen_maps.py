"""Maps of stages: computed once an image by the engine, in tiles if it is large, and kept by the store."""

from __future__ import annotations

import math
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xxhash

from sktransfer.features.device import resolve_device
from sktransfer.features.engine import prepare
from sktransfer.features.plan import Slot, plan_features
from sktransfer.features.pooling import WHOLE_MAP
from sktransfer.features.store import Record, content_key, context_key, open_store
from sktransfer.features.taps import map_shapes
from sktransfer.segmentation.grids import Grid, layer_grids
from sktransfer.segmentation.reach import layer_reach
from sktransfer.segmentation.tiles import MAX_PIXELS, Span, tiles
from sktransfer.segmentation.whole_images import with_border
from sktransfer.training.arrays import allocate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from sktransfer.backbones.weights import LoadedBackbone
    from sktransfer.features.run_parameters import RunSettings

__all__ = ["FrozenMaps"]

_CACHED = 2**18  # pixels whose maps a processor's caches hold; more at once are slower
_LARGEST = float(np.finfo(np.float16).max)


class FrozenMaps:
    """The maps of some stages of a network.

    Parameters
    ----------
    loaded : LoadedBackbone
        The network.
    stages : sequence of int
        Numbers of the stages.
    run : RunSettings
        Device, precision and store; maps are kept there in float16.
    exact : bool, default=False
        Whether maps that no store keeps stay in float32.
    """

    def __init__(
        self,
        loaded: LoadedBackbone,
        stages: Sequence[int],
        run: RunSettings,
        *,
        exact: bool = False,
    ) -> None:
        self._loaded = loaded
        self._names = [loaded.spec.layer_names[stage] for stage in stages]
        self._slots = tuple(
            Slot(name, WHOLE_MAP, loaded.spec.stages[stage].modules[-1], 0)
            for name, stage in zip(self._names, stages, strict=True)
        )
        self._engine = prepare(loaded, resolve_device(run.device), run.precision, self._slots)
        plan = plan_features(loaded, loaded.preprocessing, self._engine, self._slots)
        context = context_key(plan, self._engine)
        self._context = xxhash.xxh3_128_digest(context + b"maps in float16")
        self._store = open_store(run.cache)
        self._dtype = np.float32 if exact and self._store is None else np.float16

    def of(self, images: Sequence[NDArray[np.uint8]]) -> list[list[NDArray[np.generic]]]:
        """Compute the maps (channels, height, width) of images, or find them.

        Parameters
        ----------
        images : sequence of ndarray of shape (height, width, 3), dtype uint8
            Some images, which go through the network together where they have one size.
        """
        bordered = [np.ascontiguousarray(with_border(pixels)) for pixels in images]
        vectors: list[Any] = [None] * len(bordered)
        keys: list[bytes] = []
        if self._store is not None:
            keys = [content_key(pixels) + self._context for pixels in bordered]
            known = self._store.get_many(keys)
            vectors = [record and record.vector.view(np.float16) for record in known]
        missing = [row for row, vector in enumerate(vectors) if vector is None]
        for rows in _of_one_size(bordered, missing):
            start = time.perf_counter()
            for row, vector in zip(rows, self._computed([bordered[r] for r in rows]), strict=True):
                vectors[row] = vector
            seconds = (time.perf_counter() - start) / len(rows)
            if self._store is not None:
                records = [Record(vectors[row].view(np.float32), seconds) for row in rows]
                self._store.put_many([keys[row] for row in rows], records)
        return [
            self._maps(vector, pixels) for vector, pixels in zip(vectors, bordered, strict=True)
        ]

    def _computed(self, images: Sequence[NDArray[np.uint8]]) -> Iterator[NDArray[np.generic]]:
        """Run images of one size through the network: a vector of all maps of each."""
        n_pixels = images[0].shape[0] * images[0].shape[1]
        most = _CACHED if self._engine.device.type == "cpu" else MAX_PIXELS
        together = max(1, most // n_pixels)
        for start in range(0, len(images), together):
            some = images[start : start + together]
            if n_pixels > MAX_PIXELS and self._reach is not None:
                yield self._in_tiles(some[0], self._reach)
            else:
                yield from self._run(some)

    def _run(self, images: Sequence[NDArray[np.uint8]]) -> Iterator[NDArray[np.generic]]:
        batch = torch.from_numpy(np.stack(images))
        for values in self._engine.run(batch, self._loaded.preprocessing).numpy():
            n_values = len(values) + len(values) % 2  # stores keep whole values of float32
            vector = np.zeros(n_values, self._dtype)
            vector[: len(values)] = values.clip(-_LARGEST, _LARGEST)
            yield vector

    def _in_tiles(self, image: NDArray[np.uint8], reach: int) -> NDArray[np.generic]:
        """Put the maps of an image together from those of its tiles."""
        n_values = sum(math.prod(shape) for shape in self._shapes(image.shape[:2]))
        whole = allocate((n_values + n_values % 2,), self._dtype)
        maps = self._maps(whole, image)
        strides = [round(grid.stride) for grid in self._grids]
        for tile in tiles(image.shape[:2], reach, math.lcm(*strides), MAX_PIXELS):
            shown = image[tuple(slice(span.outer_start, span.outer_stop) for span in tile)]
            (vector,) = self._run([shown])
            for level, part, stride in zip(maps, self._maps(vector, shown), strides, strict=True):
                down, across = (
                    _cells(span, stride, n_cells)
                    for span, n_cells in zip(tile, level.shape[1:], strict=True)
                )
                level[:, down[0], across[0]] = part[:, down[1], across[1]]
        return whole

    @cached_property
    def _grids(self) -> list[Grid]:
        paths = [slot.module for slot in self._slots]
        return layer_grids(self._loaded.module, self._loaded.spec, paths)

    @cached_property
    def _reach(self) -> int | None:
        paths = [slot.module for slot in self._slots]
        return layer_reach(self._loaded.module, self._loaded.spec, paths)

    def _maps(
        self, vector: NDArray[np.generic], pixels: NDArray[np.uint8]
    ) -> list[NDArray[np.generic]]:
        """View a vector as maps."""
        maps, start = [], 0
        for shape in self._shapes(pixels.shape[:2]):
            stop = start + math.prod(shape)
            maps.append(vector[start:stop].reshape(shape))
            start = stop
        return maps

    def _shapes(self, size: Sequence[int]) -> list[tuple[int, int, int]]:
        tall, wide = (map_shapes(self._loaded, self._names, side) for side in size)
        return [(tall[name][0], tall[name][1], wide[name][2]) for name in self._names]


def _cells(span: Span, stride: int, n_cells: int) -> tuple[slice, slice]:
    """Find the cells of a span in the whole map, and in that of what is around the span."""
    start = span.start // stride
    stop = n_cells if span.stop == span.outer_stop else span.stop // stride
    first = (span.start - span.outer_start) // stride
    return slice(start, stop), slice(first, first + stop - start)


def _of_one_size(images: Sequence[NDArray[np.generic]], rows: Sequence[int]) -> list[list[int]]:
    groups: dict[tuple[int, ...], list[int]] = {}
    for row in rows:
        groups.setdefault(images[row].shape, []).append(row)
    return list(groups.values())
