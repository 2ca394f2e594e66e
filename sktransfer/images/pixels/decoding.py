"""An encoded file, or an image of Pillow of any mode, becomes RGB and upright."""

from __future__ import annotations

import io
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from sktransfer.images.pixels.arrays import array_pixels, on_white
from sktransfer.images.pixels.problems import Unusable
from sktransfer.images.pixels.quiet import quiet_pillow

__all__ = ["Payload", "damage", "decode_payload", "upright_rgb"]

Payload: TypeAlias = bytes | NDArray[np.uint8]
"""Content of one image: the encoded bytes of its file, or its RGB pixels, a C-contiguous array of
shape (height, width, 3)."""

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
    with quiet_pillow:
        image = _open(payload)
        _refuse_bomb(image)
        try:
            _shrink_while_decoding(image, min_size)
            image.load()
            return upright_rgb(image)
        except Unusable:
            raise
        except Exception as exc:
            raise Unusable(damage(payload, image.format, exc)) from exc


def upright_rgb(image: Image.Image) -> Image.Image:
    """Turn a decoded image of any mode to RGB, and as the camera was held."""
    return _to_rgb(_upright(image))


def damage(data: bytes, kind: str | None, exc: Exception) -> str:
    """Say in a few words why Pillow gave up."""
    kind = kind or _signature(data) or "image"
    if "truncated" in str(exc).lower():
        return f"is a truncated {kind}"
    return f"is a damaged {kind} ({exc or type(exc).__name__})"


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
        raise Unusable(damage(data, None, exc)) from exc


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
        return Image.fromarray(array_pixels(np.asarray(image).astype(np.uint16)))
    if image.mode == "I":  # a file that holds 16 bits, or integers that the user put in it
        pixels = np.asarray(image)
        sixteen_bits = image.format is not None and pixels.min() >= 0 and pixels.max() < 1 << 16
        return Image.fromarray(array_pixels(pixels.astype(np.uint16) if sixteen_bits else pixels))
    if image.mode == "F":
        return Image.fromarray(array_pixels(np.asarray(image)))
    if image.has_transparency_data:
        return on_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _signature(data: bytes) -> str | None:
    return next((kind for start, kind in _SIGNATURES.items() if data.startswith(start)), None)
