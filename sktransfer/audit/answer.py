"""What an audit found, in words: counts over all images, and the findings of each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sktransfer.formatting import counted

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["findings_of", "summary_of", "withheld_of"]


def summary_of(audit: pd.DataFrame) -> list[str]:
    """Count what was found, kind by kind; what was not found is left out.

    Parameters
    ----------
    audit : DataFrame
        As :func:`~sktransfer.audit_images` returns it; columns it lacks count as nothing found.
    """
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


def findings_of(audit: pd.DataFrame) -> list[tuple[int, list[str]]]:
    """List the rows in which something was found, with the findings of each.

    Parameters
    ----------
    audit : DataFrame
        As in `summary_of`.
    """
    listed = [_findings({str(k): v for k, v in row.items()}) for row in audit.to_dict("records")]
    return [(row, texts) for row, texts in enumerate(listed) if texts]


def withheld_of(audit: pd.DataFrame) -> str:
    """Say that no label is suspected because the classifier that judges them is poor; or ""."""
    if not audit.attrs.get("suspects_withheld"):
        return ""
    return (
        "No label is called wrong: the classifier that judges them gets only "
        f"{audit.attrs['label_accuracy']:.0%} right itself."
    )


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


def _group(record: dict[str, Any], column: str, words: str) -> str:
    nearest = int(record.get("nearest", -1))
    return f"{words} image {nearest if nearest >= 0 else int(record[column])}"


def _count(audit: pd.DataFrame, column: str, *, groups: bool = False) -> int:
    if column not in audit.columns:
        return 0
    return int((audit[column] >= 0).sum() if groups else audit[column].astype(bool).sum())
