"""The audit: what seems wrong with the images themselves."""

from __future__ import annotations

import math
import os
from html import escape
from typing import TYPE_CHECKING, Any

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
    findings = [(row, _findings(record)) for row, record in _records(audit)]
    found = [(row, texts) for row, texts in findings if texts]
    summary = _summary(audit)
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
    body = [items(summary), paragraphs(advice), table, paragraphs(more, kind="soft")]
    return Section("The images themselves", "\n".join(body))


def _records(audit: pd.DataFrame) -> list[tuple[int, dict[str, object]]]:
    rows = audit.to_dict("records")
    return [(i, {str(key): value for key, value in row.items()}) for i, row in enumerate(rows)]


def _findings(record: dict[str, Any]) -> list[str]:
    texts = []
    if record.get("problem"):
        texts.append(f"cannot be read: {record['problem']}")
    if record.get("exact_group", -1) >= 0:
        texts.append(_group(record, "exact_group", "the same pixels as"))
    elif record.get("near_group", -1) >= 0:
        texts.append(_group(record, "near_group", "nearly the same as"))
    if record.get("label_conflict"):
        texts.append("its duplicate has another label")
    if record.get("suspect_label"):
        said = record.get("suggested_label")
        sure = record.get("suggested_probability")
        share = f" ({sure:.0%})" if isinstance(sure, float) and math.isfinite(sure) else ""
        texts.append(f"looks like {said}{share}")
    if record.get("odd_size"):
        texts.append(f"odd size, {record.get('width'):.0f} x {record.get('height'):.0f} pixels")
    if record.get("odd_mode"):
        texts.append(f"odd mode, {record.get('mode')}")
    return texts


def _is_merely_odd(texts: list[str]) -> bool:
    return all(text.startswith("odd") for text in texts)


def _group(record: dict[str, Any], column: str, words: str) -> str:
    nearest = int(record.get("nearest", -1))
    return f"{words} image {nearest if nearest >= 0 else int(record[column])}"


def _summary(audit: pd.DataFrame) -> list[str]:
    exact = _count(audit, "exact_group", groups=True)
    near = _count(audit, "near_group", groups=True) - exact
    counts = [
        (_count(audit, "problem"), "image that cannot be read", "images that cannot be read"),
        (exact, "image with an exact duplicate", "images with exact duplicates"),
        (near, "image with a near duplicate only", "images with near duplicates only"),
        (_count(audit, "label_conflict"), "duplicate with another label", "duplicates with other labels"),
        (_count(audit, "suspect_label"), "label that seems wrong", "labels that seem wrong"),
        (_count(audit, "odd_size"), "image of an odd size", "images of odd sizes"),
        (_count(audit, "odd_mode"), "image of an odd mode", "images of odd modes"),
    ]  # fmt: skip
    return [counted(number, one, many) for number, one, many in counts if number > 0]


def _count(audit: pd.DataFrame, column: str, *, groups: bool = False) -> int:
    if column not in audit.columns:
        return 0
    return int((audit[column] >= 0).sum() if groups else audit[column].astype(bool).sum())


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
