"""A warning where one class takes every pixel, as it may if nearly all are of it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from sktransfer.exceptions import OneClassWarning

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["most_mixed", "warn_if_one_swallows_all"]


def most_mixed(counts: NDArray[np.int64], n_rows: int = 4) -> NDArray[np.intp]:
    """Choose the images with the most pixels that are not of the largest class.

    Parameters
    ----------
    counts : ndarray of shape (n_images, n_classes), dtype int64
        Pixels of each class.
    n_rows : int, default=4
        Largest number of images.

    Returns
    -------
    ndarray of shape (n_chosen,), dtype intp
        Their rows, the most mixed first.

    Examples
    --------
    >>> most_mixed(np.array([[9, 0], [8, 1], [5, 4]]), n_rows=2)
    array([2, 1])
    """
    others = counts.sum(1) - counts[:, counts.sum(0).argmax()]
    return np.argsort(-others, kind="stable")[:n_rows]


def warn_if_one_swallows_all(
    predicted: NDArray[np.intp],
    counts: NDArray[np.int64],
    classes: NDArray[np.generic],
    advice: str,
    stacklevel: int,
) -> None:
    """Warn if all pixels on which an estimator was fitted are given one class, though they have several.

    Parameters
    ----------
    predicted : ndarray of intp
        Codes that are predicted for them, in any order.
    counts : ndarray of shape (n_classes,), dtype int64
        Pixels of each class among them.
    classes : ndarray of shape (n_classes,)
        Labels of the codes.
    advice : str
        Sentence on what may help.
    stacklevel : int
        Frame that the warning points at, as in `warnings.warn`, counted from the caller.

    Warns
    -----
    OneClassWarning
        If so; pixels of other classes than the predicted one have to be among them.
    """
    only = np.unique(predicted)
    if len(only) == 1 and (other := 1 - counts[only[0]] / counts.sum()) > 0:
        warnings.warn(
            f"every pixel of the training images that were looked at is predicted to be "
            f"{classes[only[0]].item()!r}, though {other:.0%} of those that are labelled are not. {advice}",
            OneClassWarning,
            stacklevel=stacklevel + 1,
        )
