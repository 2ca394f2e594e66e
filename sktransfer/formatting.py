"""Numbers as people read them: seconds, bytes, counts and probabilities."""

from __future__ import annotations

import math

__all__ = ["as_bytes", "as_p_value", "as_seconds", "counted"]

_UNITS = ("B", "kB", "MB", "GB", "TB")


def as_seconds(seconds: float) -> str:
    """Write a duration.

    Examples
    --------
    >>> [as_seconds(x) for x in (0.0123, 4.56, 83, 600, 4000, float("nan"))]
    ['0.012 s', '4.6 s', '1 min 23 s', '10 min', '1 h 6 min', '–']
    """
    if not math.isfinite(seconds):
        return "–"
    if seconds < 59.95:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def as_bytes(n_bytes: float) -> str:
    """Write a size, in powers of 1000.

    Examples
    --------
    >>> [as_bytes(x) for x in (12, 1234, 5.6e7, float("nan"))]
    ['12 B', '1.2 kB', '56 MB', '–']
    """
    if not math.isfinite(n_bytes):
        return "–"
    power = 0
    while n_bytes >= 999.5 and power < len(_UNITS) - 1:
        n_bytes, power = n_bytes / 1000, power + 1
    shown = f"{n_bytes:.1f}" if n_bytes < 9.95 and power else f"{n_bytes:.0f}"
    return f"{shown} {_UNITS[power]}"


def as_p_value(p_value: float) -> str:
    """Write a probability, as far as it can be trusted.

    Examples
    --------
    >>> [as_p_value(p) for p in (0.5, 0.031, 0.00001, float("nan"))]
    ['0.50', '0.031', '< 0.001', '–']
    """
    if not math.isfinite(p_value):
        return "–"
    if p_value < 0.001:
        return "< 0.001"
    return f"{p_value:.2f}" if p_value >= 0.1 else f"{p_value:.3f}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """Write a number with its noun.

    Examples
    --------
    >>> counted(1, "image"), counted(1234, "image"), counted(2, "class", "classes")
    ('1 image', '1,234 images', '2 classes')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
