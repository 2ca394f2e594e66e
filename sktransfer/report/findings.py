"""The audit: what seems wrong with the images themselves."""

from __future__ import annotations

import os
from html import escape
from typing import TYPE_CHECKING, Any

from sktransfer.audit.answer import findings_of, summary_of
from sktransfer.exceptions import ImageDecodeError
from sktransfer.formatting import counted
from sktransfer.images import as_image_sequence
from sktransfer.report.page import Section, items, paragraphs
from sktransfer.report.pictures import thumbnail

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["audit_section"]

_MOST_ROWS = 12
_MOST_ODD_ROWS = 4  # of images in which nothing is wrong


def audit_section(audit: pd.DataFrame, X: Any = None, *, image_shape: Any = None) -> Section:
    """Count what was found, and show the first images of it.

    Parameters
    ----------
    audit : DataFrame
        As :func:`~sktransfer.audit_images` returns it; columns it lacks count as nothing found.
    X : images, default=None
        To show them; None shows rows and paths only.
    image_shape : tuple of int or None, default=None
        Layout of flattened rows of `X`.
    """
    found = findings_of(audit)
    if not found:
        checked = f"Nothing was found in {counted(len(audit), 'image')}: no duplicates, no labels "
        return Section("The images themselves", paragraphs(checked + "that seem wrong, no damage."))
    images = None if X is None else as_image_sequence(X, image_shape=image_shape)
    odd = [entry for entry in found if _is_merely_odd(entry[1])]
    wrong = [entry for entry in found if not _is_merely_odd(entry[1])]
    shown = [*wrong, *odd[:_MOST_ODD_ROWS]][:_MOST_ROWS]
    rows = "".join(_row(audit, row, texts, images) for row, texts in shown)
    left_out = len(found) - len(shown)
    more = f"{counted(left_out, 'more image')} in the audit's table." if left_out > 0 else ""
    head = "".join(
        f'<th scope="col" role="columnheader" class="text">{text}</th>'
        for text in ("Image", "Label", "What was found")
    )
    table = (
        '<table role="table"><caption>Look at them before you change or remove any.</caption>'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{rows}</tbody></table>'
    )
    advice = ""
    if "leaks" in audit.columns and audit["leaks"].any():
        advice = (
            "Duplicates lie in the training and the test part of the same fold, so that the scores "
            "above flatter. Compare again with StratifiedGroupKFold and the audit's column group."
        )
    body = [items(summary_of(audit)), paragraphs(advice), table, paragraphs(more, kind="soft")]
    return Section("The images themselves", "\n".join(body))


def _is_merely_odd(texts: list[str]) -> bool:
    return all(text.startswith("odd") for text in texts)


def _row(audit: pd.DataFrame, row: int, texts: list[str], images: Any) -> str:
    record = audit.iloc[row]
    path = record.get("path")
    name = os.path.basename(os.fsdecode(path)) if isinstance(path, str | os.PathLike) else ""  # noqa: PTH119
    name = f"image {row} {name}".strip()
    label = "–" if record.get("label") is None else str(record.get("label"))
    return (
        f'<tr role="row"><th scope="row" role="rowheader">{_picture(images, row)}{escape(name)}</th>'
        f'<td role="cell" class="text" data-label="Label">{escape(label)}</td>'
        f'<td role="cell" class="text" data-label="Found">{escape("; ".join(texts))}</td></tr>\n'
    )


def _picture(images: Any, row: int) -> str:
    if images is None:
        return ""
    try:
        return thumbnail(images.load(row), f"image {row}")
    except ImageDecodeError:
        return ""
