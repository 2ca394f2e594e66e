"""Each image goes through a network once for all candidates that use its features, before any search.

The searches would fill the store by themselves, fold by fold; this does it with one progress bar,
before several processes ask for the same images at the same time, and with its own measurements.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline

from sktransfer.comparison.peak_memory import peak_memory
from sktransfer.comparison.resuming import identity_of_result, key_of
from sktransfer.comparison.workers import limited_threads
from sktransfer.exceptions import ImageError
from sktransfer.features.store import open_store
from sktransfer.features.transformer import DeepFeatureTransformer
from sktransfer.images.indexing import take

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from sktransfer.comparison.candidates import Candidate
    from sktransfer.comparison.resuming import Journal

__all__ = ["Pass", "pass_once", "shared_cache"]

_N_TRIED = 8  # images at a time
_WORTH_A_TRIAL = 64  # images


class Pass(NamedTuple):
    """What the one pass of all images through the networks cost.

    `running_seconds` is the part in which images ran, without loading and trying out the networks.
    """

    seconds: float
    peak_memory_bytes: float
    running_seconds: float


def pass_once(
    X: Any,
    candidates: Mapping[str, Candidate],
    *,
    journal: Journal | None,
    key: str,
    verbose: int,
) -> Pass:
    """Fill the stores with all features that some setting of some candidate will ask for.

    Parameters
    ----------
    X : images
    candidates : mapping of str to Candidate
        Candidates; of a pipeline, the first step counts if it is a DeepFeatureTransformer.
    journal : Journal or None
        Remembers what the pass cost when it was made, before an interruption.
    key : str
        Digest of the images.
    verbose : int
        1 shows a progress bar.

    Returns
    -------
    Pass
        Zeros if there was nothing to do.
    """
    transformers = list(_transformers(candidates))
    if not transformers:
        return Pass(0.0, 0.0, 0.0)
    key = "" if journal is None else key_of(images=key, one_pass=transformers)
    known = None if journal is None else journal.read(key)
    start, running = time.perf_counter(), 0.0
    with peak_memory() as peak:
        for transformer in transformers:
            with limited_threads(1):
                transformer.fit(X)
            fitted = time.perf_counter()
            with limited_threads(_quicker_threads(transformer, X)):
                transformer.set_params(verbose=verbose).transform(X)
            running += time.perf_counter() - fitted
    cost = Pass(time.perf_counter() - start, peak.n_bytes, running)
    if journal is None:
        return cost
    if known is not None and set(known) == set(Pass._fields):
        return Pass(**known)
    journal.write(key, cost._asdict())
    return cost


def _quicker_threads(transformer: DeepFeatureTransformer, X: Any) -> int | None:
    """Choose by the first images between one thread, which wins beside busy programs, and all; None is all.

    The features are the same. Threads that share a layer wait for each other at its end, and where
    another program holds a core, each layer waits for that.
    """
    if torch.get_num_threads() == 1 or len(X) < _WORTH_A_TRIAL:
        return None
    seconds: dict[int | None, float] = {}
    for number, n_threads in enumerate((1, None, 1, None)):
        rows = np.arange(number * _N_TRIED, (number + 1) * _N_TRIED)
        with limited_threads(n_threads):
            start = time.perf_counter()
            try:
                transformer.transform(take(X, rows))
            except ImageError:  # comes again from all images, and then with the number of its row
                return None
            taken = time.perf_counter() - start
        seconds[n_threads] = min(taken, seconds.get(n_threads, taken))
    return min(seconds, key=seconds.__getitem__)


@contextmanager
def shared_cache(cache: Any, resume: Path | None, n_processes: int) -> Iterator[Any]:
    """Choose where features are kept while candidates are compared.

    "memory" becomes a folder beside the results if the comparison is to be resumed, so that
    features are too; and a temporary one if there are several processes, which share no memory.
    """
    if cache != "memory":
        yield cache
    elif resume is not None:
        yield str(resume / "features")
    elif n_processes == 1:
        yield cache
    else:
        with tempfile.TemporaryDirectory(
            prefix="sktransfer-", ignore_cleanup_errors=True
        ) as folder:
            yield folder


def _transformers(candidates: Mapping[str, Candidate]) -> Iterator[DeepFeatureTransformer]:
    """Make one transformer for all settings that differ only in layers, or not in the features."""
    found: dict[str, tuple[DeepFeatureTransformer, list[Any]]] = {}
    for estimator, grid in ((c.estimator, c.param_grid) for c in candidates.values()):
        for transformer in _settings(estimator, grid):
            if open_store(transformer.cache) is None:
                continue
            layers = transformer.layers
            same = identity_of_result(clone(transformer).set_params(layers=None)).digest
            found.setdefault(same, (transformer, []))[1].append(layers)
    for transformer, choices in found.values():
        yield transformer.set_params(layers=_distinct_layers(choices))


def _settings(estimator: Any, grid: Any) -> Iterator[DeepFeatureTransformer]:
    """Set a copy of a pipeline's first step as each setting of the grid does, but for the head's."""
    if not isinstance(estimator, Pipeline):
        return
    name = estimator.steps[0][0]
    settings = [
        {param: value for param, value in setting.items() if param.split("__")[0] == name}
        for setting in ParameterGrid(grid)
    ]
    for setting in {identity_of_result(s).digest: s for s in settings}.values():
        first = clone(estimator).set_params(**setting).steps[0][1]
        if isinstance(first, DeepFeatureTransformer):
            yield clone(first)


def _distinct_layers(choices: Iterable[Any]) -> list[Any] | None:
    """Return every layer that some choice names; None if the default layer is all there is."""
    flat = [
        layer
        for choice in choices
        for layer in (choice if isinstance(choice, list | tuple) else [choice])
    ]
    named = list(dict.fromkeys(-1 if layer is None else layer for layer in flat))
    return None if named == [-1] else named
