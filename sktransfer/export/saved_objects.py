"""The estimators inside a model, found without calling anything of theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["estimators_in"]

_PACKAGES = ("sklearn.", "sktransfer.")


def estimators_in(model: Any) -> Iterator[BaseEstimator]:
    """Go through all estimators that a model consists of, whatever attribute holds them.

    Parameters
    ----------
    model : object
        A model, or a collection of them.

    Yields
    ------
    BaseEstimator
        Each once, the model itself first.
    """
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, BaseEstimator):
            yield one
        waiting += _parts(one)


def _parts(one: Any) -> list[Any]:
    if isinstance(one, dict):
        return list(one.values())
    if isinstance(one, list | tuple | set):
        return list(one)
    if isinstance(one, np.ndarray):
        return list(one.ravel()) if one.dtype == object else []
    is_known = type(one).__module__.startswith(_PACKAGES)
    return list(vars(one).values()) if is_known and hasattr(one, "__dict__") else []
