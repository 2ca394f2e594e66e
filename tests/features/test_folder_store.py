"""The store on disk beside other processes, other programs and other owners."""

import os
import shutil
import sqlite3
import stat
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from sktransfer.exceptions import CacheWarning
from sktransfer.features import folder_store
from sktransfer.features.folder_store import FolderStore
from sktransfer.features.store import Record, open_store


def _record(value):
    return Record(np.full(4, value, np.float32), 0.5)


@pytest.fixture
def store(tmp_path):
    store = FolderStore(tmp_path / "store", 2**30)
    store.put_many([b"a"], [_record(1)])
    return store


def _path(store):
    (path,) = store._folder.glob("*.sqlite")
    return path


def _files_open():
    numbers = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [str(link.readlink()) for link in numbers]


def test_whoever_keeps_the_lock_costs_one_wait(store, monkeypatch):
    monkeypatch.setattr(folder_store, "_WAIT_S", 0.3)
    with closing(sqlite3.connect(_path(store), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        start = time.perf_counter()
        with pytest.warns(CacheWarning, match="cannot be used now.*locked"):
            store.put_many([b"b"], [_record(2)])
        for i in range(20):
            store.put_many([b"%d" % i], [_record(i)])
            assert store.get_many([b"a"])[0] is not None  # readers wait for nobody
        seconds = time.perf_counter() - start
        other.execute("ROLLBACK")
    assert 0.3 <= seconds < 20 * 0.3  # and not one wait for each of those that follow
    store.put_many([b"c"], [_record(3)])
    assert store.get_many([b"c"])[0] is not None
    assert store._waits  # again, for the next one who keeps it


def test_the_time_of_use_is_not_worth_a_wait(store, monkeypatch):
    monkeypatch.setattr(folder_store, "_STALE_S", -1.0)
    with closing(sqlite3.connect(_path(store), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        start = time.perf_counter()
        assert store.get_many([b"a"])[0] is not None
        assert time.perf_counter() - start < 5
        other.execute("ROLLBACK")


@pytest.mark.parametrize("closed", [True, False], ids=["after", "during"])
def test_a_folder_that_may_not_be_written_to_is_read(store, closed, monkeypatch):
    if closed:
        store.close()
    monkeypatch.setattr(folder_store.os, "access", lambda path, mode: mode != os.W_OK)
    reader = FolderStore(store._folder, 2**30)
    assert (reader.get_many([b"a"])[0].vector == 1).all()
    with pytest.warns(CacheWarning, match="may not be written to. What it has is used"):
        reader.put_many([b"b"], [_record(2)])
    reader.put_many([b"c"], [_record(2)])  # one warning is enough
    assert [record is not None for record in reader.get_many([b"a", b"b"])] == [True, False]
    assert reader.info().bytes > 0


def test_damage_in_a_folder_of_somebody_else_is_left(store, monkeypatch):
    store.close()
    _path(store).write_bytes(b"no database" * 1000)
    monkeypatch.setattr(folder_store.os, "access", lambda path, mode: mode != os.W_OK)
    assert FolderStore(store._folder, 2**30).get_many([b"a"]) == [None]
    assert _path(store).read_bytes() == b"no database" * 1000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has other permissions")
def test_the_store_of_another_user_is_read():
    folder = Path(tempfile.mkdtemp())  # others may not look into the one of the tests
    try:
        store = FolderStore(folder, 2**30)
        store.put_many([b"a"], [_record(1)])
        store.close()
        _path(store).chmod(0o444)
        folder.chmod(0o555)
        child = os.fork()
        if child == 0:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            found = FolderStore(folder, 2**30).get_many([b"a"])[0]
            os._exit(0 if found is not None else 1)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        folder.chmod(stat.S_IRWXU)
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "table",
    ["records (key, value)", "records (key, used, seconds, checksum, vector, more NOT NULL)"],
)
def test_a_database_of_another_program_is_left_and_another_file_used(table, tmp_path):
    with closing(sqlite3.connect(tmp_path / "features-0.sqlite")) as other:
        other.execute(f"CREATE TABLE {table}")
    before = (tmp_path / "features-0.sqlite").read_bytes()
    FolderStore(tmp_path, 2**30).put_many([b"a"], [_record(1)])
    assert FolderStore(tmp_path, 2**30).get_many([b"a"])[0] is not None
    assert (tmp_path / "features-0.sqlite").read_bytes() == before


def test_a_folder_that_was_emptied_is_filled_again(store):
    shutil.rmtree(store._folder)
    assert store.get_many([b"a"]) == [None]
    store.put_many([b"b"], [_record(2)])
    assert FolderStore(store._folder, 2**30).get_many([b"b"])[0] is not None


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_files_of_folders_that_were_removed_are_closed(tmp_path):
    for i in range(5):
        folder = tmp_path / f"store{i}"
        open_store(folder).put_many([b"a"], [_record(1)])
        shutil.rmtree(folder)
    open_store("memory")
    assert not [name for name in _files_open() if str(tmp_path) in name]
