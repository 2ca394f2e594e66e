"""Intervals of shares that were counted: of images that are right, over all and by class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["mean_share_interval", "wilson_interval"]

_N_DRAWS = 20_000


def wilson_interval(hits: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Compute the score interval of Wilson for a share, which never leaves 0..1.

    Parameters
    ----------
    hits : float
        Number of images that are right; a fraction where folds are repeated.
    n : float
        Number of images.
    level : float, default=0.95
        Coverage.

    Returns
    -------
    low, high : float
        NaN if `n` is 0.

    References
    ----------
    .. [1] Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22,
       1927.

    Examples
    --------
    >>> low, high = wilson_interval(79, 80)
    >>> f"{low:.2f} to {high:.2f}"
    '0.93 to 1.00'
    """
    if not n:
        return float("nan"), float("nan")
    z = float(stats.norm.ppf(0.5 + level / 2))
    share, scale = hits / n, 1 + z**2 / n
    middle = (share + z**2 / (2 * n)) / scale
    half = z / scale * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def mean_share_interval(hits: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Compute an interval for the mean over classes of the share that is right.

    Parameters
    ----------
    hits, n : array-like of shape (n_classes,)
        Number of images of each class that are right, and of all.
    level : float, default=0.95
        Coverage.

    Returns
    -------
    low, high : float
        Quantiles of the mean of draws from each class's posterior under the prior of Jeffreys,
        Beta(1/2, 1/2); the same for the same numbers.

    Examples
    --------
    >>> low, high = mean_share_interval([40, 3], [40, 5])
    >>> f"{low:.2f} to {high:.2f}"
    '0.60 to 0.95'
    """
    right, total = np.asarray(hits, dtype=np.float64), np.asarray(n, dtype=np.float64)
    rng = np.random.default_rng(0)
    shape = (_N_DRAWS, len(right))
    means = rng.beta(right + 0.5, total - right + 0.5, size=shape).mean(1)  # (draws,)
    low, high = np.quantile(means, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)
