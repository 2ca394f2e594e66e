"""One GPU for each worker of a machine: the first that no other worker has claimed."""

from __future__ import annotations

import getpass
import os
import tempfile
from itertools import count
from pathlib import Path

import torch
from filelock import FileLock, Timeout

__all__ = ["claim_number", "device_of_worker", "n_local_workers"]

_CLAIMED: list[FileLock] = []
"""What this process holds until it ends; the system gives it back even if the process is killed."""


def n_local_workers(n_jobs: int, n_workers: int, n_devices: int | None = None) -> int:
    """Return how many workers of this machine share the work: one a GPU where "all" were asked for.

    Examples
    --------
    >>> n_local_workers(-1, 64, n_devices=4), n_local_workers(8, 8, n_devices=4)
    (4, 8)
    >>> n_local_workers(-1, 64, n_devices=0)
    64
    """
    n_devices = torch.cuda.device_count() if n_devices is None else n_devices
    return min(n_workers, n_devices) if n_devices and n_jobs < 0 else n_workers


def device_of_worker(n_devices: int | None = None) -> str:
    """Return the device of this worker for models that leave the choice open.

    Where a scheduler shows one GPU to each worker, as Ray does with ``num_gpus``, or where there is
    none, the choice stays open. Workers beyond the number of GPUs share them evenly.
    """
    n_devices = torch.cuda.device_count() if n_devices is None else n_devices
    return f"cuda:{claim_number() % n_devices}" if n_devices > 1 else "auto"


def claim_number(folder: str | None = None) -> int:
    """Claim the smallest number that no living process of this user and machine has, and keep it."""
    if not _CLAIMED:
        where = Path(tempfile.gettempdir() if folder is None else folder)
        user = getattr(os, "getuid", getpass.getuser)()  # containers have users without a name
        for number in count():
            lock = FileLock(where / f"sktransfer-{user}-worker-{number}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            _CLAIMED.append(lock)
            break
    return int(Path(_CLAIMED[0].lock_file).stem.rpartition("-")[2])
