"""Example data that needs no network: small digits, and the same digits in two domains.

Everything is made on the spot from what scikit-learn ships, so the loaders give the same arrays on
every machine, and keep nothing between two calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images
from sklearn.model_selection import StratifiedKFold
from sklearn.utils import Bunch, check_random_state

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["load_digit_domains", "load_digit_images", "load_digit_masks"]

_SOURCE, _TARGET = 1, -2  # skada's convention: source domains are >= 0, target domains < 0
_UNLABELED = -1
_SIDE = 32

_IMAGES_DESCR = """\
Digit images
------------
The 1797 handwritten digits of scikit-learn's `load_digits` (UCI "Optical recognition of handwritten
digits", test part): 8 x 8 grey images of ten classes, white strokes on black, as bytes in 0..255.
"""

_DOMAINS_DESCR = """\
Digit domains
-------------
The same ten classes in two domains, as 32 x 32 RGB bytes. Source: one half of scikit-learn's
digits, upsampled, white on black. Target: the other half, no digit twice, blended over random
patches of scikit-learn's two photographs by the recipe of MNIST-M: |patch - digit|, per channel.
`y` holds -1 for the rows of the target; their true labels, `y_target`, are there for scoring only.
"""

_MASKS_DESCR = """\
Digit masks
-----------
300 patches of 64 x 64 pixels of scikit-learn's two photographs, on each of which lie one or two
handwritten digits of 32 to 48 pixels, each in one light colour. A pixel's label is 0 where the
photograph shows, and otherwise says which digit it belongs to: 1 for a zero, 2 for a one, 3 for a
seven. The masks are exact, because they decide where the digits are drawn.
"""

_DRAWN = (0, 1, 7)
_PATCH = 64


@overload
def load_digit_images(*, return_X_y: Literal[False] = False) -> Bunch: ...
@overload
def load_digit_images(
    *, return_X_y: Literal[True]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]: ...
def load_digit_images(
    *, return_X_y: bool = False
) -> Bunch | tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Load 1797 small images of handwritten digits.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return the pair ``(X, y)`` instead of a Bunch.

    Returns
    -------
    Bunch or (X, y)
        With the entries

        X : ndarray of shape (1797, 8, 8), dtype uint8
            Grey images, 0 (black) to 255 (white).
        y : ndarray of shape (1797,), dtype int64
            The digit, 0 to 9.
        target_names : ndarray of shape (10,), dtype int64
            The classes.
        DESCR : str
            Description of where the images come from.

    References
    ----------
    .. [1] Alpaydin, Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning
       Repository, 1998, doi:10.24432/C50P49.

    Examples
    --------
    >>> from sktransfer.datasets import load_digit_images
    >>> digits = load_digit_images()
    >>> digits.X.shape, digits.X.dtype, int(digits.X.max())
    ((1797, 8, 8), dtype('uint8'), 255)
    """
    digits = load_digits()
    X = _as_bytes(digits.images)
    y = digits.target.astype(np.int64)
    if return_X_y:
        return X, y
    return Bunch(X=X, y=y, target_names=digits.target_names.astype(np.int64), DESCR=_IMAGES_DESCR)


def load_digit_domains(*, random_state: int | np.random.RandomState | None = 0) -> Bunch:
    """Load digits in two domains, to adapt a network from the one to the other.

    The source is one half of scikit-learn's digits, white on black. The target is the other,
    disjoint half, blended over random patches of colour photographs as MNIST-M was made from MNIST
    ([1]_, section 5.2.4): the output pixel is ``|patch - digit|`` in each channel.

    Parameters
    ----------
    random_state : int, RandomState instance or None, default=0
        Decides the halves, the patches and nothing else. An int gives the same arrays every time.

    Returns
    -------
    Bunch
        With the entries

        X : ndarray of shape (1797, 32, 32, 3), dtype uint8
            The source's rows, then the target's.
        y : ndarray of shape (1797,), dtype int64
            The digit for rows of the source, -1 for rows of the target.
        sample_domain : ndarray of shape (1797,), dtype int64
            1 for rows of the source, -2 for rows of the target (skada's convention: targets are
            negative).
        X_source, X_target : ndarray of shape (898 or 899, 32, 32, 3), dtype uint8
            Views of the two parts of `X`.
        y_source, y_target : ndarray of shape (898 or 899,), dtype int64
            True digits of both parts. `y_target` is for scoring only: to fit on it, or to choose
            anything by it, is to cheat.
        DESCR : str
            Description of how the images were made.

    References
    ----------
    .. [1] Ganin, Ustinova, Ajakan, Germain, Larochelle, Laviolette, Marchand, Lempitsky,
       "Domain-adversarial training of neural networks", JMLR 17(59), 2016.

    Examples
    --------
    >>> from sktransfer.datasets import load_digit_domains
    >>> domains = load_digit_domains()
    >>> domains.X.shape, domains.X.dtype
    ((1797, 32, 32, 3), dtype('uint8'))
    >>> sorted(set(domains.sample_domain.tolist()))
    [-2, 1]
    """
    rng = check_random_state(random_state)
    digits = load_digits()
    images = _upsample(_as_bytes(digits.images))  # (1797, 32, 32, 3)
    labels = digits.target.astype(np.int64)
    source, target = _disjoint_halves(labels, rng)

    X_target = _blend(images[target], _random_patches(len(target), rng))
    X = np.concatenate([images[source], X_target])
    y = np.concatenate([labels[source], np.full(len(target), _UNLABELED, dtype=np.int64)])
    n_source = len(source)
    return Bunch(
        X=X,
        y=y,
        sample_domain=np.repeat([_SOURCE, _TARGET], [n_source, len(target)]).astype(np.int64),
        X_source=X[:n_source],
        y_source=labels[source],
        X_target=X[n_source:],
        y_target=labels[target],
        DESCR=_DOMAINS_DESCR,
    )


def load_digit_masks(random_state: int | np.random.RandomState | None = 0) -> Bunch:
    """Load small images with the mask of what they show: digits over photographs.

    Parameters
    ----------
    random_state : int, RandomState or None, default=0
        Decides patches, digits, places and colours.

    Returns
    -------
    Bunch
        With the entries

        X : ndarray of shape (300, 64, 64, 3), dtype uint8
            The images.
        y : ndarray of shape (300, 64, 64), dtype uint8
            Labels of the pixels: 0 for the photograph, 1, 2 and 3 for the digits zero, one and seven.
        groups : ndarray of shape (300,), dtype int64
            Number of the photograph that lies behind, 0 or 1, for `GroupKFold`.
        target_names : list of str
            Names of the labels.
        DESCR : str
            Description of how the images were made.

    Examples
    --------
    >>> from sktransfer.datasets import load_digit_masks
    >>> masks = load_digit_masks()
    >>> masks.X.shape, masks.y.shape, np.unique(masks.y).tolist()
    ((300, 64, 64, 3), (300, 64, 64), [0, 1, 2, 3])
    """
    rng = check_random_state(random_state)
    digits = load_digits()
    pools = [digits.images[digits.target == digit] for digit in _DRAWN]
    photographs = load_sample_images().images
    groups = np.arange(300) % len(photographs)
    X = np.stack([_patch(photographs[group], _PATCH, rng) for group in groups])
    y = np.zeros(X.shape[:3], np.uint8)
    for image, mask in zip(X, y, strict=True):
        for _ in range(rng.randint(1, 3)):
            label = rng.randint(len(pools))
            _draw(image, mask, pools[label][rng.randint(len(pools[label]))], label + 1, rng)
    names = ["photograph", "zero", "one", "seven"]
    return Bunch(X=X, y=y, groups=groups, target_names=names, DESCR=_MASKS_DESCR)


def _draw(
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    digit: NDArray[np.float64],
    label: int,
    rng: np.random.RandomState,
) -> None:
    """Draw a digit in one colour at a random place, and its label into the mask."""
    side = rng.randint(32, 49)
    enlarged = Image.fromarray(_as_bytes(digit)).resize((side, side), Image.Resampling.BICUBIC)
    stroke = np.asarray(enlarged) > 80
    top, left = rng.randint(0, _PATCH - side + 1, 2)
    place = slice(top, top + side), slice(left, left + side)
    image[place][stroke] = rng.randint(192, 256, 3)
    mask[place][stroke] = label


def _patch(
    photograph: NDArray[np.uint8], side: int, rng: np.random.RandomState
) -> NDArray[np.uint8]:
    """Cut a square from a photograph."""
    top = rng.randint(photograph.shape[0] - side + 1)
    left = rng.randint(photograph.shape[1] - side + 1)
    return photograph[top : top + side, left : left + side]


def _as_bytes(images: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Scale scikit-learn's digits from 0..16 to 0..255."""
    return np.rint(images * (255 / 16)).astype(np.uint8)


def _upsample(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Enlarge grey images to RGB of `_SIDE` pixels."""
    enlarged = [
        np.asarray(Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC))
        for image in images
    ]
    return np.repeat(np.stack(enlarged)[..., None], 3, axis=-1)  # (n, side, side, 3)


def _disjoint_halves(
    labels: NDArray[np.int64], rng: np.random.RandomState
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split the rows in two halves with the same share of each class, in shuffled order."""
    halves = StratifiedKFold(n_splits=2, shuffle=True, random_state=rng)
    first, second = next(halves.split(labels, labels))
    return rng.permutation(first), rng.permutation(second)


def _random_patches(n_patches: int, rng: np.random.RandomState) -> NDArray[np.uint8]:
    """Cut squares from scikit-learn's two photographs, each photograph equally often."""
    photographs = load_sample_images().images
    patches = np.empty((n_patches, _SIDE, _SIDE, 3), dtype=np.uint8)
    for patch in patches:
        photograph = photographs[rng.randint(len(photographs))]
        top = rng.randint(photograph.shape[0] - _SIDE + 1)
        left = rng.randint(photograph.shape[1] - _SIDE + 1)
        patch[:] = photograph[top : top + _SIDE, left : left + _SIDE]
    return patches


def _blend(digits: NDArray[np.uint8], patches: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return ``|patch - digit|``; in int16, because a difference of bytes would wrap around."""
    return np.abs(patches.astype(np.int16) - digits.astype(np.int16)).astype(np.uint8)
