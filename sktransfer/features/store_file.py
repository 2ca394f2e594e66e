"""The file of a store: its schema, and the connections that write to it or only read it."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["ForeignFileError", "connect", "connect_to_read"]

_COLUMNS: Final = ["key", "used", "seconds", "checksum", "vector"]
_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    key BLOB PRIMARY KEY, used REAL NOT NULL, seconds REAL NOT NULL,
    checksum BLOB NOT NULL, vector BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS records_by_use ON records (used);
"""


class ForeignFileError(Exception):
    """The file is a database with other columns."""


def connect(path: Path, wait_s: float) -> sqlite3.Connection:
    """Open a file, which is made if it is not there.

    Parameters
    ----------
    path : Path
        The file.
    wait_s : float
        Seconds to wait for another process that keeps the lock.

    Raises
    ------
    ForeignFileError
        If it is a database with other columns.
    sqlite3.Error
        If it is no database, or cannot be opened.
    """
    connection = sqlite3.connect(
        path, timeout=wait_s, isolation_level=None, check_same_thread=False
    )
    with _closed_on_error(connection):
        connection.execute("PRAGMA page_size = 16384")  # vectors are some 10,000 bytes
        _refuse_other_columns(connection, may_be_empty=True)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open a file that may not be written to, or that lies where nothing may be written.

    Raises
    ------
    ForeignFileError, sqlite3.Error
        As for `connect`, and if it is not there.
    """
    # Beside somebody who writes at this time the log is read too; without a log SQLite would make one.
    try:
        return _read_only(path, "mode=ro")
    except sqlite3.OperationalError:
        return _read_only(path, "mode=ro&immutable=1")


def _read_only(path: Path, options: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?{options}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )
    with _closed_on_error(connection):
        _refuse_other_columns(connection, may_be_empty=False)
    return connection


@contextlib.contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _refuse_other_columns(connection: sqlite3.Connection, *, may_be_empty: bool) -> None:
    columns = [column[1] for column in connection.execute("PRAGMA table_info(records)")]
    if columns != _COLUMNS and not (may_be_empty and not columns):
        raise ForeignFileError
