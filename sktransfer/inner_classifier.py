"""The classifier inside a classifier: what both learn from rows of which only some have labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["InnerClassifier", "inner_has"]


class InnerClassifier:
    """Mixin of classifiers that hand vectors on to one of the user's, or to logistic regression.

    A subclass has the parameter `estimator`, and sets `estimator_` when it is fitted.

    Examples
    --------
    >>> from sktransfer import LabeledClassifier
    >>> LabeledClassifier()._classifier()
    LogisticRegression(max_iter=1000)
    """

    estimator: object

    def _classifier(self) -> Any:
        """Return a new classifier to fit."""
        return (
            LogisticRegression(max_iter=1000) if self.estimator is None else clone(self.estimator)
        )


def inner_has(name: str) -> Callable[[Any], bool]:
    """Return what tells whether the classifier inside has a method, for `available_if`."""
    return lambda outer: hasattr(getattr(outer, "estimator_", outer._classifier()), name)
