"""Linear heads on more columns than images: the same solution, found in the span of the images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["fit_in_span", "is_linear_on_top"]


def is_linear_on_top(estimator: object) -> bool:
    """Tell whether an estimator is a pipeline that ends in an L2-penalised logistic regression.

    Examples
    --------
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn.pipeline import make_pipeline
    >>> is_linear_on_top(make_pipeline(StandardScaler(), LogisticRegression()))
    True
    """
    if not isinstance(estimator, Pipeline) or estimator.memory or len(estimator.steps) < 2:
        return False
    head = estimator.steps[-1][1]
    # `penalty` is "l2", or, from scikit-learn 1.8 on, "deprecated" beside l1_ratio=0
    return (
        type(head) is LogisticRegression
        and head.solver == "lbfgs"
        and getattr(head, "penalty", "l2") in ("l2", "deprecated")
        and not getattr(head, "l1_ratio", None)
        and not head.warm_start
    )


def fit_in_span(pipeline: Pipeline, X: Any, y: NDArray[np.generic]) -> Pipeline:
    """Fit a pipeline for which `is_linear_on_top` holds, quicker if it has more columns than images.

    The weights that minimise a loss of ``X @ w`` plus ``||w||²`` are a combination of the rows of X: what is
    orthogonal to all of them changes no score and costs a penalty (the representer theorem [1]_). So the
    rows are written in an orthonormal basis of their span, with at most as many coordinates as there are
    rows, and the weights that are found there are turned back.

    Parameters
    ----------
    pipeline : Pipeline
        Is fitted.
    X, y : images and ndarray of shape (n_images,)

    Returns
    -------
    Pipeline
        `pipeline`, as if by its own `fit`, to the tolerance of its solver.

    References
    ----------
    .. [1] Schölkopf, Herbrich, Smola, "A generalized representer theorem", COLT 2001.
    """
    features = np.asarray(pipeline[:-1].fit_transform(X, y))
    head = pipeline.steps[-1][1]
    if features.ndim != 2 or features.shape[0] >= features.shape[1]:
        head.fit(features, y)
        return pipeline
    basis, coordinates = np.linalg.qr(features.T.astype(np.float64))
    head.fit(coordinates.T, y)
    head.coef_ = head.coef_ @ basis.T
    head.n_features_in_ = features.shape[1]
    return pipeline
