"""The store on disk: records in one SQLite file, shared by processes and later runs.

SQLite's write-ahead log lets any number of processes read while one writes, and leaves whole
records behind when a process is killed. Records carry a checksum, so one that was damaged otherwise
is not found. A file that SQLite cannot read is given up, and one that is not ours is left, and the next
number is used. A folder that may not be written to is read.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import time
import warnings
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from sktransfer.exceptions import CacheError, CacheWarning
from sktransfer.features.store import CacheInfo, Record, counted
from sktransfer.features.store_file import ForeignFileError, connect, connect_to_read
from sktransfer.forks import ForkSafeLock, at_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

__all__ = ["FolderStore"]

_NAME = re.compile(r"features-(\d+)\.sqlite")
_WAIT_S = 60.0  # for another process that writes
_BRIEFLY_S = 0.01  # once it has kept the lock for longer than that
_STALE_S = 3600.0  # how old the time of the last use may be before it is written again
_KEYS_AT_ONCE = 500  # SQLite takes at least 999 variables in a statement
_SPARE = 0.9  # what eviction leaves of the allowed bytes, so that it does not run at every write


class FolderStore:
    """Records in a folder.

    Parameters
    ----------
    folder : Path
        Is made if it is not there.
    max_bytes : int
        Largest size of the file; the records used longest ago make room. A moment's excess while
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
        self._file: tuple[int, int] | None = None  # device and number of the file that is open
        self._pid = -1
        self._number = 0
        self._may_write = True
        self._waits = True  # not after a wait in vain, until a write succeeds again
        self._warned = False
        self._lock = ForkSafeLock()
        _stores.add(self)
        with self._lock:
            self._attempt(_used_bytes, 0)

    def get_many(self, keys: Sequence[bytes]) -> list[Record | None]:
        """Look up records, in the order of the keys; None where there is none."""
        found: dict[bytes, Record] = {}
        with self._lock:
            for start in range(0, len(keys), _KEYS_AT_ONCE):
                some = list(keys[start : start + _KEYS_AT_ONCE])
                records, stale = self._attempt(partial(_read, keys=some), ({}, []))
                found |= records
                if stale and self._may_write:
                    self._attempt(partial(self._touch, keys=stale), None)
            in_order = [found.get(key) for key in keys]
            self._info = counted(self._info, in_order)
        return in_order

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
            with self._transaction(connection):
                connection.executemany(
                    "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?)", rows
                )
                _evict(connection, self._max_bytes)

        with self._lock:
            self._attempt(write, None)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            self._disconnect()

    def info(self) -> CacheInfo:
        """Count hits, misses and seconds saved in this process, and the bytes of the file."""
        with self._lock:
            return self._info._replace(bytes=self._attempt(_used_bytes, 0))

    def clear(self) -> None:
        """Forget everything, also the counts."""

        def delete(connection: sqlite3.Connection) -> None:
            with self._transaction(connection):
                connection.execute("DELETE FROM records")

        with self._lock:
            self._attempt(delete, None)
            self._info = CacheInfo(0, 0, 0, 0.0)

    def _attempt(self, action: Callable[[sqlite3.Connection], object], otherwise: object) -> Any:
        """Do something with the database; a damaged one is replaced, a full disk is survived."""
        for _ in range(2):
            try:
                return action(self._open())
            except sqlite3.OperationalError as exc:  # locked for too long, disk full, read-only
                if "malformed" not in str(exc):
                    self._waits = self._waits and not _is_locked(exc)
                    self._warn(exc)
                    return otherwise
            except sqlite3.DatabaseError:  # not a database, or a damaged one
                pass
            if not self._may_write:
                return otherwise
            self._give_up_file()
        return otherwise

    def _touch(self, connection: sqlite3.Connection, keys: list[bytes]) -> None:
        """Note that records have been used now, which is not worth a wait."""
        now = time.time()
        _wait_at_most(connection, _BRIEFLY_S)
        try:
            with contextlib.suppress(sqlite3.OperationalError), _transaction(connection):
                connection.executemany(
                    "UPDATE records SET used = ? WHERE key = ?", [(now, key) for key in keys]
                )
        finally:
            _wait_at_most(connection, self._wait_s)

    @contextlib.contextmanager
    def _transaction(self, connection: sqlite3.Connection) -> Iterator[None]:
        """Write all or nothing; who keeps the lock too long costs one wait, not one for each batch."""
        _wait_at_most(connection, self._wait_s)
        with _transaction(connection):
            yield
        self._waits = True

    @property
    def _wait_s(self) -> float:
        return _WAIT_S if self._waits else _BRIEFLY_S

    def _open(self) -> sqlite3.Connection:
        """Connect, also again: in a child after a fork, or if the file is not there any more."""
        if self._connection is not None and self._pid != os.getpid():
            _inherited.append(self._connection)
            self._connection = None
        if self._connection is not None:
            if self._file is None or self._file == _identity(self._path):
                return self._connection
            self._disconnect()  # somebody has removed the folder, or emptied it
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._number = max(self._number, *_numbers(self._folder), 0)
        except OSError as exc:
            raise CacheError(
                f"cache={str(self._folder)!r} cannot be used as a folder ({exc.strerror}). "
                "Pass the path of a folder that can be written to, 'memory', or None."
            ) from exc
        self._may_write = os.access(self._folder, os.W_OK) and (
            not self._path.exists() or os.access(self._path, os.W_OK)
        )
        try:
            self._connection = self._connect()
        except ForeignFileError:  # another program's, or of another version: left as it is
            self._number += 1
            self._connection = self._connect()
        self._pid, self._file = os.getpid(), _identity(self._path)
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        try:
            if self._may_write:
                return connect(self._path, self._wait_s)
        except sqlite3.OperationalError as exc:  # the system has more rules than permissions
            if not re.search("readonly|unable to open", str(exc)) or not self._path.exists():
                raise
            self._may_write = False
        return connect_to_read(self._path)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    @property
    def _path(self) -> Path:
        return self._folder / f"features-{self._number}.sqlite"

    def _give_up_file(self) -> None:
        """Go on with the next number; whoever still reads the old file keeps it until it closes."""
        self._disconnect()
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                self._path.with_name(self._path.name + suffix).unlink()
        self._number += 1

    def _before_fork(self) -> None:
        """Close the file, unless a thread is using it: SQLite forbids to take it to a child."""
        if self._lock.acquire(blocking=False):
            try:
                self._disconnect()
            finally:
                self._lock.release()

    def _warn(self, problem: Exception) -> None:
        if self._warned:
            return
        self._warned = True
        if self._may_write:
            means = f"cannot be used now ({problem}). Features are computed and not kept"
        else:
            means = "may not be written to. What it has is used, and new features are not kept"
        warnings.warn(f"the store in {self._folder} {means}.", CacheWarning, stacklevel=2)


def _numbers(folder: Path) -> list[int]:
    matches = (_NAME.fullmatch(name) for name in os.listdir(folder))  # noqa: PTH208 - no stat calls
    return [int(match[1]) for match in matches if match]


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_locked(problem: sqlite3.OperationalError) -> bool:
    return "locked" in str(problem)


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


def _wait_at_most(connection: sqlite3.Connection, seconds: float) -> None:
    connection.execute(f"PRAGMA busy_timeout = {int(1000 * seconds)}")


def _read(
    connection: sqlite3.Connection, keys: list[bytes]
) -> tuple[dict[bytes, Record], list[bytes]]:
    """Find records, and the keys of those whose time of use is to be written again."""
    marks = ", ".join("?" * len(keys))
    query = f"SELECT key, used, seconds, checksum, vector FROM records WHERE key IN ({marks})"
    records, stale = {}, []
    now = time.time()
    for key, used, seconds, checksum, data in connection.execute(query, keys):
        if checksum == _checksum(key, seconds, data) and len(data) % 4 == 0:
            records[key] = Record(np.frombuffer(data, np.float32), seconds)
            if used < now - _STALE_S:
                stale.append(key)
    return records, stale


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


def _close_stores() -> None:
    for store in list(_stores):
        store._before_fork()


# Connections of the parent, which a child must neither use nor close.
_inherited: list[sqlite3.Connection] = []
_stores: weakref.WeakSet[FolderStore] = weakref.WeakSet()
at_fork(before=_close_stores)
