"""The graph from pixels of any size to what a network takes: resize, crop and normalise."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sktransfer.exceptions import ExportError
from sktransfer.export.extras import imported

if TYPE_CHECKING:
    import onnx

    from sktransfer.preprocessing import Preprocessing

__all__ = ["SEEN", "normalisation", "pixel_graph", "resampled"]

SEEN = "pixels/seen"
"""Name in a whole graph of what the network sees, in grey levels."""

_MODES = {"bilinear": "linear", "bicubic": "cubic"}

# Antialiased, on uint8 and with these attributes, ONNX Runtime's Resize rounds as Pillow does. The
# sizes and the corner of the crop are those of `Preprocessing`; Round goes to even, as Python's does.
_GRAPH = """
<ir_version: 10, opset_import: ["": {opset}]>
pixels (uint8[n, height, width, 3] images) => (float[n, 3, {crop}, {crop}] normalised)
<
  int64[2] crop = {{{crop}, {crop}}}, int64[2] resize = {{{resize}, {resize}}},
    float two = {{2}}, int64[2] axes = {{1, 2}},
  float[3] scale = {{{scale}}}, float[3] shift = {{{shift}}}
>
{{
  size = Shape<start = 1, end = 3>(images)
  equal = Equal(size, crop)
  flags = Cast<to = 7>(equal)
  flag = ReduceMin(flags)
  fits = Cast<to = 9>(flag)
  {resized}
  target = Where(fits, crop, resized)
  {resampled}
  beyond = Sub(target, crop)
  distance = Cast<to = 1>(beyond)
  middle = Div(distance, two)
  rounded = Round(middle)
  start = Cast<to = 7>(rounded)
  end = Add(start, crop)
  seen = Slice(resampled, start, end, axes)
  levels = Cast<to = 1>(seen)
  scaled = Mul(levels, scale)
  shifted = Add(scaled, shift)
  normalised = Transpose<perm = [0, 3, 1, 2]>(shifted)
}}
"""

_SHORTER = """shorter = ReduceMin(size)
  product = Mul(size, resize)
  resized = Div(product, shorter)"""

_SQUASHED = "resized = Identity(resize)"

_RESIZE = """{output} = Resize<
    mode = "{mode}", antialias = 1, exclude_outside = 1, cubic_coeff_a = -0.5, axes = [1, 2],
    coordinate_transformation_mode = "half_pixel"
  >({images}, , , {size})"""

# Both resize the width first and round; Pillow 13 takes the height first where it shrinks by more
# than twice as many pixels as the width. What is already as high, or as wide, passes unchanged.
_HEIGHT_FIRST = """excess = Sub(size, {kept})
  weights = Constant<value_ints = [1, -2]>()
  nothing = Constant<value_int = 0>()
  weighted = Mul(excess, weights)
  lead = ReduceSum<keepdims = 0>(weighted)
  leads = Greater(lead, nothing)
  excess_of_height = Gather(excess, nothing)
  shrinks = Greater(excess_of_height, nothing)
  height_first = And(leads, shrinks)
  is_height = Constant<value = bool[2] {{1, 0}}>()
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
            resampled=resampled(preprocessing.interpolation, "crop"),
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


def resampled(interpolation: str, kept: str = "target") -> str:
    """Write the nodes from "images" of "size" to "resampled" of size "target", as Pillow resizes.

    Parameters
    ----------
    interpolation : str
        Pillow's filter.
    kept : str, default="target"
        Name of the size that is left after a crop.

    Raises
    ------
    ExportError
        If the interpolation has no counterpart.
    """
    if interpolation not in _MODES:
        raise ExportError(
            f"images are resized by {interpolation!r}, which ONNX has no operator for. "
            f"Only {' and '.join(map(repr, _MODES))} can be exported: take other weights."
        )
    mode = _MODES[interpolation]
    if not _takes_the_height_first():
        return _RESIZE.format(mode=mode, images="images", output="resampled", size="target")
    lower = _RESIZE.format(mode=mode, images="images", output="lowered", size="between")
    whole = _RESIZE.format(mode=mode, images="lowered", output="resampled", size="target")
    return f"{_HEIGHT_FIRST.format(kept=kept)}{lower}\n  {whole}"


@cache
def _takes_the_height_first() -> bool:
    """Try whether this Pillow resizes the height of a tall image before its width."""
    levels = np.random.default_rng(0).integers(0, 256, (64, 8, 3), dtype=np.uint8)
    image, bicubic = Image.fromarray(levels), Image.Resampling.BICUBIC
    in_turn = image.resize((8, 16), bicubic).resize((16, 16), bicubic)
    return in_turn.tobytes() == image.resize((16, 16), bicubic).tobytes()
