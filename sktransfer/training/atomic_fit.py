"""A fit that fails, or is ended by Ctrl-C, leaves the estimator as it was."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["restored_on_failure"]


@contextmanager
def restored_on_failure(estimator: object) -> Iterator[None]:
    """Put all attributes of an object back if what happens inside does not end well.

    What attributes refer to is not copied: it must be replaced, and never be changed in place.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> model = SimpleNamespace(classes_=[0, 1])
    >>> try:
    ...     with restored_on_failure(model):
    ...         model.classes_ = [0, 1, 2]
    ...         raise RuntimeError("the loss became nan")
    ... except RuntimeError:
    ...     print(model.classes_)
    [0, 1]
    """
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
