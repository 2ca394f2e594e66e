"""Pipelines that begin with features: the transformer of images, and the steps that come after it."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline

from sktransfer.features.transformer import DeepFeatureTransformer

__all__ = ["split_first_step", "split_pipeline"]


def split_pipeline(estimator: object) -> tuple[DeepFeatureTransformer | None, Any]:
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
        Estimator that takes the features; it shares its steps with `estimator`. None if there is no more,
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
    first, rest = split_first_step(estimator)
    return (first, rest) if isinstance(first, DeepFeatureTransformer) else (None, estimator)


def split_first_step(estimator: object) -> tuple[Any, Any]:
    """Split an estimator into its first step and what takes that step's output.

    Parameters
    ----------
    estimator : estimator
        A Pipeline, also a nested one; a search that has found its ``best_estimator_``, which then
        counts; or anything else, which is its own first step.

    Returns
    -------
    first : estimator
        The first step.
    rest : estimator or None
        A Pipeline of the other steps, which it shares with `estimator`; None if there are none.
    """
    estimator = getattr(estimator, "best_estimator_", estimator)
    if not isinstance(estimator, Pipeline):
        return estimator, None
    first, inner = split_first_step(estimator.steps[0][1])
    steps = ([] if inner is None else [(estimator.steps[0][0], inner)]) + estimator.steps[1:]
    return first, Pipeline(steps) if steps else None
