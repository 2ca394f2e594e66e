"""Forks: what a forked child inherits but cannot use, threads and the locks that they hold.

A child has one thread, a copy of the one that forked. Multiprocessing on Linux and joblib's "multiprocessing"
make such children, and so do servers that load a model before they start their workers.
"""

from __future__ import annotations

import os
import threading
import weakref
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["ForkSafeLock", "at_fork", "one_thread_in_children"]


class ForkSafeLock:
    """A re-entrant lock that is free in a forked child if another thread held it.

    That thread is not there, so the child would wait for ever.

    Examples
    --------
    >>> lock = ForkSafeLock()
    >>> with lock, lock:
    ...     pass
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()

    def acquire(self, *, blocking: bool = True) -> bool:
        """Take the lock, and tell whether it was taken."""
        return self._lock.acquire(blocking)

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()

    def _renew(self) -> None:
        if self._lock.acquire(blocking=False):  # free, or held by the thread that forked
            self._lock.release()
        else:
            self._lock = threading.RLock()


def at_fork(
    *,
    before: Callable[[], object] | None = None,
    after_in_child: Callable[[], object] | None = None,
) -> None:
    """Call functions whenever this process forks; nothing where there are no forks."""
    if hasattr(os, "register_at_fork"):
        hooks = {"before": before, "after_in_child": after_in_child}
        os.register_at_fork(**{name: hook for name, hook in hooks.items() if hook is not None})


@cache
def one_thread_in_children() -> None:
    """Let networks compute with one thread in children that are forked from now on.

    To be called by whatever computes. The threads that OpenMP keeps for the next operation are not there in a
    child, which would wait for them. A child of a process that has not computed may use all cores.
    """
    at_fork(after_in_child=_use_one_thread)


def _use_one_thread() -> None:
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1, user_api="openmp")  # that of scikit-learn too, which has its own


def _renew_locks() -> None:
    for lock in list(_locks):
        lock._renew()


_locks: weakref.WeakSet[ForkSafeLock] = weakref.WeakSet()
at_fork(after_in_child=_renew_locks)
