"""Docstrings of estimators: each parameter is documented where it is declared, and shown in full."""

from __future__ import annotations

import inspect
import re
from typing import Final, TypeVar

__all__ = ["documented"]

_Class = TypeVar("_Class", bound=type)

_MERGED: Final = ("Parameters", "Attributes")
_INHERITED: Final = ("Raises", "Warns")
_ORDER: Final = ("Parameters", "Attributes", "Raises", "Warns")
_UNDERLINE: Final = re.compile(r"^(\w[\w ]*)\n-+\n", re.MULTILINE)
_ENTRY: Final = re.compile(r"^(\w[\w, ]*?) ?:.*$", re.MULTILINE)


def documented(cls: _Class) -> _Class:
    """Complete the sections of a class's docstring by those of its bases.

    An entry of the class itself wins over one of a base. Parameters come in the order of the
    constructor; attributes of the class come before those of its bases; what is raised and warned
    of is that of the nearest class that says so.

    Examples
    --------
    >>> class Base:
    ...     '''A base.
    ...
    ...     Parameters
    ...     ----------
    ...     b : int, default=2
    ...         The second.
    ...     '''
    >>> @documented
    ... class Model(Base):
    ...     '''A model.
    ...
    ...     Parameters
    ...     ----------
    ...     a : int, default=1
    ...         The first.
    ...     '''
    ...
    ...     def __init__(self, a=1, *, b=2): ...
    >>> [line for line in Model.__doc__.splitlines() if ":" in line]
    ['a : int, default=1', 'b : int, default=2']
    """
    if cls.__doc__ is None:  # Python was told to drop docstrings
        return cls
    names = list(inspect.signature(cls).parameters)
    for section in _MERGED:
        entries: dict[str, str] = {}
        for base in cls.__mro__:
            for name, text in _entries(vars(base).get("__doc__"), section).items():
                entries.setdefault(name, text)
        if section == "Parameters":
            entries = {name: entries[name] for name in names if name in entries}
        if entries:
            cls.__doc__ = _with_section(inspect.cleandoc(cls.__doc__), section, entries)
    for section in _INHERITED:
        sections = (dict(_parts(inspect.cleandoc(base.__doc__ or ""))) for base in cls.__mro__)
        inherited = next((found[section] for found in sections if section in found), None)
        if inherited is not None:
            entries = {"": inherited.rstrip()}
            cls.__doc__ = _with_section(inspect.cleandoc(cls.__doc__), section, entries)
    return cls


def _parts(docstring: str) -> list[tuple[str, str]]:
    """Split a docstring into its sections; the first, without a name, is the text before them."""
    pieces = _UNDERLINE.split(docstring)
    return [("", pieces[0]), *zip(pieces[1::2], pieces[2::2], strict=True)]


def _entries(docstring: str | None, section: str) -> dict[str, str]:
    """Find the entries of a section by their names; "a, b : int" is one entry."""
    text = dict(_parts(inspect.cleandoc(docstring or ""))).get(section, "")
    starts = [match for match in _ENTRY.finditer(text) if not match.group(0).startswith(" ")]
    stops = [match.start() for match in starts[1:]] + [len(text)][: len(starts)]
    found = {}
    for match, stop in zip(starts, stops, strict=True):
        found[match.group(1)] = text[match.start() : stop].rstrip()
    return found


def _with_section(docstring: str, section: str, entries: dict[str, str]) -> str:
    """Put entries into a section, which is added in its usual place if it was not there."""
    parts = _parts(docstring)
    body = "\n".join(entries.values()) + "\n\n"
    if section not in dict(parts):
        before = ("", *_ORDER[: _ORDER.index(section)])
        place = max(i for i, (name, _) in enumerate(parts) if name in before) + 1
        parts.insert(place, (section, body))
    written = [
        text if not name else f"{name}\n{'-' * len(name)}\n{body if name == section else text}"
        for name, text in parts
    ]
    return "".join(
        part if part.endswith("\n\n") else part.rstrip("\n") + "\n\n" for part in written
    ).rstrip("\n")
