"""A graph run by ONNX Runtime and compared with the model that it was made of."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.pipeline import Pipeline

from sktransfer.exceptions import ExportError
from sktransfer.export.extras import imported
from sktransfer.export.head_graph import is_stepwise
from sktransfer.export.shared_features import ENSEMBLES
from sktransfer.features.transformer import DeepFeatureTransformer
from sktransfer.images import as_image_sequence

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx
    from numpy.typing import NDArray

__all__ = ["Comparison", "check_images", "compared", "draw_images", "in_float32"]

_TOLERANCE = 1e-3  # of probabilities; and how near two classes are that may change places
_RELATIVE = 5e-3  # of features, scores and predictions: the rounding of pixels shows in them
_STEPWISE = 0.1  # where trees or neighbours vote, one that changes its mind is a step
_LEAST_COSINE = 0.99999

_METHODS = {
    "label": "predict",
    "probabilities": "predict_proba",
    "scores": "decision_function",
    "prediction": "predict",
    "features": "transform",
}


@dataclass(frozen=True)
class Comparison:
    """How near a graph comes to a model.

    Parameters
    ----------
    max_difference : float
        Largest absolute difference in the last output, see `ExportReport`.
    agreement : float
        Share of equal labels.
    n_checked : int
        Number of images.
    """

    max_difference: float
    agreement: float
    n_checked: int


def draw_images(size: int, n_images: int = 5) -> list[NDArray[np.uint8]]:
    """Draw images of several sizes with the 1/f spectrum of photographs.

    Parameters
    ----------
    size : int
        Side of a network's input in pixels, which is the size of the first.
    n_images : int, default=5
        Number of images.
    """
    rng = np.random.default_rng(0)
    sides = size * rng.uniform(0.7, 1.9, (n_images, 1)) * rng.uniform(1, 1.5, (n_images, 2))
    sides[0] = size
    return [_noise(int(height), int(width), rng) for height, width in sides]


def check_images(X: Any) -> list[NDArray[np.uint8]]:
    """Decode what a user passes for the check, in full size: a list of (height, width, 3), uint8."""
    images = as_image_sequence(X)
    return [np.asarray(images.decode(row, images.read(row))) for row in range(len(images))]


def in_float32(model: Any) -> Any:
    """Copy a model, sharing its weights, such that its networks compute in float32 and store nothing."""
    model = getattr(model, "best_estimator_", model)
    if isinstance(model, Pipeline):
        return Pipeline([(name, in_float32(step)) for name, step in model.steps])
    if isinstance(model, ENSEMBLES):
        twin = copy.copy(model)
        twin.estimators_ = [in_float32(member) for member in model.estimators_]
        return twin
    if not hasattr(model, "precision"):
        return model
    twin = copy.copy(model)
    if isinstance(model, DeepFeatureTransformer) and hasattr(model, "plan_"):
        twin._loaded = model._ready()[0]
    return twin.set_params(precision="float32", cache=None, image_shape=None)


def compared(graph: onnx.ModelProto, model: Any, images: Sequence[NDArray[np.uint8]]) -> Comparison:
    """Run a graph and a model on images and compare.

    Parameters
    ----------
    graph : ModelProto
        The exported graph.
    model : estimator
        What it was made of.
    images : sequence of ndarray of shape (height, width, 3), dtype uint8
        Images of any sizes.

    Raises
    ------
    ExportError
        If they differ by more than rounding.
    """
    given = _run(graph, images)
    twin = in_float32(model)
    X = np.empty(len(images), dtype=object)
    X[:] = list(images)
    names = list(given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {name: np.asarray(getattr(twin, _METHODS[name])(X)) for name in names}
    stepwise = is_stepwise(graph)
    values = names[-1]
    equal = np.ones(len(images), dtype=bool)
    if "label" in given:
        equal = (given["label"] == expected["label"]).reshape(len(images), -1).all(1)
    difference = 0.0 if values == "label" else _difference(given, expected, values)
    tolerance = _STEPWISE if stepwise else _TOLERANCE if values == "probabilities" else _RELATIVE
    certain = _margins(expected, values) > tolerance
    if not difference <= tolerance:
        raise ExportError(
            f"the exported graph gives other {values} than the model: they differ by "
            f"{difference:.2g}, of {tolerance:.2g} that rounding explains. No file was written. Pass "
            "the model on with save_model, and report this model as an error."
        )
    if not equal[certain].all():
        raise ExportError(
            f"the exported graph gives image {int(np.flatnonzero(certain & ~equal)[0])} of the check "
            "another label than the model. No file was written. Pass the model on with save_model, "
            "and report this model as an error."
        )
    if values == "features" and not _least_cosine(given, expected) >= _LEAST_COSINE:
        raise ExportError(
            f"the exported graph gives other features than the model (cosine "
            f"{_least_cosine(given, expected):.6f}). No file was written. Report this model as an error."
        )
    return Comparison(difference, float(equal.mean()), len(images))


def _run(
    graph: onnx.ModelProto, images: Sequence[NDArray[np.uint8]]
) -> dict[str, NDArray[np.generic]]:
    """Send images through a graph, one at a time, and join each output."""
    (runtime,) = imported("onnx", "onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    rows = [session.run(names, {"images": image[None]}) for image in images]
    return {
        name: np.concatenate(part)
        for name, part in zip(names, zip(*rows, strict=True), strict=True)
    }


def _difference(given: dict[str, Any], expected: dict[str, Any], name: str) -> float:
    largest = float(np.abs(given[name] - expected[name]).max())
    if name == "probabilities":
        return largest
    return largest / max(float(np.abs(expected[name]).max()), 1e-12)


def _margins(expected: dict[str, Any], name: str) -> NDArray[np.float64]:
    """Measure how far the first class is ahead of the second, for each image."""
    values = expected[name]
    if name not in ("probabilities", "scores"):
        return np.full(len(values), np.inf)
    if values.ndim == 1 or np.ndim(expected["label"]) == 2:
        values = np.abs(values - (0.5 if name == "probabilities" else 0.0)).reshape(len(values), -1)
        return np.asarray(values.min(1), dtype=np.float64)
    ordered = np.sort(values, axis=1)
    margins: NDArray[np.float64] = ordered[:, -1] - ordered[:, -2]
    return margins


def _least_cosine(given: dict[str, Any], expected: dict[str, Any]) -> float:
    one, other = (vectors["features"].astype(np.float64) for vectors in (given, expected))
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(1) / np.maximum(norms, 1e-300)).min())


def _noise(height: int, width: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    amplitude = 1 / (np.hypot(rows, columns) + 1 / max(height, width))  # (height, width // 2 + 1)
    white = rng.normal(size=(3, height, width))
    white += 1.5 * white.mean(0)  # the channels of photographs are alike
    drawn = np.fft.irfft2(np.fft.rfft2(white) * amplitude, s=(height, width))
    levels = 128 + 50 * drawn / drawn.std((1, 2), keepdims=True)
    pixels: NDArray[np.uint8] = np.moveaxis(levels.clip(0, 255), 0, -1).round().astype(np.uint8)
    return np.ascontiguousarray(pixels)
