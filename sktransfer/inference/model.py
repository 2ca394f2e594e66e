"""The model in a worker: loaded once a process, its store off, and asked row by row where images fail."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from sklearn.pipeline import Pipeline

from sktransfer.exceptions import ImageDecodeError
from sktransfer.export.saved_objects import estimators_in
from sktransfer.export.skops_files import load_model
from sktransfer.images.problems import problem_of
from sktransfer.inference.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sktransfer.inference.sources import Row

__all__ = ["AT_ONCE", "Answers", "ServedModel", "digest_of_file", "load_served"]

Values: TypeAlias = "NDArray[np.generic]"

AT_ONCE: Final = 512
"""Rows that a worker holds in memory, and in which the last steps of a pipeline get them."""

_EXAMPLE: Final = np.arange(64 * 64 * 3, dtype=np.uint16).astype(np.uint8).reshape(1, 64, 64, 3)
"""An image whose result tells the columns and their type."""

_LOCK = threading.Lock()
_LOADED: dict[tuple[str, str, str], ServedModel] = {}
"""The one model that this process has loaded last."""


@dataclass(frozen=True)
class Answers:
    """Results for some rows.

    Parameters
    ----------
    values : ndarray of shape (n_rows,) or (n_rows, n_columns)
        Results; rows with an error hold what stands there by chance.
    errors : list of str or None
        Reason for each row without a result.
    """

    values: Values
    errors: list[str | None]


class ServedModel:
    """A fitted model that answers for images of which some may be unreadable.

    Parameters
    ----------
    model : estimator
        Fitted; becomes this object's own, and its stores are switched off.
    method : str
        One of `METHODS`.

    Raises
    ------
    ValueError
        If the model does not have the method, or takes no images.
    """

    def __init__(self, model: Any, method: str) -> None:
        if not hasattr(model, method):
            possible = [name for name in METHODS if hasattr(model, name)]
            raise ValueError(
                f"method={method!r}: a {type(model).__name__} has no such method. Choose one of: "
                f"{', '.join(map(repr, possible))}."
            )
        model = getattr(model, "best_estimator_", model)
        for estimator in estimators_in(model):
            if hasattr(estimator, "cache"):
                estimator.cache = None
            if hasattr(estimator, "on_error"):
                estimator.on_error = "raise"
            if hasattr(estimator, "verbose"):
                estimator.verbose = 0
        self.model, self.method = model, method
        self._example = self._call(_EXAMPLE)
        if self._example.ndim > 2:
            raise ValueError(
                f"{method} of a {type(model).__name__} gives an array of {self._example.ndim - 1} dimensions for each "
                "image, which is no row of a table. For masks, use the command predict MODEL FOLDER --out."
            )
        self.columns = self._name_columns()

    def answer(self, rows: Sequence[Row], on_error: str) -> Answers:
        """Compute results for some rows.

        Raises
        ------
        ImageDecodeError
            If an image cannot be read and `on_error` is "raise".
        """
        errors = [row.error for row in rows]
        good = [number for number, error in enumerate(errors) if error is None]
        images = [row.image for row in rows]
        values = self._try([images[number] for number in good])
        if values is None:
            for number in good:
                errors[number] = problem_of(images[number] or b"")
            good = [number for number in good if errors[number] is None]
            values = self._call(_as_x([images[number] for number in good])) if good else None
        if on_error == "raise" and len(good) < len(rows):
            bad = next(number for number, error in enumerate(errors) if error is not None)
            raise ImageDecodeError(f"{rows[bad].name!r} {errors[bad]}", 'pass on_error="nan"')
        if values is not None and len(good) == len(rows):
            return Answers(values, errors)
        kind = self._example.dtype if values is None else values.dtype
        every = np.zeros((len(rows), *self._example.shape[1:]), kind)
        if values is not None:
            every[good] = values
        return Answers(every, errors)

    def _try(self, images: list[Any]) -> Values | None:
        """Compute results for images that may all be readable; None if they are not, or if there are none."""
        if not images:
            return None
        try:
            return self._call(_as_x(images))
        except ImageDecodeError:
            return None

    def _call(self, X: Any) -> Values:
        """Compute results of readable images.

        What follows the features in a pipeline gets them in blocks of one size, filled up by the last
        row: a product of matrices rounds a row by how many there are, and so the bits of a result
        would depend on how the source is cut.
        """
        if not isinstance(self.model, Pipeline) or len(self.model.steps) < 2:
            return np.asarray(getattr(self.model, self.method)(X))
        features = np.asarray(self.model[:1].transform(X))
        answer = getattr(self.model[1:], self.method)
        blocks = []
        for start in range(0, len(features), AT_ONCE):
            block = features[start : start + AT_ONCE]
            filled = np.concatenate([block, np.repeat(block[-1:], AT_ONCE - len(block), axis=0)])
            blocks.append(np.asarray(answer(filled))[: len(block)])
        return np.concatenate(blocks)

    def _name_columns(self) -> list[str]:
        if self._example.ndim == 1:
            return ["prediction" if self.method == "predict" else "decision"]
        n_columns = self._example.shape[1]
        if self.method == "transform" and hasattr(self.model, "get_feature_names_out"):
            return [str(name) for name in self.model.get_feature_names_out()]
        classes = getattr(self.model, "classes_", None)
        if classes is not None and len(classes) == n_columns:
            kind = {"predict_proba": "probability", "decision_function": "decision"}
            return [f"{kind.get(self.method, 'value')}_{name}" for name in classes]
        return [f"{self.method}_{number}" for number in range(n_columns)]


def digest_of_file(file: Path) -> str:
    """Digest the bytes of a model file."""
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(2**20):
            digest.update(block)
    return digest.hexdigest()[:16]


def load_served(file: str, digest: str, method: str) -> ServedModel:
    """Load a model file, or return it if this process loaded it before.

    Raises
    ------
    ValueError
        If the file is no longer the one that the run began with.
    """
    key = (file, digest, method)
    with _LOCK:
        if key not in _LOADED:
            if digest_of_file(Path(file)) != digest:
                raise ValueError(
                    f"the model {file!r} is no longer the one that this run began with. Give the old file "
                    "back, or write to another folder."
                )
            _LOADED.clear()
            _LOADED[key] = ServedModel(_load(Path(file)), method)
        return _LOADED[key]


def _load(file: Path) -> object:
    if file.suffix == ".skops":
        return load_model(file)
    import joblib

    model: object = joblib.load(file)
    return model


def _as_x(images: list[Any]) -> Any:
    """Return images as an `X` that no model takes for anything else."""
    X = np.empty(len(images), dtype=object)
    X[:] = images
    return X
