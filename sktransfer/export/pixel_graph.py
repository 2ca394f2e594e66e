"""The graph from pixels of any size to what a network takes: resize, crop and normalise."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sktransfer.exceptions import ExportError
from sktransfer.export.extras import imported
from sktransfer.export.matrix_resize import LARGEST, matrix_resize

if TYPE_CHECKING:
    import onnx

    from sktransfer.preprocessing import Preprocessing

__all__ = ["SEEN", "normalisation", "order_of_sides", "pixel_graph", "resampled"]

SEEN = "pixels/seen"
"""Name in a whole graph of what the network sees, in grey levels."""

_MODES = {"bilinear": "linear", "bicubic": "cubic"}

# The sizes and the corner of the crop are those of `Preprocessing`; Round goes to even, as Python's
# does. Branches name no tensor of the graph but those that the condition is made of, for skl2onnx
# sorts nodes without looking into them.
_GRAPH = """
<ir_version: 10, opset_import: ["": {opset}]>
pixels (uint8[n, height, width, 3] images) => (float[n, 3, {crop}, {crop}] normalised)
<
  int64[2] crop = {{{crop}, {crop}}}, int64[2] resize = {{{resize}, {resize}}},
  int64 largest = {{{largest}}},
  float[3, 1, 1] scale = {{{scale}}}, float[3, 1, 1] shift = {{{shift}}}
>
{{
  size = Shape<start = 1, end = 3>(images)
  equal = Equal(size, crop)
  flags = Cast<to = 7>(equal)
  flag = ReduceMin<keepdims = 0>(flags)
  fits = Cast<to = 9>(flag)
  {resized}
  target = Where(fits, crop, resized)
  n_pixels = ReduceProd<keepdims = 0>(size)
  is_large = Greater(n_pixels, largest)
  has_size = Equal(size, target)
  size_flags = Cast<to = 7>(has_size)
  size_flag = ReduceMin<keepdims = 0>(size_flags)
  keeps_size = Cast<to = 9>(size_flag)
  {order}
  excluded = Or(is_large, keeps_size)
  by_operator = Or(excluded, height_first)
  seen = If(by_operator) <
    then_branch = operator () => (uint8[batch, {crop}, {crop}, 3] cut) {{
      {start}
      {resampled}
      two_axes = Constant<value_ints = [1, 2]>()
      end = Add(start, kept)
      cut = Slice(resampled, start, end, two_axes)
    }},
    else_branch = matrices () => (uint8[batch, {crop}, {crop}, 3] multiplied) {{
      {start}
      {multiplied}
    }}
  >
  channels_first = Transpose<perm = [0, 3, 1, 2]>(seen)
  levels = Cast<to = 1>(channels_first)
  scaled = Mul(levels, scale)
  normalised = Add(scaled, shift)
}}
"""

_START = """kept = Constant<value_ints = [{crop}, {crop}]>()
      halves = Constant<value = float {{2}}>()
      beyond = Sub(target, kept)
      distance = Cast<to = 1>(beyond)
      middle = Div(distance, halves)
      rounded = Round(middle)
      start = Cast<to = 7>(rounded)"""

_SHORTER = """shorter = ReduceMin(size)
  product = Mul(size, resize)
  resized = Div(product, shorter)"""

_SQUASHED = "resized = Identity(resize)"

# Antialiased, on uint8 and with these attributes, ONNX Runtime's Resize rounds as Pillow does.
_RESIZE = """{output} = Resize<
    mode = "{mode}", antialias = 1, exclude_outside = 1, cubic_coeff_a = -0.5, axes = [1, 2],
    coordinate_transformation_mode = "half_pixel"
  >({images}, , , {size})"""

# Both resize the width first and round; Pillow 13 takes the height first where it shrinks by more
# than twice as many pixels as the width. What is already as high, or as wide, passes unchanged.
_HEIGHT_FIRST = """excess = Sub(size, {kept})
  once_and_twice = Constant<value_ints = [1, -2]>()
  height_at = Constant<value_int = 0>()
  weighted = Mul(excess, once_and_twice)
  lead = ReduceSum<keepdims = 0>(weighted)
  leads = Greater(lead, height_at)
  excess_of_height = Gather(excess, height_at)
  shrinks = Greater(excess_of_height, height_at)
  height_first = And(leads, shrinks)"""

_WIDTH_FIRST = "height_first = Constant<value = bool {0}>()"

_LOWERED = """is_height = Constant<value = bool[2] {1, 0}>()
  lower = Where(is_height, target, size)
  between = Where(height_first, lower, size)
  """


def pixel_graph(preprocessing: Preprocessing, opset: int) -> onnx.ModelProto:
    """Write the preprocessing of an image as a graph.

    Parameters
    ----------
    preprocessing : Preprocessing
        Resize, crop and normalisation.
    opset : int
        Version of ONNX's operators, at least 18.

    Returns
    -------
    ModelProto
        From "images" (n, height, width, 3), uint8, to "normalised" (n, 3, crop, crop), float32.

    Raises
    ------
    ExportError
        If the interpolation has no counterpart.
    """
    (parser,) = imported("onnx", "onnx.parser")
    model: onnx.ModelProto = parser.parse_model(
        _GRAPH.format(
            opset=opset,
            crop=preprocessing.crop,
            resize=preprocessing.resize,
            largest=LARGEST,
            order=order_of_sides("crop"),
            start=_START.format(crop=preprocessing.crop),
            resampled=resampled(preprocessing.interpolation),
            multiplied=matrix_resize(
                _mode_of(preprocessing.interpolation), preprocessing.crop, "multiplied"
            ),
            resized=_SHORTER if preprocessing.fit == "shorter" else _SQUASHED,
            **normalisation(preprocessing),
        )
    )
    return model


def normalisation(preprocessing: Preprocessing) -> dict[str, str]:
    """Write "scale" and "shift", from levels to what a network takes."""
    pairs = list(zip(preprocessing.mean, preprocessing.std, strict=True))
    return {
        "scale": ", ".join(f"{1 / (255 * std):.9g}" for _, std in pairs),
        "shift": ", ".join(f"{-mean / std:.9g}" for mean, std in pairs),
    }


def order_of_sides(kept: str) -> str:
    """Write the nodes from "size" to "height_first": which side is resized first.

    Parameters
    ----------
    kept : str
        Name of the size that is left after a crop.
    """
    return _HEIGHT_FIRST.format(kept=kept) if _takes_the_height_first() else _WIDTH_FIRST


def resampled(interpolation: str) -> str:
    """Write the nodes from "images" of "size" to "resampled" of size "target", as Pillow resizes.

    They take "height_first" too.

    Parameters
    ----------
    interpolation : str
        Pillow's filter.

    Raises
    ------
    ExportError
        If the interpolation has no counterpart.
    """
    mode = _mode_of(interpolation)
    if not _takes_the_height_first():
        return _RESIZE.format(mode=mode, images="images", output="resampled", size="target")
    lower = _RESIZE.format(mode=mode, images="images", output="lowered", size="between")
    whole = _RESIZE.format(mode=mode, images="lowered", output="resampled", size="target")
    return f"{_LOWERED}{lower}\n  {whole}"


def _mode_of(interpolation: str) -> str:
    if interpolation not in _MODES:
        raise ExportError(
            f"images are resized by {interpolation!r}, which ONNX has no operator for. "
            f"Only {' and '.join(map(repr, _MODES))} can be exported: take other weights."
        )
    return _MODES[interpolation]


@cache
def _takes_the_height_first() -> bool:
    """Try whether this Pillow resizes the height of a tall image before its width."""
    levels = np.random.default_rng(0).integers(0, 256, (64, 8, 3), dtype=np.uint8)
    image, bicubic = Image.fromarray(levels), Image.Resampling.BICUBIC
    in_turn = image.resize((8, 16), bicubic).resize((16, 16), bicubic)
    return in_turn.tobytes() == image.resize((16, 16), bicubic).tobytes()
