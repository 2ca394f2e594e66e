"""Proxy A-distance: how well a linear classifier tells two domains apart by their features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils import check_random_state

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["proxy_a_distance"]

_PENALTIES = (1e-4, 1e-2, 1.0)
_N_FOLDS = 2


def proxy_a_distance(
    estimator: Any, X_source: Any, X_target: Any, *, random_state: object = 0
) -> float:
    """Compute ``2 (1 - 2 e)``, where e is the error of a linear SVM that tells the domains apart.

    0 means that it cannot tell them apart, 2 that it always can (section 3.2 of [1]_). Each domain
    counts for half of the error, whatever its number of rows, and each row is told by an SVM that
    was trained without it; of several penalties the best counts. An adapted model should have a
    smaller distance than one that was trained on the source alone.

    Parameters
    ----------
    estimator : transformer or None
        Fitted; its `transform` gives the features. None takes `X_source` and `X_target` for
        features.
    X_source, X_target : images, or arrays of shape (n_rows, n_features)
        At least four rows of each.
    random_state : int, RandomState or None, default=0
        Seed of the folds and the SVM.

    Returns
    -------
    float
        From 0 to 2; an SVM that is worse than chance counts as 0.

    Raises
    ------
    ValueError
        If there are fewer than four rows of a domain.

    See Also
    --------
    DomainsDisplay : Draws the domains, with this distance above.
    DANNClassifier : Brings the domains together.

    References
    ----------
    .. [1] Ganin et al., "Domain-adversarial training of neural networks", JMLR 17(59), 2016.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a, b, far = rng.normal(size=(3, 100, 2)) + [[[0]], [[0]], [[9]]]
    >>> proxy_a_distance(None, a, b) < 0.3, proxy_a_distance(None, a, far)
    (True, 2.0)
    """
    source, target = (
        np.asarray(X if estimator is None else estimator.transform(X), dtype=np.float64)
        for X in (X_source, X_target)
    )
    smaller = min(len(source), len(target))
    if smaller < 2 * _N_FOLDS:
        raise ValueError(
            f"X_source has {len(source)} rows and X_target {len(target)}. The distance needs at "
            f"least {2 * _N_FOLDS} of each. Pass more rows."
        )
    X = np.concatenate([source, target])
    is_target = np.repeat([0, 1], [len(source), len(target)])
    rng = check_random_state(random_state)
    folds = StratifiedKFold(_N_FOLDS, shuffle=True, random_state=rng.randint(2**31 - 1))
    seed = rng.randint(2**31 - 1)
    error = min(_error(X, is_target, penalty, folds, seed) for penalty in _PENALTIES)
    return max(0.0, 2 * (1 - 2 * error))


def _error(
    X: NDArray[np.float64], is_target: NDArray[np.int64], penalty: float, folds: object, seed: int
) -> float:
    svm = LinearSVC(C=penalty, class_weight="balanced", dual=False, random_state=seed)
    told = cross_val_predict(make_pipeline(StandardScaler(), svm), X, is_target, cv=folds)
    wrong = told != is_target
    return float(np.mean([wrong[is_target == domain].mean() for domain in (0, 1)]))
