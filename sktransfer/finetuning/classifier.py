"""`FineTuneClassifier`: a pre-trained network, part or all of it trained to tell classes apart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np
from sklearn.base import ClassifierMixin

from sktransfer.docstrings import documented
from sktransfer.exceptions import ImageDecodeError
from sktransfer.finetuning.estimator import FineTunedEstimator
from sktransfer.parameters import checked, number
from sktransfer.training.targets import check_labels, class_target, class_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray
    from sklearn.utils import Tags

    from sktransfer.training.targets import ClassTarget, Target

__all__ = ["FineTuneClassifier"]


@documented
@dataclass(kw_only=True, eq=False, repr=False)
class FineTuneClassifier(ClassifierMixin, FineTunedEstimator):  # type: ignore[misc] # sklearn is untyped
    """Train a new head, and part or all of a pre-trained network, to classify images.

    Frozen stages run once an image, through the store that
    :class:`~sktransfer.DeepFeatureTransformer` uses too, and the epochs train on what they gave.

    Two classes are told apart by one logit with binary cross-entropy, more by a softmax. A matrix
    of 0 and 1 as `y` means several labels an image: one logit for each of its columns.

    Parameters
    ----------
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes; "balanced" gives all the same total.
    label_smoothing : float, default=0.0
        Part of the probability that is spread over all classes while training.
    on_error : {"raise", "warn", "nan"}, default="raise"
        Treatment of images that cannot be read: an error; or `fit` leaves them out, lists them in
        `failed_`, and `predict_proba` and `transform` give a row of NaN, with a warning or without.
        `predict` has no label for them and raises.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted; column numbers if rows have several labels.

    See Also
    --------
    DeepFeatureTransformer : Features for a classifier of scikit-learn; the network stays as it is.
    FineTuneRegressor : The same for numbers.
    compare_strategies : Compares the strategies on the same folds.

    Examples
    --------
    >>> from sktransfer.datasets import load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> model = FineTuneClassifier("tiny", max_epochs=10, random_state=0).fit(X[:200], y[:200])
    >>> model.score(X[200:300], y[200:300]) > 0.8
    True
    >>> model.predict_proba(X[:2]).shape
    (2, 10)
    """

    class_weight: dict[object, float] | str | None = None
    label_smoothing: float = checked(0.0, number(0, 1, "a probability", closed=True))

    def partial_fit(
        self,
        X: object,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> FineTuneClassifier:
        """Train for one epoch, at constant rates and without a validation part.

        Parameters
        ----------
        X : images
            Any of the kinds that :class:`~sktransfer.DeepFeatureTransformer` takes.
        y : array-like of shape (n_images,) or (n_images, n_labels)
            Labels.
        classes : array-like of shape (n_classes,), optional
            All labels that will ever come; at the first call. None takes those of its `y`.
        sample_weight : array-like of shape (n_images,), optional
            Per-sample weight of the loss.

        Returns
        -------
        FineTuneClassifier
            The estimator itself.
        """
        self._continue(X, y, sample_weight, classes)
        return self

    def decision_function(self, X: object) -> NDArray[np.float64]:
        """Compute logits.

        Parameters
        ----------
        X : images
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_images,) or (n_images, n_classes), dtype float64
            One a row for two classes, that of the second.
        """
        scores = self._scores(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict_proba(self, X: object) -> NDArray[np.float64]:
        """Compute the probability of each class.

        Parameters
        ----------
        X : images
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_images, n_classes), dtype float64
            Rows sum to one; with several labels a row, each column is a label's own probability.
        """
        scores = self._scores(X)
        return self._classes.probabilities(scores)

    def predict(self, X: object) -> NDArray[np.generic]:
        """Name the most probable class, or all labels with a probability above one half.

        Parameters
        ----------
        X : images
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_images,) or (n_images, n_labels)
            Of the labels' own dtype.

        Raises
        ------
        ImageDecodeError
            If an image cannot be read, whatever `on_error` says, because no label stands for that.
        """
        probabilities = self.predict_proba(X)
        unread = np.flatnonzero(np.isnan(probabilities).any(1))
        if len(unread):
            raise ImageDecodeError(
                f"image {unread[0]} of {len(probabilities)} cannot be read (of {len(unread)}), and "
                "no label stands for that. Leave it out, or call predict_proba, whose row is NaN"
            )
        return self._classes.labels(probabilities)

    @property
    def classes_(self) -> NDArray[np.generic]:
        """The labels, sorted."""
        if not hasattr(self, "_coder"):
            raise AttributeError(f"{type(self).__name__} has no classes_ before it is fitted.")
        return self._classes.classes

    @property
    def _classes(self) -> ClassTarget:
        return cast("ClassTarget", self._coder)

    def _check_y(self, y: object) -> NDArray[np.generic]:
        return check_labels(y)

    def _target(
        self,
        y: NDArray[np.generic],
        weights: NDArray[np.float64],  # noqa: ARG002 - a regressor needs them
        classes: ArrayLike | None,
    ) -> ClassTarget:
        return class_target(y, classes, float(self.label_smoothing))

    def _class_factors(
        self, target: Target
    ) -> Callable[[NDArray[np.generic], NDArray[np.float64]], NDArray[np.float64]]:
        return partial(class_weights, self.class_weight, cast("ClassTarget", target))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
