r"""Text that is safe to show: nothing in it steers a terminal, hides, or cannot be encoded."""

from __future__ import annotations

import unicodedata
from typing import TypeVar

__all__ = ["as_cell", "readable"]

_Value = TypeVar("_Value")

_STARTS_A_FORMULA = ("=", "+", "-", "@")
# These change the order of the text after them, so that a name can look like another.
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LINE_ENDS = frozenset("\u2028\u2029")


def readable(text: object, *, keep: str = "") -> str:
    r"""Return text with its control characters and bytes that are not UTF-8 written as escapes.

    Parameters
    ----------
    text : object
        Anything that `str` turns into text; a file name, for example, whose bytes that are not
        UTF-8 Python holds as lone surrogates.
    keep : str, default=""
        Control characters that stay as they are.

    Examples
    --------
    >>> print(readable("one\nline"), readable("caf\udce9.png"), readable("\x1b[2J"))
    one\nline caf\xe9.png \x1b[2J
    """
    return "".join(c if c in keep or not _is_hidden(c) else _escaped(c) for c in str(text))


def as_cell(value: _Value) -> _Value | str:
    """Return a value for a cell of a CSV file that no spreadsheet takes for a formula.

    Parameters
    ----------
    value : object
        Text that begins like a formula and is no number gets an apostrophe in front, which a
        spreadsheet shows as text; what is no text stays as it is.

    Examples
    --------
    >>> as_cell("=cmd()"), as_cell("-1.5"), as_cell(-3), as_cell("ant")
    ("'=cmd()", '-1.5', -3, 'ant')
    """
    if not isinstance(value, str):
        return value
    text = readable(value)
    return (
        f"'{text}" if text.lstrip().startswith(_STARTS_A_FORMULA) and not _is_number(text) else text
    )


def _is_hidden(character: str) -> bool:
    return (
        unicodedata.category(character) in ("Cc", "Cs")
        or character in _DIRECTIONS
        or character in _LINE_ENDS
    )


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that os.fsdecode could not decode
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
