"""Is one candidate better than another? The paired t-test, corrected for folds that overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["corrected_paired_ttest", "holm"]


def corrected_paired_ttest(differences: ArrayLike, *, n_train: float, n_test: float) -> float:
    """Test whether the mean difference of two candidates' scores over the same folds is zero.

    The training parts of folds overlap, so that their scores vary less than independent ones would,
    and the plain paired t-test finds differences where there are none. The correction of [1]_
    widens the variance by the share of test images, ``n_test / n_train``; [2]_ shows it for
    repeated k-fold cross-validation.

    Parameters
    ----------
    differences : array-like of shape (n_folds,)
        Score of the one candidate less that of the other, fold by fold; all repetitions of a
        repeated cross-validation together.
    n_train, n_test : float
        Images on which a fold is fitted and scored, on average over the folds.

    Returns
    -------
    float
        The two-sided p-value: how probable a mean at least this far from zero would be if the
        candidates were equally good. NaN for a single fold; 1 if no fold differs; 0 if all folds
        differ by the same amount.

    Raises
    ------
    ValueError
        If `differences` has not one dimension or is empty.

    Notes
    -----
    With n differences of mean m and variance s² (n - 1 degrees of freedom), the statistic is
    ``m / sqrt((1 / n + n_test / n_train) * s²)`` (section 4.2.2 of [1]_, equation 2.2 of [2]_).

    References
    ----------
    .. [1] Nadeau, Bengio, "Inference for the generalization error", Machine Learning 52, 2003.
    .. [2] Bouckaert, Frank, "Evaluating the replicability of significance tests for comparing
       learning algorithms", PAKDD, 2004.

    Examples
    --------
    >>> differences = [0.02, 0.05, 0.01, 0.04, 0.03]
    >>> round(corrected_paired_ttest(differences, n_train=80, n_test=20), 4)
    0.0474
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1 or not d.size:
        raise ValueError(
            f"differences of shape {d.shape} must be a list of numbers, one for each fold."
        )
    if d.size == 1:
        return float("nan")
    mean, variance = d.mean(), d.var(ddof=1)
    if np.ptp(d) == 0:
        return 1.0 if mean == 0 else 0.0
    t = mean / np.sqrt((1 / d.size + n_test / n_train) * variance)
    return float(2 * stats.t.sf(abs(t), df=d.size - 1))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values for their number, so that the chance of a single false alarm stays what it was.

    Parameters
    ----------
    p_values : array-like of shape (n_tests,)
        NaN where nothing was tested.

    Returns
    -------
    ndarray of shape (n_tests,)
        At most 1; NaN stays.

    References
    ----------
    .. [1] Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
       Statistics 6, 1979.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03, np.nan]).round(3).tolist()
    [0.03, 0.06, 0.06, nan]
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full_like(p, np.nan)
    order = np.argsort(p)[: int(np.isfinite(p).sum())]  # NaN sorts last
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * factors))
    return adjusted
