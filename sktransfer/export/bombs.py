"""Files of models that would fill the memory, or keep a process busy, if they were loaded."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

from sktransfer.exceptions import ExportError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

__all__ = ["refuse_bombs"]

_SCHEMA = "schema.json"
_MOST_BYTES = 2**26  # that a file may grow by when it is unpacked
_MOST_VISITS = (
    100  # of a part, on average: parts that refer twice to one below double it at each level
)
_FREE_VISITS = 10_000


def refuse_bombs(path: str | os.PathLike[str], data: bytes) -> None:
    """Refuse a file that is small and would become large.

    Parameters
    ----------
    path : str or path
        The file, for messages.
    data : bytes
        Its content, an archive of skops.

    Raises
    ------
    ExportError
        If it has few bytes and would take many, or if its parts refer to each other so that going
        through them would not end.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > len(data) + _MOST_BYTES:
            raise ExportError(
                f"{str(path)!r} has {len(data)} bytes and would take {unpacked} when it is unpacked. "
                "save_model writes files without compression: this one is none of them."
            )
        schema = json.loads(archive.read(_SCHEMA))
    visits: dict[Any, int] = {}
    n_visits = _count_visits(schema, visits)
    if n_visits > _MOST_VISITS * len(visits) + _FREE_VISITS:
        raise ExportError(
            f"{str(path)!r} has {len(visits)} parts, which refer to each other so often that going "
            f"through them would take {n_visits} steps. save_model writes no such file."
        )


def _count_visits(part: Any, visits: dict[Any, int]) -> int:
    """Count the parts below one, as often as they are referred to; a part has one number everywhere."""
    if not isinstance(part, dict | list):
        return 0
    if isinstance(part, list):
        return _sum(part, visits)
    if "__loader__" not in part:
        return _sum(part.values(), visits)
    number = part.get("__id__", id(part))
    if number not in visits:
        visits[number] = 1  # while it is counted; a part may refer to one that it is in
        visits[number] = 1 + _sum(part.values(), visits)
    return visits[number]


def _sum(parts: Iterable[Any], visits: dict[Any, int]) -> int:
    return sum(_count_visits(part, visits) for part in parts)
