"""Large arrays are files, and a folder without room for one is an error."""

import errno
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from sktransfer.training import arrays
from sktransfer.training.arrays import FiledArray, Shelf, allocate, taken


@pytest.fixture(autouse=True)
def _small_memory(monkeypatch):
    monkeypatch.setattr(arrays, "MAX_BYTES_IN_MEMORY", 1000)


def test_a_large_array_is_a_file_that_takes_its_space_at_once():
    array = allocate((1000, 25), np.float32)
    assert isinstance(array, np.memmap)
    assert isinstance(allocate((5, 5), np.float32), np.ndarray)
    array[:] = 3
    assert array.sum() == 75_000


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="macOS and Windows cannot reserve")
def test_a_full_folder_is_an_error_before_anything_is_written(monkeypatch):
    def full(file, offset, n_bytes):
        assert (offset, n_bytes) == (0, 100_000)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"do not fit into the temporary folder.*TMPDIR") as problem:
        allocate((1000, 25), np.float32)
    assert problem.value.errno == errno.ENOSPC


def test_where_nothing_can_be_reserved_the_free_space_is_looked_at(monkeypatch):
    def impossible(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", impossible, raising=False)
    allocate((1000, 25), np.float32)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=99_999))
    with pytest.raises(OSError, match="do not fit into the temporary folder"):
        allocate((1000, 25), np.float32)


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, "<U5"])
def test_what_has_no_room_on_a_shelf_is_filed_and_comes_back(dtype):
    arrays = [np.arange(12 + n).astype(dtype).reshape(2, -1) for n in (0, 2, 4)]
    shelf = Shelf(max_bytes=arrays[0].nbytes)
    kept = [shelf.keep(array) for array in arrays]
    assert kept[0] is arrays[0]
    assert all(isinstance(one, FiledArray) for one in kept[1:])
    assert all(np.array_equal(taken(one), array) for one, array in zip(kept, arrays, strict=True))
