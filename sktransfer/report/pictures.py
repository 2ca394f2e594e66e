"""Pictures inside the page: plots, drawn for light and for dark, and images, as data URIs."""

from __future__ import annotations

import base64
import io
import os
import warnings
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from sktransfer.images.indexing import take
from sktransfer.plotting.canvas import import_matplotlib

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["image_tag", "name_of", "plot_figure", "thumbnail"]

_INKS = {"light": ("#1c2733", "#9aa5b1"), "dark": ("#e7ecf1", "#66727f")}  # of text and of frames
_MANY_MARKS = 300  # from which on they are drawn as pixels, to keep the file small


def plot_figure(draw: Callable[[], object], alt: str, caption: str = "") -> str:
    """Draw a plot twice and let the page show the one that fits its colours.

    Parameters
    ----------
    draw : callable
        Returns a Display, drawn on a new figure.
    alt : str
        Description of the plot, for those who do not see it.
    caption : str, default=""
        Below it.
    """
    light, dark = (_as_svg(draw, *_INKS[theme]) for theme in ("light", "dark"))
    return (
        "<figure><picture>"
        f'<source srcset="{dark}" media="(prefers-color-scheme: dark)">'
        f'<img src="{light}" alt="{escape(alt)}"></picture>'
        f"{f'<figcaption>{escape(caption)}</figcaption>' if caption else ''}</figure>"
    )


def image_tag(pixels: NDArray[np.generic], alt: str, *, at_least: int = 160) -> str:
    """Show pixels (height, width, 3), uint8; small ones are enlarged to `at_least` wide."""
    image = Image.fromarray(pixels)
    if image.width < at_least:
        factor = -(-at_least // image.width)
        size = (image.width * factor, image.height * factor)
        image = image.resize(size, Image.Resampling.NEAREST)
    return _tag(image, alt)


def thumbnail(image: Image.Image, alt: str, size: int = 144) -> str:
    """Show an image of any size, shrunk to `size` pixels, or enlarged if it is tiny."""
    image = image.copy()
    if max(image.size) < size:
        factor = size // max(image.size)
        image = image.resize(
            (image.width * factor, image.height * factor), Image.Resampling.NEAREST
        )
    image.thumbnail((size, size))
    return _tag(image, alt)


def name_of(X: Any, row: int) -> str:
    """Name an image by its file, without folders, or else by its row."""
    item = take(X, np.array([row]))
    item = item.iloc[0] if hasattr(item, "iloc") else item[0]
    if isinstance(item, str | os.PathLike):
        return os.path.basename(os.fsdecode(item))  # noqa: PTH119 - also of bytes
    return f"image {row}"


def _tag(image: Image.Image, alt: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    uri = _data_uri("image/jpeg", buffer.getvalue())
    return f'<img src="{uri}" alt="{escape(alt)}" width="{image.width}" height="{image.height}">'


def _as_svg(draw: Callable[[], Any], ink: str, frame: str) -> str:
    plt = import_matplotlib()
    settings = {
        "text.color": ink,
        "axes.labelcolor": ink,
        "axes.titlecolor": ink,
        "xtick.labelcolor": ink,
        "ytick.labelcolor": ink,
        "xtick.color": frame,
        "ytick.color": frame,
        "axes.edgecolor": frame,
        "grid.color": frame,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "font.size": 11.5,  # of a plot that a phone shows at three quarters of its size
        "svg.fonttype": "path",
        "svg.hashsalt": "sktransfer",
    }
    with plt.rc_context(settings), warnings.catch_warnings():
        # A sign that no font has is drawn as a box; the page's text shows it.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure: Figure = draw().figure_
        try:
            _draw_many_marks_as_pixels(figure)
            buffer = io.BytesIO()
            figure.savefig(buffer, format="svg", dpi=160, metadata={"Date": None})
        finally:
            plt.close(figure)
    return _data_uri("image/svg+xml", buffer.getvalue())


def _draw_many_marks_as_pixels(figure: Figure) -> None:
    for ax in figure.axes:
        if sum(np.size(marks.get_offsets()) // 2 for marks in ax.collections) > _MANY_MARKS:
            for marks in ax.collections:
                marks.set_rasterized(True)


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
