"""The file formats that Pillow may try, and the endings of their names.

Pillow also opens kinds that are no pictures: it hands PostScript to Ghostscript, and metafiles to
Windows. A file may hold these whatever its name, so the formats are listed here.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from PIL import Image, features

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["image_extensions", "is_allowed", "missing_reader", "readable_formats"]

_FORMATS = (
    # the frequent ones first: Pillow tries them in this order
    *("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "JPEG2000", "AVIF", "PPM", "MPO"),
    *("HEIF", "JXL"),  # of the plugins pillow-heif, which is registered here, and pillow-jxl
    *("BLP", "CUR", "DCX", "DDS", "DIB", "FITS", "FLI", "FTEX", "ICNS", "ICO", "IM", "MSP", "PCX"),
    *("PIXAR", "PSD", "QOI", "SGI", "SPIDER", "SUN", "TGA", "XBM", "XPM"),
)
_FEATURES = {"AVIF": "avif", "JPEG2000": "jpg_2000", "WEBP": "webp"}
_MORE_ENDINGS = {
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif"),
    "JPEG": (".jfif", ".jpe", ".jpeg", ".jpg"),
}


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


def missing_reader(paths: Iterable[str]) -> str:
    """Say what to install for the photographs of telephones among files that cannot be read; or "".

    Examples
    --------
    >>> missing_reader(["notes.txt", "clip.mp4"])
    ''
    """
    for name, package in (("HEIF", "pillow-heif"), ("AVIF", "pillow>=11.3")):
        endings = _MORE_ENDINGS[name]
        if not image_extensions().issuperset(endings) and any(
            path.lower().endswith(endings) for path in paths
        ):
            return f"Those in {endings[0]} can be read after: pip install {package!r}."
    return ""


def _is_built_in(name: str) -> bool:
    return name not in _FEATURES or bool(features.check(_FEATURES[name]))


@cache
def _load_plugins() -> None:
    Image.init()
    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
