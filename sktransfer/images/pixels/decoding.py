"""An encoded file, or an image of Pillow of any mode, becomes RGB and upright."""

from __future__ import annotations

import io
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from sktransfer.formats import readable_formats
from sktransfer.images.pixels.arrays import array_pixels, on_white
from sktransfer.images.pixels.files import is_shortage
from sktransfer.images.pixels.grey import deep_grey_pixels
from sktransfer.images.pixels.narrow import Notice, nobody
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
}

_NO_IMAGES = {
    b"%!": "PostScript, which is not opened because Pillow hands it to Ghostscript",
    b"\xc5\xd0\xd3\xc6": "PostScript, which is not opened because Pillow hands it to Ghostscript",
    b"%PDF": "a PDF",
    b"RIFF": "a sound or a film",
    b"ID3": "a sound",
    b"OggS": "a sound or a film",
    b"fLaC": "a sound",
    b"PK\x03\x04": "a zip archive, or an office document",
    b"\x1f\x8b": "a compressed archive",
}

_READERS = dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1"), ("HEIC", "pillow-heif")
) | dict.fromkeys((b"avif", b"avis"), ("AVIF", "'pillow>=11.3'"))

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


_SMALLEST_SCALED = 200
"""The smallest `min_size` in pixels for which a JPEG is scaled while it is decoded.

At 224 pixels the features of photographs of 1500 x 1125 pixels keep a cosine of at least .998 to
those of the fully decoded picture (mobilenet_v2 and squeezenet1_1), and noise one of .996. At 128,
96 and 64 pixels it falls to .97, .96 and .92: what the decoder averages differently then reaches
the network.
"""


def decode_payload(
    payload: Payload, min_size: int | None = None, notice: Notice = nobody
) -> Image.Image:
    """Turn the content of an image into the image, RGB and upright.

    Parameters
    ----------
    payload : bytes or ndarray
        As `payload_of` returns it.
    min_size : int, optional
        The shorter side that the caller will shrink the image to. From 200 on, it lets libjpeg
        shrink a JPEG at least four times as large while it is decoded, to no less than twice this
        size.
    notice : callable, default=nobody
        Called if the pixels are near black because of the type that they are kept in.

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
            return upright_rgb(image, notice)
        except Unusable:
            raise
        except Exception as exc:
            if is_shortage(exc):
                raise
            raise Unusable(damage(payload, image.format, exc)) from exc


def upright_rgb(image: Image.Image, notice: Notice = nobody) -> Image.Image:
    """Turn a decoded image of any mode to RGB, and as the camera was held."""
    if 0 in image.size:
        raise Unusable(f"has the size {image.width} x {image.height} and so no pixels", "Remove it")
    rgb = _to_rgb(image, notice)
    method = _UPRIGHT.get(_orientation(image))
    return rgb if method is None else rgb.transpose(method)


def damage(data: bytes, kind: str | None, exc: Exception) -> str:
    """Say in a few words why Pillow gave up."""
    kind = kind or _signature(data) or "image"
    if "truncated" in str(exc).lower():
        return f"is a truncated {kind}"
    return f"is a damaged {kind} ({exc or type(exc).__name__})"


def _open(data: bytes) -> Image.Image:
    """Read the header."""
    try:
        return Image.open(io.BytesIO(data), formats=readable_formats())
    except UnidentifiedImageError as exc:
        kind = _signature(data)
        if kind is not None:
            raise Unusable(f"is a truncated or damaged {kind}") from exc
        raise _of_another_kind(data) from exc
    except Image.DecompressionBombError as exc:
        raise Unusable(*_bomb(f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0)}")) from exc
    except Exception as exc:
        if is_shortage(exc):
            raise
        raise Unusable(damage(data, None, exc)) from exc


def _of_another_kind(data: bytes) -> Unusable:
    """Say what a file is that Pillow does not know."""
    for start, kind in _NO_IMAGES.items():
        if data.startswith(start):
            return Unusable(f"is not an image but {kind}")
    if data[4:8] == b"ftyp":
        kind, reader = _READERS.get(data[8:12], ("", ""))
        if reader:
            return Unusable(
                f"is a photograph in {kind}, for which no reader is installed",
                f"Install one with: pip install {reader}",
            )
        return Unusable("is a film, or a photograph of a kind that Pillow cannot read")
    return Unusable("is not an image, or of a kind that Pillow cannot read")


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
    if min_size is not None and min_size >= _SMALLEST_SCALED and image.format in {"JPEG", "MPO"}:
        image.draft(None, (2 * min_size, 2 * min_size))


def _orientation(image: Image.Image) -> int:
    """Read which way up the camera was.

    Pillow's own `exif_transpose` also writes the notes again, which fails where they are damaged.
    """
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception as exc:
        if is_shortage(exc):
            raise
        return 1  # damaged notes say nothing about the pixels


def _to_rgb(image: Image.Image, notice: Notice) -> Image.Image:
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        return Image.fromarray(array_pixels(deep_grey_pixels(image), notice))
    if image.has_transparency_data:
        return on_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _signature(data: bytes) -> str | None:
    if data.startswith(b"RIFF"):  # sounds and films begin so too
        return "WEBP" if data[8:12] == b"WEBP" else None
    return next((kind for start, kind in _SIGNATURES.items() if data.startswith(start)), None)
