"""The store on disk: records in one SQLite file, shared by processes and later runs.

SQLite's write-ahead log lets any number of processes read while one writes, and leaves whole
records behind when a process is killed. Records carry a checksum, so one that was damaged otherwise
is not found. A file that SQLite cannot read is left, and the next number is used.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import threading
import time
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from sktransfer.exceptions import CacheError, CacheWarning
from sktransfer.features.store import CacheInfo, Record, counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

__all__ = ["FolderStore"]

_NAME = re.compile(r"features-(\d+)\.sqlite")
_WAIT_S = 60.0  # for another process that writes
_STALE_S = 3600.0  # how old the time of the last use may be before it is written again
_KEYS_AT_ONCE = 500  # SQLite takes at least 999 variables in a statement
_SPARE = 0.9  # what eviction leaves of the allowed bytes, so that it does not run at every write

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    key BLOB PRIMARY KEY, used REAL NOT NULL, seconds REAL NOT NULL,
    checksum BLOB NOT NULL, vector BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS records_by_use ON records (used);
"""


class FolderStore:
    """Records in a folder.

    Parameters
    ----------
    folder : Path
        Is made if it is not there.
    max_bytes : int
        What the file may take; the records used longest ago make room. A moment's excess while
        several processes write is possible.

    Raises
    ------
    CacheError
        If the folder cannot be made or written to.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._info = CacheInfo(0, 0, 0, 0.0)
        self._connection: sqlite3.Connection | None = None
        self._pid = -1
        self._number = 0
        self._warned = False
        self._lock = threading.RLock()
        with self._lock:
            self._attempt(_used_bytes, 0)

    def get_many(self, keys: Sequence[bytes]) -> list[Record | None]:
        """Look up records, in the order of the keys; None where there is none."""
        found: dict[bytes, Record] = {}
        with self._lock:
            for start in range(0, len(keys), _KEYS_AT_ONCE):
                some = list(keys[start : start + _KEYS_AT_ONCE])
                found |= self._attempt(partial(_read, keys=some), {})
            records = [found.get(key) for key in keys]
            self._info = counted(self._info, records)
        return records

    def put_many(self, keys: Sequence[bytes], records: Sequence[Record]) -> None:
        """Keep records; the ones used longest ago make room for them."""
        now = time.time()
        rows = [
            (
                key,
                now,
                record.seconds,
                _checksum(key, record.seconds, data := record.vector.tobytes()),
                data,
            )
            for key, record in zip(keys, records, strict=True)
        ]

        def write(connection: sqlite3.Connection) -> None:
            with _transaction(connection):
                connection.executemany(
                    "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?)", rows
                )
                _evict(connection, self._max_bytes)

        with self._lock:
            self._attempt(write, None)

    def info(self) -> CacheInfo:
        """Count hits, misses and seconds saved in this process, and the bytes of the file."""
        with self._lock:
            return self._info._replace(bytes=self._attempt(_used_bytes, 0))

    def clear(self) -> None:
        """Forget everything, also the counts."""

        def delete(connection: sqlite3.Connection) -> None:
            with _transaction(connection):
                connection.execute("DELETE FROM records")

        with self._lock:
            self._attempt(delete, None)
            self._info = CacheInfo(0, 0, 0, 0.0)

    def _attempt(self, action: Callable[[sqlite3.Connection], Any], otherwise: Any) -> Any:
        """Do something with the database; a damaged one is replaced, a full disk is survived."""
        for _ in range(2):
            try:
                return action(self._open())
            except sqlite3.OperationalError as exc:  # locked for too long, disk full, read-only
                if "malformed" not in str(exc):
                    self._warn(exc)
                    return otherwise
            except sqlite3.DatabaseError:  # not a database, or a damaged one
                pass
            self._give_up_file()
        return otherwise

    def _open(self) -> sqlite3.Connection:
        """Connect; a connection must not cross from a process to its child."""
        if self._connection is None or self._pid != os.getpid():
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._number = max(self._number, *_numbers(self._folder), 0)
            except OSError as exc:
                raise CacheError(
                    f"cache={str(self._folder)!r} cannot be used as a folder ({exc.strerror}). "
                    "Pass the path of a folder that can be written to, 'memory', or None."
                ) from exc
            self._connection = _connect(self._path)
            self._pid = os.getpid()
        return self._connection

    @property
    def _path(self) -> Path:
        return self._folder / f"features-{self._number}.sqlite"

    def _give_up_file(self) -> None:
        """Go on with the next number; whoever still reads the old file keeps it until it closes."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                self._path.with_name(self._path.name + suffix).unlink()
        self._number += 1

    def _warn(self, problem: Exception) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"the store in {self._folder} cannot be used now ({problem}). Features are computed "
                "and not kept.",
                CacheWarning,
                stacklevel=2,
            )


def _numbers(folder: Path) -> list[int]:
    matches = (_NAME.fullmatch(name) for name in os.listdir(folder))  # noqa: PTH208 - no stat calls
    return [int(match[1]) for match in matches if match]


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA page_size = 16384")  # vectors are some 10,000 bytes
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all or nothing; the lock is taken at once, so that nobody waits in vain."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _read(connection: sqlite3.Connection, keys: list[bytes]) -> dict[bytes, Record]:
    marks = ", ".join("?" * len(keys))
    query = f"SELECT key, used, seconds, checksum, vector FROM records WHERE key IN ({marks})"
    records, stale = {}, []
    now = time.time()
    for key, used, seconds, checksum, data in connection.execute(query, keys):
        if checksum == _checksum(key, seconds, data) and len(data) % 4 == 0:
            records[key] = Record(np.frombuffer(data, np.float32), seconds)
            if used < now - _STALE_S:
                stale.append((now, key))
    if stale:
        with contextlib.suppress(sqlite3.OperationalError), _transaction(connection):
            connection.executemany("UPDATE records SET used = ? WHERE key = ?", stale)
    return records


def _evict(connection: sqlite3.Connection, max_bytes: int) -> None:
    """Delete the records used longest ago until the rest fits."""
    excess = _used_bytes(connection) - max_bytes
    if excess <= 0:
        return
    excess += int((1 - _SPARE) * max_bytes)
    oldest = connection.execute("SELECT key, length(vector) FROM records ORDER BY used, rowid")
    keys = []
    for key, n_bytes in oldest:
        keys.append((key,))
        excess -= n_bytes
        if excess <= 0:
            break
    connection.executemany("DELETE FROM records WHERE key = ?", keys)


def _used_bytes(connection: sqlite3.Connection) -> int:
    """Count the bytes of the pages that hold something; freed pages are used again."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _checksum(key: bytes, seconds: float, data: bytes) -> bytes:
    digest = xxhash.xxh3_64(key)
    digest.update(repr(seconds).encode())
    digest.update(data)
    return digest.digest()
