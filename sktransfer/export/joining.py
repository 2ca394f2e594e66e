"""Graphs that take each other's output, joined to one; and the names of classes in a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sktransfer.exceptions import ExportError
from sktransfer.export.extras import imported

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import onnx
    from numpy.typing import NDArray

__all__ = ["joined", "label_graph"]

_IR_VERSION: Final = 10  # of the format: graphs of one version can be joined, and no others
_INT64, _FLOAT, _STRING = 7, 1, 8  # as ONNX numbers its dtypes

_FIRST = """
<ir_version: 10, opset_import: ["": {opset}]>
labels (float[n, {n}] probabilities_in) => ({dtype}[n] label, float[n, {n}] probabilities)
{{
  place = ArgMax<axis = 1, keepdims = 0>(probabilities_in)
  label = Gather(classes, place)
  probabilities = Identity(probabilities_in)
}}
"""

_MASK = """
<ir_version: 10, opset_import: ["": {opset}]>
labels (int64[n, height, width] codes, float[n, height, width, {n}] probabilities_in)
  => ({dtype}[n, height, width] mask, float[n, height, width, {n}] probabilities)
{{
  mask = Gather(classes, codes)
  probabilities = Identity(probabilities_in)
}}
"""

_EACH = """
<ir_version: 10, opset_import: ["": {opset}]>
labels (float[n, {n}] probabilities_in) => (int64[n, {n}] label, float[n, {n}] probabilities)
<float half = {{0.5}}>
{{
  above = Greater(probabilities_in, half)
  label = Cast<to = 7>(above)
  probabilities = Identity(probabilities_in)
}}
"""


def joined(graphs: Sequence[onnx.ModelProto], prefixes: Sequence[str]) -> onnx.ModelProto:
    """Join graphs, each of which takes outputs of those before it.

    Parameters
    ----------
    graphs : sequence of ModelProto
        Graphs whose inputs have the names of outputs before them, or these and "_in".
    prefixes : sequence of str
        Prefix of the names within each graph.

    Returns
    -------
    ModelProto
        From the inputs of the first graph to the outputs of the last, under the names that they
        have there.
    """
    (compose,) = imported("onnx", "onnx.compose")
    whole: Any = None
    sources: dict[str, str] = {}  # latest output of each name, and its name in the whole
    for number, (graph, prefix) in enumerate(zip(graphs, prefixes, strict=True)):
        last = number == len(graphs) - 1
        part = compose.add_prefix(graph, prefix, rename_inputs=number > 0, rename_outputs=not last)
        part.ir_version = _IR_VERSION
        if whole is None:
            whole = part
        else:
            names = [value.name.removesuffix("_in") for value in graph.graph.input]
            ends = [(sources[n], put.name) for n, put in zip(names, part.graph.input, strict=True)]
            _use_same_versions(whole, part)
            kept = [*sources.values(), *(output.name for output in part.graph.output)]
            whole = compose.merge_models(whole, part, io_map=ends, outputs=kept)
        outputs = zip(graph.graph.output, part.graph.output, strict=True)
        sources |= {before.name: after.name for before, after in outputs}
    results = {output.name for output in graphs[-1].graph.output}
    for output in [output for output in whole.graph.output if output.name not in results]:
        whole.graph.output.remove(output)
    model: onnx.ModelProto = whole
    return model


def label_graph(
    classes: NDArray[np.generic], opset: int, *, several: bool = False, of_pixels: bool = False
) -> onnx.ModelProto:
    """Write the choice of labels by probabilities as a graph.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Labels: strings, integers, bools or floats.
    opset : int
        Version of ONNX's operators.
    several : bool, default=False
        Whether an image has several labels: a matrix of 0 and 1.
    of_pixels : bool, default=False
        Whether every pixel has a label, whose place among `classes` is known.

    Returns
    -------
    ModelProto
        From "probabilities_in" (n, n_classes) to "label" and "probabilities"; of pixels, from "codes"
        (n, height, width) and "probabilities_in" (n, height, width, n_classes) to "mask" and
        "probabilities".

    Raises
    ------
    ExportError
        If ONNX has no such labels.
    """
    parser, helper = imported("onnx", "onnx.parser", "onnx.helper")
    if several:
        matrix: onnx.ModelProto = parser.parse_model(_EACH.format(opset=opset, n=len(classes)))
        return matrix
    kind, dtype, values = _as_tensor_values(classes)
    text = (_MASK if of_pixels else _FIRST).format(opset=opset, n=len(classes), dtype=dtype)
    model: onnx.ModelProto = parser.parse_model(text)
    model.graph.initializer.append(helper.make_tensor("classes", kind, [len(values)], values))
    return model


def _as_tensor_values(classes: NDArray[np.generic]) -> tuple[int, str, list[Any]]:
    """Say in which dtype ONNX holds labels, and list them."""
    values = classes.tolist()
    if all(isinstance(value, str) for value in values):
        return _STRING, "string", [value.encode() for value in values]
    if classes.dtype.kind in "biu" or all(isinstance(value, int) for value in values):
        return _INT64, "int64", [int(value) for value in values]
    if classes.dtype.kind == "f":
        return _FLOAT, "float", values
    raise ExportError(
        f"the labels {values[:3]!r} of dtype {classes.dtype} have no counterpart in ONNX. Fit with "
        "labels that are strings or whole numbers."
    )


def _use_same_versions(one: onnx.ModelProto, other: onnx.ModelProto) -> None:
    """Give both graphs the higher version of each domain of operators, each once."""
    (helper,) = imported("onnx", "onnx.helper")
    versions: dict[str, int] = {}
    for model in (one, other):
        for entry in model.opset_import:
            versions[entry.domain] = max(entry.version, versions.get(entry.domain, 0))
    for model in (one, other):
        del model.opset_import[:]
        model.opset_import.extend(helper.make_opsetid(*pair) for pair in versions.items())
