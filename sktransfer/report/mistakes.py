"""The mistakes: every image that the winner gets wrong without having seen it, surest first."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from sktransfer.formatting import counted
from sktransfer.images import as_image_sequence
from sktransfer.report.page import Section, paragraphs
from sktransfer.report.pictures import name_of, thumbnail

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["mistakes_section"]

_MOST = 200  # pictures, of about 5 kB each
_SIDE = 96


def mistakes_section(mistakes: pd.DataFrame, X: Any, *, image_shape: Any = None) -> Section:
    """Show the images that were labelled wrongly while they were held out.

    Parameters
    ----------
    mistakes : DataFrame
        Mistakes of a comparison, surest first; an image that repeated folds get wrong counts once.
    X : images
        Those that were scored.
    image_shape : tuple of int or None, default=None
        Layout of flattened rows of `X`.
    """
    once = mistakes.drop_duplicates(["image", "predicted"])
    images = as_image_sequence(X, image_shape=image_shape)
    figures = [_figure(X, images, record) for record in once.head(_MOST).to_dict("records")]
    lead = (
        f"{counted(len(once), 'image')} of {len(images):,} got another label than theirs from a copy of the "
        "winner that had not seen them, the surest first: hard ones, and perhaps labels that are wrong."
    )
    left_out = len(once) - len(figures)
    more = (
        f"{counted(left_out, 'more image')} are in the comparison's mistakes_." if left_out else ""
    )
    body = f'<ul class="samples small">{"".join(figures)}</ul>'
    return Section("All its mistakes", "\n".join([paragraphs(lead), body, paragraphs(more)]))


def _figure(X: Any, images: Any, record: dict[Any, Any]) -> str:
    row = int(record["image"])
    name = name_of(X, row)
    label, predicted = record["label"], record["predicted"]
    picture = thumbnail(images.load(row), f"{name}, labelled {label}", _SIDE)
    is_none = predicted is None or predicted != predicted  # NaN, where pandas makes text of labels
    said = "none of the classes" if is_none else str(predicted)
    return (
        f'<li><figure>{picture}<figcaption><span class="wrong">{escape(said)}</span>, labelled '
        f"{escape(str(label))}<br>{escape(name)}</figcaption></figure></li>"
    )
