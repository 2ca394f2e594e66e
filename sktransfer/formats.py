"""The file formats that Pillow may try, and the endings of their names.

Pillow also opens kinds that are no pictures: it hands PostScript to Ghostscript, and metafiles to
Windows. A file may hold these whatever its name, so the formats are listed here.
"""

from __future__ import annotations

from functools import cache

from PIL import Image, features

__all__ = ["image_extensions", "is_allowed", "readable_formats"]

_FORMATS = (
    # the frequent ones first: Pillow tries them in this order
    *("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "JPEG2000", "AVIF", "PPM", "MPO"),
    *("HEIF", "JXL"),  # of the plugins pillow-heif and pillow-jxl
    *("BLP", "CUR", "DCX", "DDS", "DIB", "FITS", "FLI", "FTEX", "ICNS", "ICO", "IM", "MSP", "PCX"),
    *("PIXAR", "PSD", "QOI", "SGI", "SPIDER", "SUN", "TGA", "XBM", "XPM"),
)
_FEATURES = {"AVIF": "avif", "JPEG2000": "jpg_2000", "WEBP": "webp"}
_MORE_ENDINGS = {"HEIF": (".heic", ".heif"), "JPEG": (".jfif", ".jpe", ".jpeg", ".jpg")}


def readable_formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats that may be tried and that this Pillow can read."""
    _load_plugins()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def is_allowed(name: str | None) -> bool:
    """Say whether an image of this format, None for no file, may be decoded."""
    return name is None or name in _FORMATS


def image_extensions() -> frozenset[str]:
    """Return the endings, in lower case and with their dot, of the files that can be read."""
    formats = {name for name in readable_formats() if _is_built_in(name)}
    known = {end.lower() for end, name in Image.EXTENSION.items() if name in formats}
    return frozenset(known.union(*(_MORE_ENDINGS.get(name, ()) for name in formats)))


def _is_built_in(name: str) -> bool:
    return name not in _FEATURES or bool(features.check(_FEATURES[name]))


@cache
def _load_plugins() -> None:
    Image.init()
