"""One image in an array of any layout and dtype becomes RGB pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from sktransfer.images.pixels.narrow import NEAR_BLACK, Notice, nobody, notice_narrow
from sktransfer.images.pixels.problems import Unusable

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["array_pixels", "as_numpy", "channel_axis", "on_white"]

_N_CHANNELS = (1, 3, 4)  # grey, RGB, RGB and alpha
_WHITE = (255, 255, 255, 255)
_NUMPY_FLOATS = (torch.float16, torch.float32, torch.float64)
_ROUNDING = 1e-5  # how far a float pixel may leave 0..1 by rounding errors alone


def as_numpy(array: NDArray[np.generic] | torch.Tensor) -> NDArray[np.generic]:
    """Convert an array or a tensor on any device to a plain array, without a copy if possible.

    Raises
    ------
    Unusable
        If a tensor has no values that an array could hold, or an array masks some of its own.
    """
    if isinstance(array, torch.Tensor):
        return _tensor_as_numpy(array)
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        n_masked = int(np.ma.getmaskarray(array).sum())
        raise Unusable(
            f"has {n_masked} masked pixels, and a mask has no meaning here",
            "Fill them in, for example by X.filled(0)",
        )
    return np.asarray(array)


def _tensor_as_numpy(tensor: torch.Tensor) -> NDArray[np.generic]:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        kind = "quantized" if tensor.is_quantized else str(tensor.layout).removeprefix("torch.")
        where = "on the device 'meta'" if tensor.is_meta else f"of the kind {kind}"
        raise Unusable(f"is a tensor {where}", "Convert it to a dense tensor that holds its values")
    if tensor.dtype.is_floating_point and tensor.dtype not in _NUMPY_FLOATS:
        tensor = tensor.float()
    try:
        return tensor.numpy(force=True)
    except (TypeError, RuntimeError) as exc:
        if isinstance(exc, torch.cuda.OutOfMemoryError):
            raise
        raise Unusable(
            f"is a tensor of {tensor.dtype} that is no array ({exc})", "Convert it to torch.uint8"
        ) from exc


def channel_axis(shape: tuple[int, ...]) -> int | None:
    """Say which axis of one image of this shape holds its channels.

    Three dimensions are (H, W, C) if the last is 1, 3 or 4, even if the first is too, otherwise
    (C, H, W).

    Returns
    -------
    int or None
        None if the image has two dimensions: it is grey.

    Raises
    ------
    Unusable
        If no image has this shape.

    Examples
    --------
    >>> channel_axis((28, 28)), channel_axis((32, 32, 3)), channel_axis((3, 32, 32))
    (None, 2, 0)
    >>> channel_axis((3, 32, 3))
    2
    """
    if 0 in shape:
        raise Unusable(f"has the shape {shape} and so no pixels", "Remove it")
    if len(shape) == 2:
        return None
    if len(shape) == 3 and shape[2] in _N_CHANNELS:
        return 2
    if len(shape) == 3 and shape[0] in _N_CHANNELS:
        return 0
    raise Unusable(
        f"has the shape {shape}, not (H, W), (H, W, C) or (C, H, W) with C of 1, 3 or 4",
        "Reshape it",
    )


def array_pixels(array: NDArray[np.generic], notice: Notice = nobody) -> NDArray[np.uint8]:
    """Return the pixels of one array, whatever its layout and dtype."""
    axis = channel_axis(array.shape)
    pixels = _to_bytes(array)
    notice_narrow(array, notice)
    if axis is None:
        pixels = pixels[..., None]
    elif axis == 0:
        pixels = np.moveaxis(pixels, 0, -1)  # (height, width, channels)
    if pixels.shape[-1] == 1:
        pixels = np.repeat(pixels, 3, axis=-1)
    elif pixels.shape[-1] == 4:
        pixels = np.asarray(on_white(Image.fromarray(np.ascontiguousarray(pixels))))
    return np.ascontiguousarray(pixels)  # (height, width, 3)


def on_white(image: Image.Image) -> Image.Image:
    """Composite an image with transparency on white."""
    if image.mode == "La":  # premultiplied, from which Pillow converts to its sibling only
        image = image.convert("LA")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, _WHITE), image).convert("RGB")


def _to_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale values to 0..255: floats from 0..1, 16 bits by their upper byte, bool by 255."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        # The upper byte is exact for both ways to widen 8 bits, and what Pillow does with colours.
        return (array >> 8).astype(np.uint8)
    if array.dtype.kind == "f":
        return _floats_to_bytes(array)
    if array.dtype.kind not in "iu":
        raise Unusable(f"has the dtype {array.dtype}, which is no number", "Convert it to uint8")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > 255:
        raise Unusable(
            f"has {array.dtype} values from {low} to {high}, outside 0..255",
            "Scale them, or convert pixels of 16 bits to uint16",
        )
    return array.astype(np.uint8)


def _floats_to_bytes(array: NDArray[np.generic]) -> NDArray[np.uint8]:
    with np.errstate(all="ignore"):  # some builds of NumPy warn of NaN here
        low, high = float(array.min()), float(array.max())
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # also if they are NaN
        raise Unusable(*_outside_unit_interval(low, high))
    levels: NDArray[np.generic] = np.rint(array * 255).clip(0, 255)
    return levels.astype(np.uint8)


def _outside_unit_interval(low: float, high: float) -> tuple[str, str]:
    if np.isnan(low):
        return "contains NaN", "Fill in its values"
    problem = f"has float values from {low:.4g} to {high:.4g}, outside 0..1"
    if low < 0:
        return problem, "Pass the picture before it was normalised"
    if high <= 1.1:
        return problem, "Clip them, for example by X.clip(0, 1)"
    if high <= NEAR_BLACK:
        return problem, "Divide them by the value of white: 16 for scikit-learn's digits"
    if high <= 255:
        return problem, "Divide them by 255, or convert them to uint8"
    return problem, "Scale them to 0..1: divide them by the value of white"
