"""One image of any kind, from a path to a tensor, becomes RGB pixels by one decode path.

Two steps, so that a store can look an image up by its content before anybody decodes it:
`payload_of` fetches the content (a file's bytes, or an array's pixels), `decode_payload` turns it
into an RGB image. Whatever goes wrong with the image is an `Unusable`, to which the caller adds
which image it is. Both steps may run in several threads at once.
"""

from __future__ import annotations

import io
import math
import os
import re
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = [
    "Payload",
    "Unusable",
    "as_numpy",
    "channel_axis",
    "decode_payload",
    "is_missing",
    "payload_of",
]

Payload: TypeAlias = bytes | NDArray[np.uint8]
"""Content of one image: the encoded bytes of its file, or its RGB pixels, a C-contiguous array of
shape (height, width, 3)."""

_N_CHANNELS = (1, 3, 4)  # grey, RGB, RGB and alpha
_WHITE = (255, 255, 255, 255)
_ROUNDING = 1e-5  # how far a float pixel may leave 0..1 by rounding errors alone
_SIGNATURES = {
    b"\xff\xd8": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"RIFF": "WEBP",
}
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Unusable(Exception):  # noqa: N818 - never leaves the package: the caller adds row and path
    """An image cannot be used; `problem` completes "image 3 ...", `remedy` is what to do.

    Parameters
    ----------
    problem : str
        The end of a sentence whose subject is the image, without a full stop.
    remedy : str
        A request, without a full stop.
    """

    def __init__(self, problem: str, remedy: str = "Replace the file") -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy


def payload_of(item: object) -> Payload:
    """Fetch the content of one image, without decoding it if it is a file.

    Parameters
    ----------
    item : path, bytes, PIL image, array or tensor
        A str is always a path and bytes are always an encoded file. Arrays and tensors have one of
        the shapes (H, W), (H, W, C) or (C, H, W) and the dtypes that `images` documents.

    Returns
    -------
    bytes or ndarray of shape (height, width, 3), dtype uint8
        A path and the bytes of its file give the same, and so do equal pixels in any array,
        tensor or PIL image. May share memory with `item`.

    Raises
    ------
    Unusable
        If there is no such file, or no image in `item`.
    """
    if isinstance(item, (str, os.PathLike)):
        return _file_bytes(Path(os.fsdecode(item)))
    if isinstance(item, (bytes, bytearray, memoryview)):
        return _not_empty(bytes(item), "an empty byte string")
    if isinstance(item, Image.Image):
        return _image_pixels(item)
    if isinstance(item, (np.ndarray, torch.Tensor)):
        return _array_pixels(as_numpy(item))
    if is_missing(item):
        raise Unusable(f"is missing ({item})", "Remove the row")
    raise Unusable(
        f"is of type {type(item).__name__}, not a path, encoded bytes, a PIL image or an array",
        "Convert it to one of these",
    )


def decode_payload(payload: Payload, min_size: int | None = None) -> Image.Image:
    """Turn the content of an image into the image, RGB and upright.

    Parameters
    ----------
    payload : bytes or ndarray
        As `payload_of` returns it.
    min_size : int, optional
        The shorter side that the caller will shrink the image to. Lets libjpeg shrink while it
        decodes a JPEG at least four times as large, to no less than twice this size.

    Returns
    -------
    PIL.Image.Image
        Of mode RGB.

    Raises
    ------
    Unusable
        If the bytes are no image, a damaged one, or one of more than ``PIL.Image.MAX_IMAGE_PIXELS``
        pixels.
    """
    if isinstance(payload, np.ndarray):
        return Image.fromarray(payload)
    with _quiet_pillow:
        image = _open(payload)
        _refuse_bomb(image)
        try:
            _shrink_while_decoding(image, min_size)
            image.load()
            return _to_rgb(_upright(image))
        except Unusable:
            raise
        except Exception as exc:
            raise Unusable(_damage(payload, image.format, exc)) from exc


def as_numpy(array: NDArray[Any] | torch.Tensor) -> NDArray[Any]:
    """Convert an array or a tensor on any device to a plain array, without a copy if possible."""
    if isinstance(array, torch.Tensor):
        if array.dtype == torch.bfloat16:  # which NumPy does not know
            array = array.float()
        return array.numpy(force=True)
    return np.asarray(array)


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


def is_missing(item: object) -> bool:
    """Say whether this is None, NaN or pandas' NA."""
    is_nan = isinstance(item, float) and math.isnan(item)
    return item is None or is_nan or type(item).__name__ in {"NAType", "NaTType"}


def _file_bytes(path: Path) -> bytes:
    """Read a file, naming what is in its place if there is none."""
    try:
        return _not_empty(path.read_bytes(), "an empty file")
    except FileNotFoundError as exc:
        raise Unusable("does not exist", "Correct the path") from exc
    except (OSError, ValueError) as exc:
        if path.is_dir():
            raise Unusable("is a directory", "Pass the paths of the files in it") from exc
        reason = getattr(exc, "strerror", None) or exc
        raise Unusable(f"cannot be read ({reason})", "Correct the path") from exc


def _not_empty(data: bytes, name: str) -> bytes:
    if not data:
        raise Unusable(f"is {name}")
    return data


def _image_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Return the pixels of the user's image, which may be a file that is still to be decoded."""
    try:
        # Two threads must not decode one file at once, and a list may hold an image twice.
        with _quiet_pillow, _LOCKS[id(image) // 64 % len(_LOCKS)]:
            image.load()
            return np.ascontiguousarray(np.asarray(_to_rgb(_upright(image))))
    except Unusable:
        raise
    except Exception as exc:
        problem = _damage(b"", image.format or "PIL image", exc)
        raise Unusable(problem, "Replace the image") from exc


def _array_pixels(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the pixels of one array, whatever its layout and dtype."""
    axis = channel_axis(array.shape)
    pixels = _to_bytes(array)
    if axis is None:
        pixels = pixels[..., None]
    elif axis == 0:
        pixels = np.moveaxis(pixels, 0, -1)  # (height, width, channels)
    if pixels.shape[-1] == 1:
        pixels = np.repeat(pixels, 3, axis=-1)
    elif pixels.shape[-1] == 4:
        pixels = np.asarray(_on_white(Image.fromarray(np.ascontiguousarray(pixels))))
    return np.ascontiguousarray(pixels)  # (height, width, 3)


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


def _floats_to_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    with np.errstate(all="ignore"):  # some builds of NumPy warn of NaN here
        low, high = float(array.min()), float(array.max())
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # also if they are NaN
        raise Unusable(*_outside_unit_interval(low, high))
    levels: NDArray[Any] = np.rint(array * 255).clip(0, 255)
    return levels.astype(np.uint8)


def _outside_unit_interval(low: float, high: float) -> tuple[str, str]:
    if np.isnan(low):
        return "contains NaN", "Fill in its values"
    problem = f"has float values from {low:.4g} to {high:.4g}, outside 0..1"
    if low >= 0 and high <= 255:
        return problem, "Divide them by 255, or convert them to uint8"
    if low < 0:
        return problem, "Pass the picture before it was normalised"
    return problem, "Scale them to 0..1"


def _open(data: bytes) -> Image.Image:
    """Read the header."""
    try:
        return Image.open(io.BytesIO(data))
    except UnidentifiedImageError as exc:
        kind = _signature(data)
        if kind is not None:
            raise Unusable(f"is a truncated or damaged {kind}") from exc
        raise Unusable("is not an image, or of a kind that Pillow cannot read") from exc
    except Image.DecompressionBombError as exc:
        raise Unusable(*_bomb(f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0)}")) from exc
    except Exception as exc:
        raise Unusable(_damage(data, None, exc)) from exc


def _refuse_bomb(image: Image.Image) -> None:
    n_pixels = image.width * image.height
    if Image.MAX_IMAGE_PIXELS is not None and n_pixels > Image.MAX_IMAGE_PIXELS:
        raise Unusable(*_bomb(str(n_pixels)))


def _bomb(n_pixels: str) -> tuple[str, str]:
    problem = (
        f"would have {n_pixels} pixels when decoded, while PIL.Image.MAX_IMAGE_PIXELS allows "
        f"{Image.MAX_IMAGE_PIXELS}: it may be a decompression bomb"
    )
    return problem, "Raise that limit if you trust the file"


def _shrink_while_decoding(image: Image.Image, min_size: int | None) -> None:
    """Let libjpeg halve the image as long as its shorter side stays at least twice `min_size`."""
    if min_size is not None and image.format in {"JPEG", "MPO"}:
        image.draft(None, (2 * min_size, 2 * min_size))


def _upright(image: Image.Image) -> Image.Image:
    """Apply the orientation that the camera noted.

    Pillow's own `exif_transpose` also writes the notes again, which fails where they are damaged.
    """
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001 - damaged notes say nothing about the pixels
        return image
    method = _UPRIGHT.get(orientation)
    return image if method is None else image.transpose(method)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray(_array_pixels(np.asarray(image).astype(np.uint16)))
    if image.mode == "I":  # a file that holds 16 bits, or integers that the user put in it
        pixels = np.asarray(image)
        sixteen_bits = image.format is not None and pixels.min() >= 0 and pixels.max() < 1 << 16
        return Image.fromarray(_array_pixels(pixels.astype(np.uint16) if sixteen_bits else pixels))
    if image.mode == "F":
        return Image.fromarray(_array_pixels(np.asarray(image)))
    if image.has_transparency_data:
        return _on_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode == "La":  # premultiplied, from which Pillow converts to its sibling only
        image = image.convert("LA")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, _WHITE), image).convert("RGB")


def _damage(data: bytes, kind: str | None, exc: Exception) -> str:
    """Say in a few words why Pillow gave up."""
    kind = kind or _signature(data) or "image"
    if "truncated" in str(exc).lower():
        return f"is a truncated {kind}"
    return f"is a damaged {kind} ({exc or type(exc).__name__})"


def _signature(data: bytes) -> str | None:
    return next((kind for start, kind in _SIGNATURES.items() if data.startswith(start)), None)


class _QuietPillow:
    """Silence Pillow's warnings while at least one thread is inside.

    Pillow warns of damaged camera notes, of odd palettes and of bombs, which are either harmless or
    raised by us. `warnings.catch_warnings` puts back the filters that it found, so threads that
    overlap would leave theirs behind; this takes out only the one filter that it put in.
    """

    def __init__(self) -> None:
        self._filter = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
        self._lock = threading.Lock()
        self._n_inside = 0

    def __enter__(self) -> None:
        with self._lock:
            self._n_inside += 1
            filters = cast("list[object]", warnings.filters)
            if not filters or filters[0] is not self._filter:
                filters.insert(0, self._filter)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                filters = cast("list[object]", warnings.filters)
                filters[:] = [entry for entry in filters if entry is not self._filter]


_quiet_pillow = _QuietPillow()
_LOCKS = tuple(threading.Lock() for _ in range(64))
