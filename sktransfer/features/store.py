"""The store: pooled vectors by the content of the image they come from, in memory.

A key is made of the image, file or pixels, and of the context: weights, network, preprocessing,
precision, versions of the libraries, and which layers and poolings a vector holds. So nothing is
ever found for another image or another network, and the order of the rows, folds and names of files
play no part.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import PIL
import torch
import xxhash

from sktransfer.forks import ForkSafeLock
from sktransfer.parameters import bytes_allowed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sktransfer.features.engine import Engine
    from sktransfer.features.folder_store import FolderStore
    from sktransfer.features.plan import FeaturePlan
    from sktransfer.images.pixels import Payload

__all__ = [
    "CacheInfo",
    "MemoryStore",
    "Record",
    "Store",
    "content_key",
    "context_key",
    "open_store",
]

FORMAT_VERSION = 2  # raised whenever the same image gives other vectors, or other pixels

_MEMORY_BYTES = bytes_allowed("SKTRANSFER_MEMORY_BYTES", 2**30)
_FOLDER_BYTES = bytes_allowed("SKTRANSFER_FOLDER_BYTES", 20 * 2**30)


class CacheInfo(NamedTuple):
    """What a store has done in this process.

    Parameters
    ----------
    hits, misses : int
        Images whose features were, or were not, in the store.
    bytes : int
        Bytes that the store holds.
    seconds_saved : float
        Time that computing the hits again would have taken, as measured when they were computed.
    """

    hits: int
    misses: int
    bytes: int
    seconds_saved: float


class Record(NamedTuple):
    """What is kept of an image.

    Parameters
    ----------
    vector : ndarray of shape (n_values,), dtype float32
        The features; do not write to it.
    seconds : float
        Seconds that computing it took.
    """

    vector: NDArray[np.float32]
    seconds: float


class Store(Protocol):
    """Where records are kept; may be used by several threads."""

    def get_many(self, keys: Sequence[bytes]) -> list[Record | None]:
        """Look up records, in the order of the keys; None where there is none."""

    def put_many(self, keys: Sequence[bytes], records: Sequence[Record]) -> None:
        """Keep records; the ones used longest ago make room for them."""

    def info(self) -> CacheInfo:
        """Count hits, misses, bytes and seconds saved."""

    def clear(self) -> None:
        """Forget everything, also the counts."""


class MemoryStore:
    """Records in the memory of this process; the ones used longest ago go first.

    Parameters
    ----------
    max_bytes : int, default=2**30
        Largest size of all vectors together. One that is larger is not kept.

    Examples
    --------
    >>> store = MemoryStore()
    >>> store.put_many([b"key"], [Record(np.ones(3, np.float32), 0.5)])
    >>> store.get_many([b"key", b"other"])[1] is None
    True
    >>> store.info()
    CacheInfo(hits=1, misses=1, bytes=12, seconds_saved=0.5)
    """

    def __init__(self, max_bytes: int = _MEMORY_BYTES) -> None:
        self._max_bytes = max_bytes
        self._records: OrderedDict[bytes, Record] = OrderedDict()
        self._info = CacheInfo(0, 0, 0, 0.0)
        self._lock = ForkSafeLock()

    def get_many(self, keys: Sequence[bytes]) -> list[Record | None]:
        """Look up records, in the order of the keys; None where there is none."""
        with self._lock:
            found = [self._records.get(key) for key in keys]
            for key, record in zip(keys, found, strict=True):
                if record is not None:
                    self._records.move_to_end(key)
            self._info = counted(self._info, found)
        return found

    def put_many(self, keys: Sequence[bytes], records: Sequence[Record]) -> None:
        """Keep records; the ones used longest ago make room for them."""
        with self._lock:
            n_bytes = self._info.bytes
            for key, record in zip(keys, records, strict=True):
                before = self._records.pop(key, None)
                n_bytes += record.vector.nbytes - (before.vector.nbytes if before else 0)
                self._records[key] = record
            while n_bytes > self._max_bytes:
                n_bytes -= self._records.popitem(last=False)[1].vector.nbytes
            self._info = self._info._replace(bytes=n_bytes)

    def info(self) -> CacheInfo:
        """Count hits, misses, bytes and seconds saved."""
        return self._info

    def clear(self) -> None:
        """Forget everything, also the counts."""
        with self._lock:
            self._records.clear()
            self._info = CacheInfo(0, 0, 0, 0.0)


_memory = MemoryStore()
_folders: dict[Path, FolderStore] = {}
_lock = ForkSafeLock()


def open_store(cache: object) -> Store | None:
    """Find the store that `cache` names; all who name the same share it.

    Parameters
    ----------
    cache : "memory", path of a folder or None
        None keeps nothing.

    Raises
    ------
    TypeError
        If it is something else.
    CacheError
        If the folder cannot be used.
    """
    _close_removed()
    if cache is None:
        return None
    if isinstance(cache, str) and cache == "memory":
        return _memory
    if not isinstance(cache, str | os.PathLike) or not os.fspath(cache):
        raise TypeError(
            f"cache={cache!r} is not possible. Choose 'memory', the path of a folder, or None."
        )
    from sktransfer.features.folder_store import FolderStore

    folder = Path(cache).expanduser().resolve()
    with _lock:
        if folder not in _folders:
            _folders[folder] = FolderStore(folder, _FOLDER_BYTES)
        return _folders[folder]


def _close_removed() -> None:
    """Close the files of folders that somebody has removed, which would take space until then."""
    with _lock:
        for folder in [folder for folder in _folders if not folder.exists()]:
            _folders.pop(folder).close()


def content_key(payload: Payload) -> bytes:
    """Digest the content of one image: the bytes of its file, or its pixels and their shape."""
    if isinstance(payload, np.ndarray):
        digest = xxhash.xxh3_128(b"pixels%d,%d," % payload.shape[:2])
        digest.update(payload.data)
    else:
        digest = xxhash.xxh3_128(b"file")
        digest.update(payload)
    return digest.digest()


def context_key(plan: FeaturePlan, engine: Engine) -> bytes:
    """Digest everything but the image that a vector depends on.

    What computes it is asked, not what the plan says: a plan that was unpickled may be of a network whose
    code has changed since then.
    """
    parts = [
        str(FORMAT_VERSION),
        plan.digest,
        engine.architecture,
        f"{engine.spec.layout} {engine.spec.prefix_tokens}",
        plan.preprocessing.key,
        engine.precision,
        f"torch {torch.__version__} Pillow {PIL.__version__}",  # they compute, decode and resize
        *(f"{slot.module} {slot.pooling} {slot.width}" for slot in engine.slots),
    ]
    return xxhash.xxh3_128_digest("\n".join(parts).encode())


def counted(info: CacheInfo, found: Sequence[Record | None]) -> CacheInfo:
    """Add what one look-up found."""
    hits = [record for record in found if record is not None]
    return info._replace(
        hits=info.hits + len(hits),
        misses=info.misses + len(found) - len(hits),
        seconds_saved=info.seconds_saved + sum(record.seconds for record in hits),
    )
