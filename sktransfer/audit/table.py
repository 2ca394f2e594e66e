"""The table of an audit, which shows its answer in a notebook."""

from __future__ import annotations

import os
from html import escape

import pandas as pd

from sktransfer.audit.answer import findings_of, summary_of, withheld_of
from sktransfer.formatting import counted

__all__ = ["AuditTable"]

_MOST_ROWS = 12


class AuditTable(pd.DataFrame):
    """What :func:`~sktransfer.audit_images` returns: a DataFrame, and what is made of it is a plain one."""

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def _repr_html_(self) -> str:
        """Show what was found, and the first images of it."""
        found = findings_of(self)
        images = counted(len(self), "image")
        withheld = f"<p>{escape(withheld_of(self))}</p>" if withheld_of(self) else ""
        if not found:
            return f"<p>Nothing was found in {images}.</p>{withheld}"
        counts = "".join(f"<li>{escape(text)}</li>" for text in summary_of(self))
        shown = [self._cells(row, texts) for row, texts in found[:_MOST_ROWS]]
        table = pd.DataFrame(shown, columns=["image", "file", "label", "what was found"])
        left_out = len(found) - len(shown)
        more = (
            f"<p>{counted(left_out, 'more image')} in the rows of this table.</p>"
            if left_out
            else ""
        )
        html = table.to_html(index=False, na_rep="")
        return f"<p>In {images}:</p><ul>{counts}</ul>{withheld}{html}{more}"

    def _cells(self, row: int, texts: list[str]) -> tuple[object, ...]:
        path, label = self["path"].iloc[row], self["label"].iloc[row]
        name = os.path.basename(os.fsdecode(path)) if isinstance(path, str | bytes) else ""  # noqa: PTH119
        return row, name, "" if label is None else label, "; ".join(texts)
