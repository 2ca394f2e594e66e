"""Checks of parameters: one form of sentence for every parameter that cannot be used."""

from __future__ import annotations

import math
import os
import sys
from numbers import Integral
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["bytes_allowed", "check_choice", "check_integer"]


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Refuse what is none of the choices.

    Raises
    ------
    ValueError
        If `value` is not among `choices`.

    Examples
    --------
    >>> check_choice("fit", "stretch", ("shorter", "squash"))
    Traceback (most recent call last):
    ValueError: fit='stretch' is not possible. Choose one of: 'shorter', 'squash'.
    """
    choices = tuple(choices)
    if not isinstance(value, str) or value not in choices:
        possible = ", ".join(map(repr, choices))
        raise ValueError(f"{name}={value!r} is not possible. Choose one of: {possible}.")


def check_integer(name: str, value: Any, minimum: int, meaning: str) -> int:
    """Refuse what is no whole number of at least `minimum`, and return it as an int.

    Raises
    ------
    TypeError
        If it is no whole number.
    ValueError
        If it is too small.

    Examples
    --------
    >>> check_integer("batch_size", 0, 1, "images that go through the network together")
    Traceback (most recent call last):
    ValueError: batch_size=0 must be at least 1: images that go through the network together.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name}={value!r} must be an int of at least {minimum}: {meaning}.")
    if value < minimum:
        raise ValueError(f"{name}={value!r} must be at least {minimum}: {meaning}.")
    return int(value)


def bytes_allowed(variable: str, default: int) -> int:
    """Read a number of bytes, such as 1e9, from an environment variable.

    Parameters
    ----------
    variable : str
        Its name.
    default : int
        What holds if it is not set, or empty.

    Raises
    ------
    ValueError
        If it is set to something else.

    Examples
    --------
    >>> bytes_allowed("SKTRANSFER_NOT_SET", 2**30)
    1073741824
    """
    text = os.environ.get(variable, "").strip()
    try:
        n_bytes = float(text or default)
    except ValueError:
        n_bytes = math.nan
    if not n_bytes >= 0:
        raise ValueError(
            f"the environment variable {variable}={text!r} is no number of bytes. Set it to one such "
            f"as {default} or 1e9, or unset it."
        )
    return int(min(n_bytes, sys.maxsize))
