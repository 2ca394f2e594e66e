"""Images that cannot be read, told of in functions that have no parameter `on_error`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sktransfer.exceptions import ImageDecodeError
from sktransfer.images.kinds import ImageShape, as_image_sequence

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["every_image_is_needed", "numbered_among"]


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


@contextmanager
def numbered_among(X: Any, image_shape: ImageShape = None) -> Iterator[None]:
    """Name an image that cannot be read by its row among all, where folds of them are read.

    Parameters
    ----------
    X : images
        All of them.
    image_shape : tuple or None, default=None
        Layout of flattened rows.
    """
    try:
        yield
    except ImageDecodeError:
        images = as_image_sequence(X, image_shape=image_shape)
        for row in range(len(images)):
            images.load(row)  # raises for the first
        raise
