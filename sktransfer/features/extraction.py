"""Extraction: rows of X, through the store or the engine, to one array of features."""

from __future__ import annotations

import time
import warnings
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import torch

from sktransfer.exceptions import ImageDecodeError, ImageWarning
from sktransfer.features.heap import kept_heap
from sktransfer.features.plan import slot_columns
from sktransfer.features.store import Record, Store, content_key, context_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from sktransfer.features.engine import Engine
    from sktransfer.features.plan import FeaturePlan, Slot
    from sktransfer.images.pixels import Payload
    from sktransfer.images.sequences import ImageSequence
    from sktransfer.preprocessing import Preprocessing

__all__ = ["Extraction", "extract", "workers"]

_TASKS_PER_WORKER = (
    4  # so that a worker whose photographs are large does not keep the others waiting
)

T = TypeVar("T")
R = TypeVar("R")


@dataclass
class Extraction:
    """The features of some images.

    Parameters
    ----------
    features : ndarray of shape (n_images, n_features), dtype float32
        C-contiguous; rows of images that cannot be read are NaN.
    failed : list of int
        These rows.
    """

    features: NDArray[np.float32]
    failed: list[int] = field(default_factory=list)


Lane: TypeAlias = "Callable[[torch.Tensor, Preprocessing], Future[torch.Tensor]]"


@dataclass
class _Task:
    """An image that has to go through the network, for one or several rows."""

    payload: Payload
    rows: list[int]
    key: bytes | None


class _Forward(NamedTuple):
    """A batch on its way through the network."""

    tasks: list[_Task]
    vectors: Future[torch.Tensor]
    start: float


def extract(
    images: ImageSequence,
    plan: FeaturePlan,
    engines: Sequence[Engine],
    store: Store | None,
    *,
    batch_size: int,
    n_workers: int,
    on_error: str,
    progress: Callable[[int], object],
    out: NDArray[np.float32] | None = None,
) -> Extraction:
    """Compute the features of images, or find them.

    Parameters
    ----------
    images : ImageSequence
        Read batch by batch.
    plan : FeaturePlan
        Plan of the features.
    engines : sequence of Engine
        Engine of the computation: one, or replicas on several devices, which take batches in turn.
    store : Store or None
        Store in which all that the engine computes of an image is looked up and kept.
    batch_size : int
        Images that go through the network together.
    n_workers : int
        Threads that read and decode; 0 means the calling one.
    on_error : {"raise", "warn", "nan"}
        Treatment of an image that cannot be read.
    progress : callable
        Is told the number of rows that have been finished.
    out : ndarray of shape (n_images, n_features), dtype float32, optional
        Array for the features, for example a file that is mapped into memory.

    Raises
    ------
    ImageDecodeError
        If an image cannot be read and `on_error` is "raise".
    """
    if out is None:
        out = np.empty((len(images), plan.n_features), np.float32)
    found = Extraction(out)
    with workers(n_workers) as in_parallel, _lanes(engines) as lanes, kept_heap():
        run = _Run(images, plan, engines[0], store, found, on_error, in_parallel, lanes, progress)
        waiting: dict[object, _Task] = {}
        for start in range(0, len(images), batch_size):
            rows = range(start, min(start + batch_size, len(images)))
            run.look_up(rows, waiting)
            while len(waiting) >= batch_size:
                run.compute([waiting.pop(key) for key in list(waiting)[:batch_size]])
        if waiting:
            run.compute(list(waiting.values()))
        run.finish()
    found.failed.sort()
    return found


class _Run:
    """One extraction on its way."""

    def __init__(
        self,
        images: ImageSequence,
        plan: FeaturePlan,
        engine: Engine,
        store: Store | None,
        found: Extraction,
        on_error: str,
        in_parallel: Callable[[Callable[[Any], Any], Sequence[object]], list[Any]],
        lanes: Sequence[Lane],
        progress: Callable[[int], object],
    ) -> None:
        self._images, self._plan, self._engine, self._store = images, plan, engine, store
        self._found, self._on_error = found, on_error
        self._in_parallel, self._progress = in_parallel, progress
        self._read_all = _one_by_one if images.one_reader else in_parallel
        self._lanes = deque(lanes)
        self._running: deque[_Forward] = deque()
        self._width = sum(slot.width for slot in engine.slots)
        self._columns = _columns(plan.slots, engine.slots)
        self._context = context_key(plan, engine)

    def look_up(self, rows: range, waiting: dict[object, _Task]) -> None:
        """Read some rows, fill in those that the store has, and queue the others."""
        read = self._read_all(self._read, rows)
        usable = [
            (row, *content)
            for row, content in zip(rows, read, strict=True)
            if self._ok(row, content)
        ]
        if self._store is None:
            waiting |= {row: _Task(payload, [row], None) for row, payload, _ in usable}
            return
        known = {task.key: task for forward in self._running for task in forward.tasks}
        new = []
        for row, payload, key in usable:
            task = waiting.get(key) or known.get(key)
            if task is not None:  # the same image a second time
                task.rows.append(row)
            else:
                new.append((row, payload, key))
        records = self._store.get_many([key for _, _, key in new])
        for (row, payload, key), record in zip(new, records, strict=True):
            if record is not None and len(record.vector) == self._width:
                self._fill([row], record.vector[None])
            elif key in waiting:
                waiting[key].rows.append(row)
            else:
                waiting[key] = _Task(payload, [row], key)

    def compute(self, tasks: list[_Task]) -> None:
        """Decode a batch and send it through the network, which may end in the background."""
        start = time.perf_counter()
        decoded = self._in_parallel(self._decode, tasks)
        good = [
            (task, pixels)
            for task, pixels in zip(tasks, decoded, strict=True)
            if all([self._ok(row, pixels) for row in task.rows])  # noqa: C419 - each row is noted
        ]
        if not good:
            return
        self.finish(len(self._lanes) - 1)
        batch = torch.from_numpy(np.stack([pixels for _, pixels in good]))
        if self._engine.device.type == "cuda":
            batch = batch.pin_memory()
        vectors = self._lanes[0](batch, self._plan.preprocessing)
        self._lanes.rotate(-1)
        self._running.append(_Forward([task for task, _ in good], vectors, start))

    def finish(self, n_left: int = 0) -> None:
        """Take what the network has computed, oldest batch first, until `n_left` are on their way."""
        while len(self._running) > n_left:
            self._take(self._running.popleft())

    def _take(self, forward: _Forward) -> None:
        tasks, vectors = forward.tasks, forward.vectors.result().numpy()
        seconds = (time.perf_counter() - forward.start) / len(tasks)
        self._fill(
            [row for task in tasks for row in task.rows],
            vectors.repeat([len(task.rows) for task in tasks], axis=0),
        )
        if self._store is not None:
            keys = [task.key for task in tasks if task.key is not None]
            self._store.put_many(keys, [Record(vector.copy(), seconds) for vector in vectors])

    def _read(self, row: int) -> tuple[Payload, bytes | None] | ImageDecodeError:
        try:
            payload = self._images.read(row)
        except ImageDecodeError as problem:
            return problem
        if self._store is None:
            return payload, None
        return payload, content_key(payload) + self._context

    def _decode(self, task: _Task) -> NDArray[np.uint8] | ImageDecodeError:
        preprocessing, payload = self._plan.preprocessing, task.payload
        size = (preprocessing.crop, preprocessing.crop)
        if isinstance(payload, np.ndarray) and payload.shape[:2] == size:
            return payload
        try:
            image = self._images.decode(task.rows[0], payload, min_size=preprocessing.min_size)
        except ImageDecodeError as problem:
            return problem
        return preprocessing(image)

    def _ok(self, row: int, content: object) -> bool:
        """Apply `on_error` to what came of reading or decoding."""
        if not isinstance(content, ImageDecodeError):
            return True
        if self._on_error == "raise":
            raise content
        if self._on_error == "warn":
            warnings.warn(str(content), ImageWarning, stacklevel=2)
        self._found.failed.append(row)
        self._fill([row], np.full((1, self._width), np.nan, np.float32))
        return False

    def _fill(self, rows: list[int], vectors: NDArray[np.float32]) -> None:
        """Write the columns that are wanted of vectors, one for each row."""
        for target, source in self._columns:
            self._found.features[rows, target] = vectors[:, source]
        self._progress(len(rows))


def _one_by_one(function: Callable[[Any], object], items: Sequence[object]) -> list[object]:
    return [function(item) for item in items]


def _columns(wanted: Sequence[Slot], kept: Sequence[Slot]) -> list[tuple[slice, slice]]:
    """Pair each run of the features' columns with its place in a kept vector."""
    places = {(slot.module, slot.pooling): run for slot, run in slot_columns(kept).items()}
    return [(run, places[slot.module, slot.pooling]) for slot, run in slot_columns(wanted).items()]


@contextmanager
def workers(
    n_workers: int,
) -> Iterator[Callable[[Callable[[T], R], Sequence[T]], list[R]]]:
    """Give a function that maps in threads, in order; few large tasks rather than many small.

    Examples
    --------
    >>> with workers(2) as in_parallel:
    ...     in_parallel(abs, [-1, 2, -3])
    [1, 2, 3]
    """
    if n_workers == 0:
        yield lambda function, items: [function(item) for item in items]
        return
    with ThreadPoolExecutor(n_workers, thread_name_prefix="sktransfer") as pool:

        def in_parallel(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
            size = max(1, len(items) // (n_workers * _TASKS_PER_WORKER))
            parts = [items[i : i + size] for i in range(0, len(items), size)]
            done = pool.map(lambda part: [function(item) for item in part], parts)
            return [result for part in done for result in part]

        yield in_parallel


@contextmanager
def _lanes(engines: Sequence[Engine]) -> Iterator[list[Lane]]:
    """Give, for each engine, a function that starts a forward pass, beside which others may run.

    On a CPU it ends before the function returns: there all would fight for the same cores.
    """
    with ExitStack() as stack:
        yield [_lane(engine, stack) for engine in engines]


def _lane(engine: Engine, stack: ExitStack) -> Lane:
    if engine.device.type == "cpu":
        return partial(_at_once, engine.run)
    pool = ThreadPoolExecutor(1, thread_name_prefix=f"sktransfer-{engine.device}")
    started = stack.enter_context(pool)
    return lambda pixels, preprocessing: started.submit(engine.run, pixels, preprocessing)


def _at_once(function: Callable[..., torch.Tensor], *args: object) -> Future[torch.Tensor]:
    done: Future[torch.Tensor] = Future()
    done.set_result(function(*args))
    return done
