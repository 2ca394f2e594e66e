"""The heap: while a network runs or trains on the CPU, the memory of its maps stays with the process.

A network allocates and frees maps of many megabytes, layer by layer. glibc's malloc asks the kernel for each
of them and gives it back at once, and the kernel fills every page with zeros: up to a third of the time.
Freed memory is therefore kept until the run has ended. Then what exceeds 256 MiB is given back; the rest
stays for the next run, so that one image after another costs no new pages either. Where there is no glibc,
nothing is done.
"""

from __future__ import annotations

import ctypes
import platform
import threading
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["kept_heap"]

# Parameters of mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

_UNLIMITED = 2**30
_USUAL_MMAP = 2**25  # what malloc's own, dynamic threshold grows to
_AT_MOST_KEPT = 2**28

_lock = threading.Lock()
_n_runs = 0


@contextmanager
def kept_heap() -> Iterator[None]:
    """Keep freed memory in the process as long as at least one run is under way.

    Examples
    --------
    >>> with kept_heap():
    ...     pass
    """
    global _n_runs
    with _lock:
        _n_runs += 1
        if _n_runs == 1:
            _set(_UNLIMITED, _UNLIMITED)
    try:
        yield
    finally:
        with _lock:
            _n_runs -= 1
            if _n_runs == 0:
                _set(_USUAL_MMAP, _AT_MOST_KEPT)
                _give_back_much()


def _set(mmap_bytes: int, trim_bytes: int) -> None:
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_M_MMAP_THRESHOLD, mmap_bytes)
        libc.mallopt(_M_TRIM_THRESHOLD, trim_bytes)


def _give_back_much() -> None:
    libc = _glibc()
    if libc is not None and libc.mallinfo2().fordblks > _AT_MOST_KEPT:
        libc.malloc_trim(0)


class _MallocInfo(ctypes.Structure):
    """What mallinfo2(3) returns; `fordblks` is the number of bytes that are free."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"
        )
    )  # fmt: skip


@cache
def _glibc() -> ctypes.CDLL | None:
    if platform.libc_ver()[0] != "glibc":
        return None
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt.argtypes = [ctypes.c_int, ctypes.c_int]
        libc.malloc_trim.argtypes = [ctypes.c_size_t]
        libc.mallinfo2.restype = _MallocInfo  # since glibc 2.33
    except (AttributeError, OSError):
        return None
    return libc
