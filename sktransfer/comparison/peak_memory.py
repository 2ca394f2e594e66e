"""The most memory that a piece of work held at once, beyond what the process held before it.

On Linux the kernel keeps the peak of a process's resident memory and sets it back when asked, so
that no moment is missed, as it would be by a thread that looks now and then. Before, what earlier
work has freed is given back to the system; otherwise the work would find it there and seem to need
less. Elsewhere the figure is NaN: there is no such peak, only that of the process's whole life.
"""

from __future__ import annotations

import ctypes
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Peak", "peak_memory"]

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # see proc(5)


@dataclass
class Peak:
    """What :func:`peak_memory` has found, once its block has ended."""

    n_bytes: float = float("nan")


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure the peak of the block, in bytes of main memory and of the current CUDA device together.

    Other threads of the process are measured along with it; other processes are not.

    Yields
    ------
    Peak
        Its `n_bytes` is set when the block ends without an error.

    Examples
    --------
    >>> import sys, numpy as np
    >>> with peak_memory() as peak:
    ...     _ = np.ones(10_000_000)
    >>> sys.platform != "linux" or peak.n_bytes > 79e6
    True
    """
    peak = Peak()
    _give_back()
    on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        gpu_before = torch.cuda.memory_allocated()
    before = _resident() if _reset_peak() else float("nan")
    yield peak
    peak.n_bytes = max(_highest() - before, 0.0)
    if on_gpu:
        peak.n_bytes += torch.cuda.max_memory_allocated() - gpu_before


def _give_back() -> None:
    with suppress(OSError, AttributeError):  # only glibc keeps freed memory and has this function
        ctypes.CDLL(None).malloc_trim(0)


def _reset_peak() -> bool:
    try:
        _RESET.write_text(_RESET_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def _resident() -> float:
    return _kibibytes("VmRSS")


def _highest() -> float:
    return _kibibytes("VmHWM")


def _kibibytes(name: str) -> float:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB$", _STATUS.read_text("ascii"), re.MULTILINE)
    except OSError:
        return float("nan")
    return float(found[1]) * 1024 if found else float("nan")
