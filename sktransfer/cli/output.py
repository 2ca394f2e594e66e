"""What a command says: results on stdout, messages on stderr, and files that are whole."""

from __future__ import annotations

import json
import math
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "as_json",
    "as_table",
    "check_writable",
    "format_params",
    "print_result",
    "say",
    "whole_file",
]


def print_result(text: str) -> None:
    """Write to stdout."""
    sys.stdout.write(f"{text}\n")


def say(message: str) -> None:
    """Write to stderr."""
    sys.stderr.write(f"{message}\n")


def as_table(rows: Sequence[Mapping[str, str]], left: Sequence[str] = ()) -> str:
    """Lay out rows under each other, numbers to the right, and the columns `left` to the left."""
    header = list(rows[0])
    lines = [header, *([row[name] for name in header] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            f"{cell:<{width}}" if name in left else f"{cell:>{width}}"
            for name, cell, width in zip(header, line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def as_json(content: Any) -> str:
    """Put a result in JSON; what is not a number becomes null, which NaN is not in JSON."""
    return json.dumps(_plain(content), indent=2, allow_nan=False)


def format_params(params: Mapping[str, Any]) -> str:
    """Put a setting of a grid in few words."""
    return ", ".join(f"{name.split('__')[-1]}={value!r}" for name, value in params.items())


def check_writable(option: str, file: Path) -> None:
    """Find out before the work, not after it, that the result has nowhere to go."""
    if file.is_dir():
        raise IsADirectoryError(f"{option} {str(file)!r} is a folder. Give the name of a file.")
    if not file.parent.is_dir():
        raise FileNotFoundError(
            f"{option} {str(file)!r}: the folder {str(file.parent)!r} does not exist. "
            "Make it first."
        )


@contextmanager
def whole_file(file: Path) -> Iterator[Path]:
    """Give a name to write to, which becomes that of the file when all is written."""
    unfinished = file.with_name(f".{file.name}.unfinished")
    try:
        yield unfinished
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    """Turn numbers of numpy into those of Python, and what JSON has no word for into text."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)
