"""Output of a command: results on stdout, messages on stderr."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from sktransfer.readable import readable
from sktransfer.writing import check_writable, whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "as_json",
    "as_table",
    "check_apart",
    "check_writable",
    "escaped_names",
    "format_params",
    "print_result",
    "say",
    "say_error",
    "whole_file",
]


def print_result(text: str) -> None:
    """Write lines to stdout."""
    _write(sys.stdout, text)


def say(message: str) -> None:
    """Write lines to stderr."""
    _write(sys.stderr, message)


def say_error(message: str) -> None:
    """Write one line to stderr, whatever line ends the message has."""
    say(f"sktransfer: {' '.join(message.split())}")


def _write(stream: TextIO, text: str) -> None:
    """Write what the stream can encode, and the rest as escapes; nothing steers the terminal."""
    shown = readable(text, keep="\n") + "\n"
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(shown.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def as_table(rows: Sequence[Mapping[str, str]], left: Sequence[str] = ()) -> str:
    """Lay out rows under each other, numbers to the right, and the columns `left` to the left."""
    header = list(rows[0])
    lines = [header, *([readable(row[name]) for name in header] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            f"{cell:<{width}}" if name in left else f"{cell:>{width}}"
            for name, cell, width in zip(header, line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def as_json(content: object) -> str:
    """Put a result in JSON; what is not a number becomes null, which NaN is not in JSON."""
    return json.dumps(_plain(content), indent=2, allow_nan=False)


def format_params(params: Mapping[str, Any]) -> str:
    """Put a setting of a grid in few words."""
    return ", ".join(f"{name.split('__')[-1]}={value!r}" for name, value in params.items())


def check_apart(option: str, file: Path, inputs: Iterable[str | Path]) -> None:
    """Refuse to write over what a command reads."""
    if not file.exists():
        return
    target = os.path.realpath(file)
    if any(os.path.realpath(name) == target for name in inputs):
        raise ValueError(
            f"{option} {str(file)!r} is also what the command reads, and would replace it. Give "
            "another file."
        )


def escaped_names(names: Sequence[str]) -> str:
    """Tell how many names are written with escapes; empty if none is."""
    changed = [name for name in names if readable(name) != name]
    if not changed:
        return ""
    return (
        f"{len(changed)} file name(s) hold control characters or are not UTF-8, and are written "
        f"with escapes, such as {readable(changed[0])}"
    )


def _plain(value: object) -> object:
    """Turn numbers of numpy into those of Python, and what JSON has no word for into text."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str | Path):
        return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)
