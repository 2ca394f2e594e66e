"""The graph from probabilities of every so many pixels to those of all, and to the likeliest class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sktransfer.export.extras import imported

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

__all__ = ["interpolated_graph"]

# Weights are those of `segmentation.grids.weights_at`.
_GRAPH = """
<ir_version: 10, opset_import: ["": {opset}]>
masks (float[m, {n_found}] probabilities_in, double[height] rows, double[width] columns) => (
  int64[n, height, width] codes, float[n, height, width, {n_classes}] probabilities
)
<
  int64 nothing = {{0}}, int64 one = {{1}}, int64 step = {{{step}}}, int64 rest = {{{rest}}},
  int64[1] first = {{0}}, int64[1] second = {{1}}, int64[1] any = {{-1}}, int64[1] n_found = {{{n_found}}},
  double exact_step = {{{step}}}, double exact_one = {{1}}, double exact_nothing = {{0}}
>
{{
  {down}
  {across}
  n_rows = Unsqueeze(down_cells, first)
  n_columns = Unsqueeze(across_cells, first)
  shape = Concat<axis = 0>(any, n_rows, n_columns, n_found)
  cells = Reshape(probabilities_in, shape)
  of_classes = MatMul(cells, places)
  maps = Transpose<perm = [0, 3, 1, 2]>(of_classes)
  turned = Transpose(across)
  wide = MatMul(maps, turned)
  scores = MatMul(down, wide)
  codes = ArgMax<axis = 1, keepdims = 0>(scores)
  probabilities = Transpose<perm = [0, 2, 3, 1]>(scores)
}}
"""

_AXIS = """{name}_pixels = Size({given})
  {name}_more = Add({name}_pixels, rest)
  {name}_cells = Div({name}_more, step)
  {name}_range = Range(nothing, {name}_pixels, one)
  {name}_exact = Cast<to = 11>({name}_range)
  {name}_at = Div({name}_exact, exact_step)
  {name}_last = Sub({name}_cells, one)
  {name}_exact_last = Cast<to = 11>({name}_last)
  {name}_inside = Min({name}_at, {name}_exact_last)
  {name}_at_column = Unsqueeze({name}_inside, second)
  {name}_cell_range = Range(nothing, {name}_cells, one)
  {name}_exact_cells = Cast<to = 11>({name}_cell_range)
  {name}_gap = Sub({name}_at_column, {name}_exact_cells)
  {name}_distance = Abs({name}_gap)
  {name}_nearness = Sub(exact_one, {name}_distance)
  {name}_share = Max({name}_nearness, exact_nothing)
  {name} = Cast<to = 1>({name}_share)"""


def interpolated_graph(
    codes: NDArray[np.integer], n_classes: int, step: int, opset: int
) -> onnx.ModelProto:
    """Write the interpolation between classified pixels as a graph.

    Parameters
    ----------
    codes : ndarray of int of shape (n_found,)
        Class of each column of the probabilities.
    n_classes : int
        Number of classes.
    step : int
        Pixels from one classified pixel to the next.
    opset : int
        Version of ONNX's operators.

    Returns
    -------
    ModelProto
        From "probabilities_in" (n * pixels, n_found), "rows" (height,) and "columns" (width,) to
        "codes" (n, height, width) and "probabilities" (n, height, width, n_classes).
    """
    parser, numpy_helper = imported("onnx", "onnx.parser", "onnx.numpy_helper")
    model: onnx.ModelProto = parser.parse_model(
        _GRAPH.format(
            opset=opset,
            n_found=len(codes),
            n_classes=n_classes,
            step=step,
            rest=step - 1,
            down=_AXIS.format(name="down", given="rows"),
            across=_AXIS.format(name="across", given="columns"),
        )
    )
    places = np.eye(n_classes, dtype=np.float32)[codes]
    model.graph.initializer.append(numpy_helper.from_array(places, "places"))
    return model
