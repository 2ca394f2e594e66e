"""Maps of frozen stages: computed once an image by the engine, kept in float16 by the store."""

from __future__ import annotations

import math
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
from sktransfer.segmentation.whole_images import with_border

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sktransfer.backbones.weights import LoadedBackbone
    from sktransfer.features.run_parameters import RunSettings

__all__ = ["FrozenMaps"]

_LARGEST = float(np.finfo(np.float16).max)


class FrozenMaps:
    """The maps of some stages of a frozen network.

    Parameters
    ----------
    loaded : LoadedBackbone
        The network.
    stages : sequence of int
        Numbers of the stages.
    run : RunSettings
        Device, precision and store.
    """

    def __init__(self, loaded: LoadedBackbone, stages: Sequence[int], run: RunSettings) -> None:
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

    def of(self, images: Sequence[NDArray[np.uint8]]) -> list[list[NDArray[np.float16]]]:
        """Compute the maps (channels, height, width) of images, or find them.

        Parameters
        ----------
        images : sequence of ndarray of shape (height, width, 3), dtype uint8
            Some images, which go through the network together where they have one size.
        """
        bordered = [np.ascontiguousarray(with_border(pixels)) for pixels in images]
        keys = [content_key(pixels) + self._context for pixels in bordered]
        known: list[Record | None] = [None] * len(keys)
        if self._store is not None:
            known = self._store.get_many(keys)
        vectors: list[Any] = [record and record.vector.view(np.float16) for record in known]
        for rows in _of_one_size(
            bordered, [i for i, vector in enumerate(vectors) if vector is None]
        ):
            batch = torch.from_numpy(np.stack([bordered[row] for row in rows]))
            values = self._engine.run(batch, self._loaded.preprocessing).numpy()
            halves = values.clip(-_LARGEST, _LARGEST).astype(np.float16)
            halves = np.pad(halves, ((0, 0), (0, halves.shape[1] % 2)))
            for row, vector in zip(rows, halves, strict=True):
                vectors[row] = vector
            if self._store is not None:
                records = [Record(vector.copy().view(np.float32), 0.0) for vector in halves]
                self._store.put_many([keys[row] for row in rows], records)
        return [
            self._maps(vector, pixels) for vector, pixels in zip(vectors, bordered, strict=True)
        ]

    def _maps(
        self, vector: NDArray[np.float16], pixels: NDArray[np.uint8]
    ) -> list[NDArray[np.float16]]:
        maps, start = [], 0
        tall, wide = (map_shapes(self._loaded, self._names, side) for side in pixels.shape[:2])
        for name in self._names:
            shape = (tall[name][0], tall[name][1], wide[name][2])
            stop = start + math.prod(shape)
            maps.append(vector[start:stop].reshape(shape))
            start = stop
        return maps


def _of_one_size(images: Sequence[NDArray[np.generic]], rows: Sequence[int]) -> list[list[int]]:
    groups: dict[tuple[int, ...], list[int]] = {}
    for row in rows:
        groups.setdefault(images[row].shape, []).append(row)
    return list(groups.values())
