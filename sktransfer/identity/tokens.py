"""Tokens: names of objects whose content cannot be read, good in this process only."""

from __future__ import annotations

import itertools
import os
import uuid
import weakref

from sktransfer.forks import ForkSafeLock

__all__ = ["new_token", "token_of"]

_process = uuid.uuid4().hex
_counter = itertools.count()
_tokens: dict[int, tuple[weakref.ref[object], str]] = {}
_lock = ForkSafeLock()


def new_token() -> str:
    """Return a name that nothing else has, in any process."""
    return f"{_process} {os.getpid()} {next(_counter)}"


def token_of(value: object) -> str:
    """Name an object, always the same while it lives; a new name each time if that cannot be known.

    Examples
    --------
    >>> numbers = (number for number in [1])
    >>> token_of(numbers) == token_of(numbers) != token_of(number for number in [1])
    True
    """
    with _lock:
        known = _tokens.get(id(value))
        if known is not None and known[0]() is value:
            return known[1]
        token = new_token()
        try:
            reference = weakref.ref(value)
        except TypeError:  # then another object may have its address one day
            return token
        for number in [number for number, (ref, _) in _tokens.items() if ref() is None]:
            del _tokens[number]
        _tokens[id(value)] = reference, token
        return token
