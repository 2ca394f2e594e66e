"""How the fits of a comparison are spread over the cores: a thread or a few each, in processes once it pays."""

from __future__ import annotations

import multiprocessing
import time
import warnings
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import torch
from joblib import Parallel, cpu_count, delayed, effective_n_jobs
from joblib.parallel import get_active_backend
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Workers", "limited_threads"]

_Result = TypeVar("_Result")

_WORTH_S = 15.0  # of work that is left: processes that import torch take seconds to start


@contextmanager
def limited_threads(n_threads: int | None) -> Iterator[None]:
    """Let BLAS, OpenMP and torch use so many threads in the block; None changes nothing.

    Several threads that work on little wait for each other, and the more so the busier the machine is.
    """
    if n_threads is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        with threadpool_limits(n_threads):
            yield
    finally:
        torch.set_num_threads(before)


class Workers:
    """Processes for fits, started when enough work is left.

    With ``n_jobs=None`` and no backend of joblib chosen, work starts in this process. When what is left
    will take longer than processes need to start, it goes on in as many as there are cores, but not more
    than `n_at_once`; the cores are divided among them. The number of threads is the same in either
    place, so that the results are. A GPU is used from this process alone.

    Parameters
    ----------
    n_jobs : int or None
        Number of processes as the user says; None leaves it open.
    n_at_once : int
        Number of fits that are of one kind, such as the folds.
    on_gpu : bool
        Whether networks run on a GPU.

    Attributes
    ----------
    n_processes : int
        Number of processes that may work at once.
    n_threads : int or None
        Number of threads for each network; None leaves them as they are.
    """

    def __init__(self, n_jobs: int | None, n_at_once: int, *, on_gpu: bool) -> None:
        self._n_jobs = n_jobs
        self._chosen = n_jobs is not None or effective_n_jobs(None) != 1
        self._started = False
        self.n_threads: int | None = None
        if self._chosen:
            self.n_processes = effective_n_jobs(n_jobs)
        elif on_gpu or _is_child():
            self.n_processes = 1
        else:
            n_cores = cpu_count()
            self.n_processes = max(1, min(n_cores, n_at_once))
            self.n_threads = max(1, n_cores // self.n_processes)

    def expect(self, seconds: float) -> None:
        """Start processes now if so many seconds of work are to come."""
        self._started = self._started or (self.n_processes > 1 and seconds > _WORTH_S)

    def run(self, tasks: Sequence[Callable[[], _Result]], n_later: int = 0) -> Iterator[_Result]:
        """Do all tasks, and yield their results in order, each as early as possible.

        Parameters
        ----------
        tasks : sequence of callable
        n_later : int, default=0
            Number of tasks of their kind that will come after them, and make processes worth their start.
        """
        waiting = deque(tasks)
        while waiting and not self._chosen and not self._started:
            start = time.perf_counter()
            yield waiting.popleft()()
            self.expect((len(waiting) + n_later) * (time.perf_counter() - start))
        if waiting:
            n_jobs = self._n_jobs if self._chosen else self.n_processes
            early = getattr(get_active_backend()[0], "supports_return_generator", False)
            parallel = Parallel(n_jobs=n_jobs, return_as="generator" if early else "list")
            with warnings.catch_warnings():
                # Of a process that is replaced because trainings have left it larger.
                warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
                yield from parallel(delayed(_call)(task) for task in waiting)


def _call(task: Callable[[], _Result]) -> _Result:
    return task()


def _is_child() -> bool:
    """Tell whether another process has started this one, and so shares the cores out."""
    return multiprocessing.parent_process() is not None
