"""Parameters: declared with their check, and one form of sentence for each that cannot be used.

An estimator is a dataclass whose fields are its parameters, so that a constructor that several
estimators share is written once: `checked` gives a field its default and its constraint, and
`check_parameters` walks over them when `fit` begins.
"""

from __future__ import annotations

import math
import os
import sys
from dataclasses import field, fields
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "bytes_allowed",
    "check_choice",
    "check_integer",
    "check_number",
    "check_parameters",
    "checked",
    "choice",
    "integer",
    "number",
    "optional",
]

Constraint: TypeAlias = "Callable[[str, object], object]"
"""Raises if a value, whose parameter's name comes first, cannot be used."""

_T = TypeVar("_T")


def checked(default: _T, constraint: Constraint) -> _T:
    """Declare a parameter of a dataclass with its default and what it may be.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(kw_only=True)
    ... class Model:
    ...     n_trees: int = checked(10, integer(1, "trees of the forest"))
    >>> check_parameters(Model(n_trees=0))
    Traceback (most recent call last):
    ValueError: n_trees=0 must be at least 1: trees of the forest.
    """
    return field(default=default, metadata={"constraint": constraint})


def check_parameters(estimator: Any) -> None:
    """Check all parameters that were declared by `checked`, in their order.

    Raises
    ------
    ValueError, TypeError
        For the first that cannot be used.
    """
    for parameter in fields(estimator):
        if "constraint" in parameter.metadata:
            parameter.metadata["constraint"](parameter.name, getattr(estimator, parameter.name))


def choice(*choices: str) -> Constraint:
    """Return the constraint that a parameter is one of some words."""
    return lambda name, value: check_choice(name, value, choices)


def integer(minimum: int, meaning: str) -> Constraint:
    """Return the constraint that a parameter is an int of at least `minimum`."""
    return partial(_integer, minimum=minimum, meaning=meaning)


def number(low: float, high: float, meaning: str, *, closed: bool = False) -> Constraint:
    """Return the constraint of `check_number`."""
    return partial(check_number, low=low, high=high, meaning=meaning, closed=closed)


def optional(constraint: Constraint) -> Constraint:
    """Return the constraint that a parameter is None or fulfils another one."""
    return lambda name, value: None if value is None else constraint(name, value)


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


def check_integer(name: str, value: object, minimum: int, meaning: str) -> int:
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
        Value that holds if the variable is not set, or empty.

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


def check_number(
    name: str, value: object, low: float, high: float, meaning: str, *, closed: bool = False
) -> float:
    """Refuse what is no number between two others, and return it as a float.

    Parameters
    ----------
    name : str
        Name of the parameter.
    value : object
        Value that was given.
    low, high : float
        Bounds. `high` itself is possible if it is finite.
    meaning : str
        Meaning of the number, for the message.
    closed : bool, default=False
        Whether `low` itself is possible.

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is out of bounds.

    Examples
    --------
    >>> check_number("lr", -1, 0, math.inf, "the rate of the head")
    Traceback (most recent call last):
    ValueError: lr=-1 must be more than 0: the rate of the head.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}={value!r} must be a number: {meaning}.")
    found = float(value)
    if not (found >= low if closed else found > low) or not found <= high or found == math.inf:
        least = f"at least {low:g}" if closed else f"more than {low:g}"
        most = "" if high == math.inf else f" and at most {high:g}"
        raise ValueError(f"{name}={value!r} must be {least}{most}: {meaning}.")
    return found


def _integer(name: str, value: object, minimum: int, meaning: str) -> int:
    return check_integer(name, value, minimum, meaning)
