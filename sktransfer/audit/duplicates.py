"""Duplicates: groups of images that are the same, or nearly so, told from their features."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["Neighbours", "near_threshold_of", "nearest_images", "same_content", "united"]

_BLOCK = 1024  # images whose similarities to all others are held at once
_FEW = 30  # images among which nothing is known of how similar different ones are
_RANK = 3  # copies mostly come in twos and threes, so the third nearest image is none
_SPREADS = 7.0
_BOUNDS = (0.75, 0.98)
_OF_FEW = 0.95


class Neighbours(NamedTuple):
    """The nearest other image of each image, and the groups that near duplicates form."""

    nearest: NDArray[np.intp]
    similarity: NDArray[np.float64]
    groups: NDArray[np.intp]  # the first row of each image's group
    threshold: float


def nearest_images(features: NDArray[np.float32], threshold: float | None) -> Neighbours:
    """Compare all images by the cosine of their standardised features.

    Parameters
    ----------
    features : ndarray of shape (n_images, n_features)
        Finite.
    threshold : float or None
        Cosine from which a pair counts as near duplicates; None is `near_threshold_of` these.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> features = rng.standard_normal((50, 20)).astype(np.float32)
    >>> features[7] = features[3] + 0.01
    >>> nearest_images(features, None).groups[:9]
    array([0, 1, 2, 3, 4, 5, 6, 3, 8])
    """
    n = len(features)
    nearest = np.full(n, -1, np.intp)
    similarity, third = np.full(n, np.nan), np.full(n, np.nan)
    if n < 2:
        return Neighbours(nearest, similarity, np.arange(n), threshold or _OF_FEW)
    unit = _standardised(features)
    for rows, cosines in _blocks(unit):
        nearest[rows] = cosines.argmax(1)
        similarity[rows] = np.clip(cosines.max(1), -1, 1)
        third[rows] = np.partition(cosines, -min(_RANK, n - 1), axis=1)[:, -min(_RANK, n - 1)]
    limit = near_threshold_of(third) if threshold is None else threshold
    groups = np.arange(n)
    if similarity.max() >= limit:
        for rows, cosines in _blocks(unit):
            one, other = np.nonzero(cosines >= limit)
            # At once, because all pairs of ten thousand copies of one image would not fit.
            groups = united(n, np.vstack([_as_pairs(groups), np.column_stack([rows[one], other])]))
    return Neighbours(nearest, similarity, groups, float(limit))


def near_threshold_of(similarity: NDArray[np.float64]) -> float:
    """Choose a threshold from the similarities of each image to its third nearest.

    Those are different images even where every image has a copy. Median and spread are taken of
    arctanh of the cosines, which is close to normal, and what lies seven spreads above the median
    is a copy: no two different images of hymenoptera, CIFAR-10 and digits do, in the features of
    `tiny` or of mobilenet_v2, and the nearest come close. Where that lies depends on network and
    images; it is kept within .75 and .98, and is .95 for fewer than 30 images.
    """
    if len(similarity) < _FEW:
        return _OF_FEW
    z = np.arctanh(np.clip(similarity, -0.999999, 0.999999))
    median = np.median(z)
    spread = 1.4826 * np.median(np.abs(z - median))
    return float(np.clip(np.tanh(median + _SPREADS * spread), *_BOUNDS))


def same_content(keys: Sequence[Hashable]) -> NDArray[np.intp]:
    """Pair each image with the first one of the same key.

    Returns
    -------
    ndarray of shape (n_pairs, 2), dtype intp
        Rows; None is no key.

    Examples
    --------
    >>> same_content(["a", "b", "a", None, None])
    array([[0, 2]])
    """
    first: dict[Hashable, int] = {}
    pairs = [(first.setdefault(key, row), row) for row, key in enumerate(keys) if key is not None]
    return np.array([pair for pair in pairs if pair[0] != pair[1]], np.intp).reshape(-1, 2)


def united(n: int, pairs: NDArray[np.intp]) -> NDArray[np.intp]:
    """Join pairs to groups; each image gets the first row of its group.

    Examples
    --------
    >>> united(5, np.array([[1, 3], [3, 4]]))
    array([0, 1, 2, 1, 1])
    """
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, components = connected_components(graph, directed=False)
    _, firsts, inverse = np.unique(components, return_index=True, return_inverse=True)
    groups: NDArray[np.intp] = firsts[inverse].astype(np.intp)
    return groups


def _as_pairs(groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """Pair each image with the first of its group."""
    return np.column_stack([np.arange(len(groups)), groups])


def _standardised(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give each feature mean 0 and about the same spread, and each image unit length."""
    spread = features.std(0) + 1e-3 * features.std()
    centred = (features - features.mean(0)) / np.where(spread > 0, spread, 1)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    unit: NDArray[np.float32] = centred / np.where(lengths > 0, lengths, 1)
    return unit


def _blocks(unit: NDArray[np.float32]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
    """Yield rows and their cosines to all images; an image is not its own neighbour."""
    for start in range(0, len(unit), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(unit)))
        cosines = unit[rows] @ unit.T
        cosines[np.arange(len(rows)), rows] = -2
        yield rows, cosines
