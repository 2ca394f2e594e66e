"""The classifier inside a classifier: what both learn from rows of which only some have labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["InnerClassifier", "clone_of_user", "inner_has"]


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
        if self.estimator is None:
            return LogisticRegression(max_iter=1000)
        return clone_of_user(self.estimator)


def clone_of_user(estimator: Any) -> Any:
    """Clone the classifier that a user has passed as `estimator`.

    Raises
    ------
    TypeError
        If it is none.

    Examples
    --------
    >>> clone_of_user("svm")
    Traceback (most recent call last):
    TypeError: estimator='svm' is no classifier. Pass one of scikit-learn, such as SVC(), or None.
    """
    if isinstance(estimator, type) or not hasattr(estimator, "fit"):
        raise TypeError(
            f"estimator={estimator!r} is no classifier. Pass one of scikit-learn, such as SVC(), or None."
        )
    return clone(estimator)


def inner_has(name: str) -> Callable[[Any], bool]:
    """Return what tells whether the classifier inside has a method, for `available_if`."""
    return lambda outer: hasattr(getattr(outer, "estimator_", outer._classifier()), name)
