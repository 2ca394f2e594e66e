"""Images that cannot be read, told of in functions that have no parameter `on_error`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sktransfer.exceptions import ImageDecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["every_image_is_needed"]


@contextmanager
def every_image_is_needed() -> Iterator[None]:
    """Leave out of an error the advice to set a parameter that the function does not have.

    Examples
    --------
    >>> @every_image_is_needed()
    ... def rank():
    ...     raise ImageDecodeError("image 3 of 9 is empty. Replace the file", 'set on_error="nan"')
    >>> rank()
    Traceback (most recent call last):
    sktransfer.exceptions.ImageDecodeError: image 3 of 9 is empty. Replace the file.
    """
    try:
        yield
    except ImageDecodeError as exc:
        raise ImageDecodeError(exc.fault) from exc.__cause__
