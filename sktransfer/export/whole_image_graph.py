"""The graph from whole images to what a segmenter's network takes: resize, border, normalise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sktransfer.export.extras import imported
from sktransfer.export.pixel_graph import normalisation, order_of_sides, resampled
from sktransfer.segmentation.whole_images import SMALLEST, fixed_size

if TYPE_CHECKING:
    import onnx

    from sktransfer.preprocessing import Preprocessing
    from sktransfer.segmentation.whole_images import ImageSize

__all__ = ["whole_image_graph"]

# Places of the image's pixels are those of `segmentation.grids.interpolation`, in float64 as there.
_GRAPH = """
<ir_version: 10, opset_import: ["": {opset}]>
pixels (uint8[n, height, width, 3] images) => (
  float[n, 3, tall, wide] normalised, double[height] rows, double[width] columns
)
<
  int64[2] smallest = {{{smallest}, {smallest}}}, int64 zero = {{0}}, int64 one = {{1}},
  int64[4] unpadded = {{0, 0, 0, 0}}, int64[1] no_channels = {{0}},
  double half = {{0.5}},
  float[3, 1, 1] scale = {{{scale}}}, float[3, 1, 1] shift = {{{shift}}}
>
{{
  size = Shape<start = 1, end = 3>(images)
  exact_size = Cast<to = 11>(size)
  {target}
  {resampled}
  seen = Identity(resampled)
  lacking = Sub(smallest, target)
  missing = Max(lacking, zero)
  pads = Concat<axis = 0>(unpadded, no_channels, missing, no_channels)
  bordered = Pad<mode = "edge">(seen, pads)
  channels_first = Transpose<perm = [0, 3, 1, 2]>(bordered)
  levels = Cast<to = 1>(channels_first)
  scaled = Mul(levels, scale)
  normalised = Add(scaled, shift)
  exact_target = Cast<to = 11>(target)
  factors = Div(exact_target, exact_size)
  {rows}
  {columns}
}}
"""

_AS_IT_IS = "target = Identity(size)"

_UNCHANGED = "resampled = Identity(images)"

_RESIZED = """{order}
  {resampled}"""

_FIXED = "target = Constant<value_ints = [{height}, {width}]>()"

_SHORTER = """side = Constant<value = double {{{side}}}>()
  least = Constant<value = double {{1}}>()
  shorter = ReduceMin<keepdims = 0>(exact_size)
  factor = Div(side, shorter)
  product = Mul(exact_size, factor)
  rounded = Round(product)
  at_least = Max(rounded, least)
  target = Cast<to = 7>(at_least)"""

_PLACES = """{name}_in_all = Gather(size, {axis})
  {name}_numbers = Range(zero, {name}_in_all, one)
  {name}_exact = Cast<to = 11>({name}_numbers)
  {name}_factor = Gather(factors, {axis})
  {name}_centres = Add({name}_exact, half)
  {name}_scaled = Mul({name}_centres, {name}_factor)
  {name} = Sub({name}_scaled, half)"""


def whole_image_graph(
    preprocessing: Preprocessing, image_size: ImageSize, opset: int
) -> onnx.ModelProto:
    """Write what happens to an image before a segmenter's network sees it as a graph.

    Parameters
    ----------
    preprocessing : Preprocessing
        Normalisation; nothing is cut off, and resizing is bilinear.
    image_size : int, (int, int) or None
        Shorter side, or height and width, of what the network sees; None leaves images as they are.
    opset : int
        Version of ONNX's operators, at least 18.

    Returns
    -------
    ModelProto
        From "images" (n, height, width, 3), uint8, to "normalised" (n, 3, tall, wide), float32, and to
        the places of the image's "rows" (height,) and "columns" (width,) in it, float64.
    """
    (parser,) = imported("onnx", "onnx.parser")
    fixed = fixed_size(image_size)
    side = image_size[0] if isinstance(image_size, list | tuple) else image_size
    if fixed is not None:
        target = _FIXED.format(height=fixed[0], width=fixed[1])
    else:
        target = _AS_IT_IS if side is None else _SHORTER.format(side=side)
    resize = _RESIZED.format(order=order_of_sides("target"), resampled=resampled("bilinear"))
    model: onnx.ModelProto = parser.parse_model(
        _GRAPH.format(
            opset=opset,
            smallest=SMALLEST,
            target=target,
            resampled=_UNCHANGED if side is None else resize,
            rows=_PLACES.format(name="rows", axis="zero"),
            columns=_PLACES.format(name="columns", axis="one"),
            **normalisation(preprocessing),
        )
    )
    return model
