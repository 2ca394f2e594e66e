"""The model in a worker: loaded once a process, its store off, and told which images failed."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from sklearn.pipeline import Pipeline

from sktransfer.exceptions import ImageDecodeError
from sktransfer.export.saved_objects import estimators_in
from sktransfer.export.skops_files import load_model
from sktransfer.export.travelling import find_weights
from sktransfer.images.problems import problem_of
from sktransfer.inference.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from sktransfer.inference.sources import Row

__all__ = [
    "AT_ONCE",
    "Answers",
    "ServedModel",
    "check_method",
    "digest_of_file",
    "load_served",
]

Values: TypeAlias = "NDArray[np.generic]"

AT_ONCE: Final = 512
"""Rows that a worker holds in memory, and in which the last steps of a pipeline get them."""

_EXAMPLE: Final = np.arange(64 * 64 * 3, dtype=np.uint16).astype(np.uint8).reshape(1, 64, 64, 3)
"""An image whose result tells the columns and their type."""

_LOCK = threading.Lock()
_LOADED: dict[tuple[str, str, str, str], ServedModel] = {}
"""The one model that this process has loaded last."""


@dataclass(frozen=True)
class Answers:
    """Results for some rows.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_columns)
        Results; rows with an error hold what stands there by chance.
    errors : list of str or None
        Reason for each row without a result.
    """

    values: Values
    errors: list[str | None]

    def columns(self) -> Iterator[Values]:
        """Yield each column: NaN stands for no result among floats, and None among objects otherwise."""
        bad = np.array([error is not None for error in self.errors], dtype=bool)
        for column in self.values.T:
            is_float = column.dtype.kind == "f"
            kept = column.copy() if is_float else column.astype(object)
            kept[bad] = np.nan if is_float else None
            yield kept


class ServedModel:
    """A fitted model that answers for images of which some may be unreadable.

    Parameters
    ----------
    model : estimator
        Fitted; becomes this object's own, and its stores are switched off.
    method : str
        One of `METHODS`.
    device : str, default="auto"
        Device that replaces a `device` of "auto" or "cuda", which leave open which GPU.

    Attributes
    ----------
    columns : list of str
        Names of the columns of a result.
    dtype : dtype
        Type of the results.

    Raises
    ------
    ValueError
        If the model does not have the method, or gives no row of a table for an image.
    """

    def __init__(self, model: Any, method: str, device: str = "auto") -> None:
        check_method(model, method)
        model = getattr(model, "best_estimator_", model)
        self.model, self.method = model, method
        # The steps of a pipeline after the one that takes images, and that one.
        self._rest = model[1:] if isinstance(model, Pipeline) and len(model.steps) > 1 else None
        self._first = model if self._rest is None else model.steps[0][1]
        self._finds_failed = self._rest is not None and hasattr(self._first, "failed_")
        for estimator in estimators_in(model):
            if hasattr(estimator, "cache"):
                estimator.cache = None
            if hasattr(estimator, "on_error"):
                estimator.on_error = "nan" if self._finds_failed else "raise"
            if hasattr(estimator, "verbose"):
                estimator.verbose = 0
            if device != "auto" and getattr(estimator, "device", None) in ("auto", "cuda"):
                estimator.device = device
        example, _ = self._call(_EXAMPLE)
        assert example is not None
        if example.ndim > 2:
            raise ValueError(
                f"{method} of a {type(model).__name__} gives an array of {example.ndim - 1} dimensions for each "
                "image, which is no row of a table. For masks, use the command predict MODEL FOLDER --out."
            )
        self.dtype = example.dtype
        self.columns = self._name_columns(example)

    def answer(self, rows: Sequence[Row], on_error: str) -> Answers:
        """Compute results for some rows.

        Raises
        ------
        ImageDecodeError
            If an image cannot be read and `on_error` is "raise".
        """
        errors = [row.error for row in rows]
        fetched = [number for number, error in enumerate(errors) if error is None]
        values, failed = self._try([rows[number].image for number in fetched])
        for place in failed:
            errors[fetched[place]] = problem_of(rows[fetched[place]].image)
        bad = [number for number, error in enumerate(errors) if error is not None]
        if bad and on_error == "raise":
            raise ImageDecodeError(f"{rows[bad[0]].name!r} {errors[bad[0]]}", 'pass on_error="nan"')
        every = np.zeros(
            (len(rows), len(self.columns)), self.dtype if values is None else values.dtype
        )
        if values is not None:
            every[np.setdiff1d(np.arange(len(rows)), bad)] = values.reshape(len(values), -1)
        return Answers(every, errors)

    def _try(self, images: list[Any]) -> tuple[Values | None, list[int]]:
        """Compute results of those images that can be read, and tell which cannot."""
        if not images:
            return None, []
        try:
            return self._call(_as_x(images))
        except ImageDecodeError:  # of a model that stops there: look for all of them
            is_readable = [problem_of(image) is None for image in images]
        readable = list(compress(images, is_readable))
        values = self._call(_as_x(readable))[0] if readable else None
        return values, np.flatnonzero(np.logical_not(is_readable)).tolist()

    def _call(self, X: Any) -> tuple[Values | None, list[int]]:
        """Compute results, and the rows that the step which takes images could not read.

        What follows the features in a pipeline gets them in blocks of one size, filled up by the last
        row: a product of matrices rounds a row by how many there are, and so the bits of a result
        would depend on how the source is cut.
        """
        if self._rest is None:
            return np.asarray(getattr(self.model, self.method)(X)), []
        features = np.asarray(self._first.transform(X))
        failed = list(self._first.failed_) if self._finds_failed else []
        features = np.delete(features, failed, axis=0)
        answer = getattr(self._rest, self.method)
        blocks = []
        for start in range(0, len(features), AT_ONCE):
            block = features[start : start + AT_ONCE]
            filled = np.concatenate([block, np.repeat(block[-1:], AT_ONCE - len(block), axis=0)])
            blocks.append(np.asarray(answer(filled))[: len(block)])
        return (np.concatenate(blocks) if blocks else None), failed

    def _name_columns(self, example: Values) -> list[str]:
        if example.ndim == 1:
            return ["prediction" if self.method == "predict" else "decision"]
        n_columns = example.shape[1]
        if self.method == "transform" and hasattr(self.model, "get_feature_names_out"):
            return [str(name) for name in self.model.get_feature_names_out()]
        classes = getattr(self.model, "classes_", None)
        if classes is not None and len(classes) == n_columns:
            kind = {"predict_proba": "probability", "decision_function": "decision"}
            return [f"{kind.get(self.method, 'value')}_{name}" for name in classes]
        return [f"{self.method}_{number}" for number in range(n_columns)]


def check_method(model: object, method: str) -> None:
    """Refuse a model without the method.

    Raises
    ------
    ValueError
        Naming those that it has.
    """
    if hasattr(model, method):
        return
    possible = [name for name in METHODS if hasattr(model, name)]
    raise ValueError(
        f"method={method!r}: a {type(model).__name__} has no such method. "
        + (f"Choose one of: {', '.join(map(repr, possible))}." if possible else "It is no model.")
    )


def digest_of_file(file: Path) -> str:
    """Digest the bytes of a model file."""
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(2**20):
            digest.update(block)
    return digest.hexdigest()[:16]


def load_served(file: str, digest: str, method: str, device: str = "auto") -> ServedModel:
    """Load a model file, or return it if this process loaded it before.

    Raises
    ------
    ValueError
        If the file is no longer the one that the run began with.
    """
    key = (file, digest, method, device)
    with _LOCK:
        if key not in _LOADED:
            if digest_of_file(Path(file)) != digest:
                raise ValueError(
                    f"the model {file!r} is no longer the one that this run began with. Give the old file "
                    "back, or write to another folder."
                )
            _LOADED.clear()
            _LOADED[key] = ServedModel(_load(Path(file)), method, device)
        return _LOADED[key]


def keep_served(file: Path, method: str, model: object) -> None:
    """Let `load_served` take a model that this process has loaded from a file, and load it no more."""
    path = str(file.absolute())
    with _LOCK:
        _LOADED.clear()
        _LOADED[path, digest_of_file(file), method, "auto"] = ServedModel(model, method, "auto")


def _load(file: Path) -> object:
    if file.suffix == ".skops":
        model = load_model(file)
    else:
        import joblib

        model = joblib.load(file)
    find_weights(model, file.parent)
    return model


def _as_x(images: list[Any]) -> Any:
    """Return images as an `X` that no model takes for anything else."""
    X = np.empty(len(images), dtype=object)
    X[:] = images
    return X
