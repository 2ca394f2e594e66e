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
from sktransfer.export.pixel_graph import SEEN
from sktransfer.export.shared_features import ENSEMBLES
from sktransfer.features.transformer import DeepFeatureTransformer
from sktransfer.images import as_image_sequence
from sktransfer.segmentation import PixelClassifier

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx
    from numpy.typing import NDArray

    Images = Sequence[NDArray[np.uint8]]
    Outputs = dict[str, NDArray[Any]]

__all__ = ["Comparison", "check_images", "compared", "in_float32"]

_TOLERANCE = 1e-3  # of probabilities; and how near two classes are that may change places
_RELATIVE = 5e-3  # of features, scores and predictions: the rounding of pixels shows in them
_STEPWISE = 0.1  # where trees or neighbours vote, one that changes its mind is a step
_STEPPING = 1e-3  # and that part of the rows may step further
_LEAST_COSINE = 0.99999
_LEVELS = 2  # by which a resized pixel may differ from Pillow's
_ROUNDED = 0.1  # of anything, where resized pixels are rounded otherwise and all else is equal

_METHODS = {
    "label": "predict",
    "probabilities": "predict_proba",
    "scores": "decision_function",
    "prediction": "predict",
    "features": "transform",
    "mask": "predict",
}
_LABELS = ("label", "mask")


@dataclass(frozen=True)
class Comparison:
    """How near a graph comes to a model.

    Parameters
    ----------
    max_difference : float
        Largest absolute difference in the last output, see `ExportReport`.
    agreement : float
        Share of equal labels, of images or of pixels.
    max_levels : int
        Largest difference of a resized pixel from Pillow's, in grey levels.
    n_checked : int
        Number of images.
    """

    max_difference: float
    agreement: float
    max_levels: int
    n_checked: int


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
    if isinstance(model, PixelClassifier):
        twin._source = None  # it is made again, in float32
    return twin.set_params(precision="float32", cache=None, image_shape=None)


def compared(
    graph: onnx.ModelProto,
    model: Any,
    images: Images,
    resize: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
) -> Comparison:
    """Run a graph and a model on images and compare.

    ONNX Runtime rounds some resized pixels to the level beside Pillow's, to which a network of small
    images can answer by more than the tolerance. Then all but the resizing is compared on the pixels
    that the graph resized.

    Parameters
    ----------
    graph : ModelProto
        The exported graph.
    model : estimator
        Model that the graph was made of.
    images : sequence of ndarray of shape (height, width, 3), dtype uint8
        Images of any sizes.
    resize : callable
        From an image to what the model's network sees of it, in levels.

    Raises
    ------
    ExportError
        If they differ by more than rounding.
    """
    given, seen = _run(graph, images)
    twin = in_float32(model)
    expected = _asked(twin, list(given), images)
    max_levels = max(_levels(*pair) for pair in zip(seen, map(resize, images), strict=True))
    stepwise = is_stepwise(graph)
    problem = _problem(given, expected, stepwise)
    if problem and 0 < max_levels <= _LEVELS:
        problem = _problem(given, expected, stepwise, _ROUNDED)
        if not problem:
            again, _ = _run(graph, seen)
            problem = _problem(again, _asked(twin, list(given), seen), stepwise)
    if max_levels > _LEVELS:
        problem = (
            f"resizes images otherwise than the model, by up to {max_levels} grey levels of "
            f"{_LEVELS} that rounding explains"
        )
    if problem:
        raise ExportError(
            f"the exported graph {problem}. No file was written. Pass the model on with save_model, "
            "and report this model as an error."
        )
    labels = next((name for name in given if name in _LABELS), None)
    equal = np.ones(1) if labels is None else _equal(given[labels], expected[labels])
    values = list(given)[-1]
    difference = 0.0 if values in _LABELS else float(_differences(given, expected, values).max())
    return Comparison(difference, float(equal.mean()), max_levels, len(images))


def _run(graph: onnx.ModelProto, images: Images) -> tuple[Outputs, list[NDArray[np.uint8]]]:
    """Send images through a graph, one at a time, and join each output; and what the network saw."""
    runtime, helper = imported("onnx", "onnxruntime", "onnx.helper")
    names = [output.name for output in graph.graph.output]
    watched = copy.deepcopy(graph)
    watched.graph.output.append(helper.make_empty_tensor_value_info(SEEN))
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(
        watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    results = [session.run([*names, SEEN], {"images": image[None]}) for image in images]
    outputs = {
        name: _in_rows(name, [result[place] for result in results])
        for place, name in enumerate(names)
    }
    return outputs, [result[-1][0] for result in results]


def _asked(model: Any, names: Sequence[str], images: Images) -> Outputs:
    """Ask the model for what the graph puts out."""
    X = np.empty(len(images), dtype=object)
    X[:] = list(images)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {name: np.asarray(getattr(model, _METHODS[name])(X)) for name in names}
    return {
        name: _in_rows(name, list(values) if "mask" in names else [values])
        for name, values in found.items()
    }


def _in_rows(name: str, values: list[NDArray[Any]]) -> NDArray[Any]:
    """Join what images gave: a row for each image, or for each pixel."""
    if name == "mask":
        return np.concatenate([mask.ravel() for mask in values])
    if name == "probabilities":
        return np.concatenate([part.reshape(-1, part.shape[-1]) for part in values])
    return np.concatenate(values)


def _levels(seen: NDArray[np.uint8], expected: NDArray[np.uint8]) -> int:
    if seen.shape != expected.shape:
        return 255
    return int(np.abs(seen.astype(int) - expected).max())


def _problem(
    given: Outputs, expected: Outputs, stepwise: bool, rounded: float | None = None
) -> str | None:
    """Say in what a graph differs from a model by more than rounding; None if it does not."""
    *labels, values = given
    tolerance = _TOLERANCE if values == "probabilities" else _RELATIVE
    tolerance = max(tolerance, rounded or 0, _STEPWISE if stepwise else 0)
    may_step = int(_STEPPING * len(given[values])) if stepwise else 0
    if values not in _LABELS:
        gaps = _differences(given, expected, values)
        if not np.sum(gaps <= tolerance) >= len(gaps) - may_step:
            return (
                f"gives other {values} than the model: they differ by {gaps.max():.2g}, of "
                f"{tolerance:.2g} that rounding explains"
            )
    for name in (name for name in given if name in _LABELS):
        equal = _equal(given[name], expected[name])
        wrong = np.flatnonzero((_margins(expected, values, labels) > tolerance) & ~equal)
        if len(wrong) > may_step:
            what = "pixel" if name == "mask" else "image"
            return f"gives {what} {wrong[0]} of the check another label than the model"
    if values == "features" and not rounded and not _least_cosine(given, expected) >= _LEAST_COSINE:
        cosine = _least_cosine(given, expected)
        return f"gives other features than the model (cosine {cosine:.6f})"
    return None


def _equal(given: NDArray[Any], expected: NDArray[Any]) -> NDArray[np.bool_]:
    equal: NDArray[np.bool_] = (given == expected).reshape(len(given), -1).all(1)
    return equal


def _differences(given: Outputs, expected: Outputs, name: str) -> NDArray[np.float64]:
    """Compute the largest difference of each row; but of probabilities, relative to the largest value."""
    gaps: NDArray[np.float64] = (
        np.abs(given[name] - expected[name]).reshape(len(given[name]), -1).max(1)
    )
    if name == "probabilities":
        return gaps
    return gaps / max(float(np.abs(expected[name]).max()), 1e-12)


def _margins(expected: Outputs, name: str, labels: list[str]) -> NDArray[np.float64]:
    """Measure how far the first class is ahead of the second, for each row."""
    values = expected[name]
    if name not in ("probabilities", "scores"):
        return np.full(len(values), np.inf)
    if values.ndim == 1 or expected[labels[0]].ndim == 2:
        values = np.abs(values - (0.5 if name == "probabilities" else 0.0)).reshape(len(values), -1)
        return np.asarray(values.min(1), dtype=np.float64)
    ordered = np.sort(values, axis=1)
    margins: NDArray[np.float64] = ordered[:, -1] - ordered[:, -2]
    return margins


def _least_cosine(given: Outputs, expected: Outputs) -> float:
    one, other = (vectors["features"].astype(np.float64) for vectors in (given, expected))
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(1) / np.maximum(norms, 1e-300)).min())
