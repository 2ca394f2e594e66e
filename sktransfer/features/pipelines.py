"""Pipelines that begin with features: the transformer of images, and the steps that come after it."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline

from sktransfer.features.transformer import DeepFeatureTransformer

__all__ = ["split_pipeline"]


def split_pipeline(estimator: Any) -> tuple[DeepFeatureTransformer | None, Any]:
    """Split an estimator into the features it begins with and what it does with them.

    Parameters
    ----------
    estimator : estimator
        A Pipeline, also a nested one, whose first step is a
        :class:`~sktransfer.DeepFeatureTransformer`; such a transformer alone; a search that has
        found its ``best_estimator_``, which then counts; or anything else.

    Returns
    -------
    features : DeepFeatureTransformer or None
        None if the estimator does not begin with one.
    rest : estimator or None
        What takes the features; it shares its steps with `estimator`. None if there is no more,
        `estimator` itself if it does not begin with features.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.svm import SVC
    >>> features, rest = split_pipeline(make_pipeline(DeepFeatureTransformer("tiny"), SVC()))
    >>> features, rest.steps
    (DeepFeatureTransformer(backbone='tiny'), [('svc', SVC())])
    """
    estimator = getattr(estimator, "best_estimator_", estimator)
    if isinstance(estimator, DeepFeatureTransformer):
        return estimator, None
    if not isinstance(estimator, Pipeline):
        return None, estimator
    features, inner = split_pipeline(estimator.steps[0][1])
    if features is None:
        return None, estimator
    steps = ([] if inner is None else [(estimator.steps[0][0], inner)]) + estimator.steps[1:]
    return features, Pipeline(steps) if steps else None
