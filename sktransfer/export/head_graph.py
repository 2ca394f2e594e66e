"""The graph of what follows the features: estimators of scikit-learn, converted by skl2onnx."""

from __future__ import annotations

import copy
import itertools
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline

from sktransfer.exceptions import ExportError
from sktransfer.export.extras import imported

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

__all__ = ["head_graph", "head_outputs", "is_stepwise"]

_STEPWISE = {"TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble", "TopK"}
_INT64 = 7  # as ONNX numbers its dtypes


def head_outputs(head: Any) -> tuple[str, ...]:
    """Name the outputs of an estimator that takes features."""
    if not hasattr(head, "predict"):
        return ("features",)
    if not is_classifier(head):
        return ("prediction",)
    for method, name in (("predict_proba", "probabilities"), ("decision_function", "scores")):
        if hasattr(head, method):
            return ("label", name)
    return ("label",)


def head_graph(head: Any, n_features: int, opset: int) -> onnx.ModelProto:
    """Write a fitted estimator as a graph.

    Parameters
    ----------
    head : estimator
        A Pipeline, a classifier, a regressor or a transformer of numbers.
    n_features : int
        Number of columns that it takes.
    opset : int
        Version of ONNX's operators.

    Returns
    -------
    ModelProto
        From "features" (n, n_features), float32, to the outputs that `head_outputs` names, in the
        shapes that scikit-learn gives them.

    Raises
    ------
    ExportError
        If a step has no converter.
    """
    (data_types,) = imported("onnx", "skl2onnx.common.data_types")
    outputs = head_outputs(head)
    kind = data_types.FloatTensorType([None, n_features])
    model = _converted(head, [("features", kind)], opset, raw_scores="scores" in outputs)
    return _named(model, outputs, _dimensions(head, outputs, n_features))


def is_stepwise(model: onnx.ModelProto) -> bool:
    """Tell whether a graph's outputs jump where an input crosses a threshold, as trees' do."""
    return any(node.op_type in _STEPWISE for node in model.graph.node)


def _converted(head: Any, types: list[Any], opset: int, *, raw_scores: bool) -> onnx.ModelProto:
    """Call skl2onnx with those of the options that the last step knows."""
    skl2onnx, exceptions = imported("onnx", "skl2onnx", "skl2onnx.common.exceptions")
    last = head.steps[-1][1] if isinstance(head, Pipeline) else head
    for options in _options(raw_scores=raw_scores):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model: onnx.ModelProto = skl2onnx.convert_sklearn(
                    head,
                    initial_types=types,
                    target_opset={"": opset, "ai.onnx.ml": 3},
                    options={id(last): options},
                    **_corrections(),
                )
        except NameError:  # an option that this estimator does not have
            continue
        except (RuntimeError, ValueError, TypeError, NotImplementedError, AttributeError) as exc:
            missing = isinstance(
                exc, exceptions.MissingShapeCalculator | exceptions.MissingConverter
            )
            raise ExportError(_explain(head, exc, missing=missing)) from exc
        return model
    raise ExportError(_explain(head, NameError("no options fit"), missing=False))


def _options(*, raw_scores: bool) -> Iterator[dict[str, bool]]:
    """List sets of options, from the most to none."""
    wanted = {"zipmap": False, **({"raw_scores": True} if raw_scores else {})}
    for n_options in range(len(wanted), -1, -1):
        for names in itertools.combinations(reversed(wanted), n_options):
            yield {name: wanted[name] for name in names}


def _explain(head: Any, exc: Exception, *, missing: bool) -> str:
    steps = head.steps if isinstance(head, Pipeline) else [("", head)]
    names = ", ".join(f"{name!r} ({type(step).__name__})" if name else type(step).__name__
                      for name, step in steps)  # fmt: skip
    reason = str(exc).strip().splitlines()[0]
    if missing:
        reason = f"no converter is known for one of them: {reason}"
    return (
        f"the steps after the features, {names}, cannot be written as a graph ({reason}). Take "
        "estimators that skl2onnx converts, or register a converter by "
        "skl2onnx.update_registered_converter, or pass the model on with save_model."
    )


def _corrections() -> dict[str, Any]:
    """Correct what skl2onnx 1.20 writes for histogram boosting: flags, where ONNX wants ints."""
    (registration,) = imported("onnx", "skl2onnx.common._registration")
    functions = {}
    for kind in (HistGradientBoostingClassifier, HistGradientBoostingRegressor):
        convert = registration.get_converter(f"Sklearn{kind.__name__}")

        def converter(scope: Any, operator: Any, container: Any, convert: Any = convert) -> None:
            convert(scope, operator, _IntegerFlags(container))

        functions[kind] = converter
    return {"custom_conversion_functions": functions}


class _IntegerFlags:
    """A container of nodes, in whose attributes lists of bools become ints."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, *args: Any, **attributes: Any) -> Any:
        """Add a node with plain attributes."""
        plain = {
            name: [int(v) if isinstance(v, bool | np.bool_) else v for v in value]
            if isinstance(value, list)
            else value
            for name, value in attributes.items()
        }
        return self._container.add_node(*args, **plain)


def _dimensions(head: Any, outputs: tuple[str, ...], n_features: int) -> dict[str, int]:
    """Ask the estimator how many axes each of its outputs has."""
    methods = {
        "label": "predict",
        "probabilities": "predict_proba",
        "scores": "decision_function",
        "prediction": "predict",
        "features": "transform",
    }
    rows = np.zeros((2, n_features), dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: np.ndim(getattr(head, methods[name])(rows)) for name in outputs}


def _named(
    model: onnx.ModelProto, outputs: tuple[str, ...], dimensions: dict[str, int]
) -> onnx.ModelProto:
    """Give the outputs our names and scikit-learn's shapes."""
    compose, helper = imported("onnx", "onnx.compose", "onnx.helper")
    model = compose.add_prefix(model, "head/", rename_inputs=False)
    graph = model.graph
    given = [copy.deepcopy(output) for output in graph.output][: len(outputs)]
    del graph.output[:]
    for value, name in zip(given, outputs, strict=True):
        shape = value.type.tensor_type.shape.dim
        if dimensions[name] == 1 and len(shape) == 2:
            # Of two scores that of the second class is the last.
            index = helper.make_tensor(f"head/column_of_{name}", _INT64, [], [-1])
            graph.initializer.append(index)
            graph.node.append(helper.make_node("Gather", [value.name, index.name], [name], axis=1))
            del shape[1:]
        else:
            graph.node.append(helper.make_node("Identity", [value.name], [name]))
        value.name = name
        graph.output.append(value)
    return model
