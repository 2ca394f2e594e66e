"""`FineTuneRegressor`: a pre-trained network, part or all of it trained to predict numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from sklearn.base import RegressorMixin

from sktransfer.docstrings import documented
from sktransfer.finetuning.estimator import FineTunedEstimator
from sktransfer.training.targets import ContinuousTarget, check_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from sklearn.utils import Tags

__all__ = ["FineTuneRegressor"]


@documented
@dataclass(kw_only=True, eq=False, repr=False)
class FineTuneRegressor(RegressorMixin, FineTunedEstimator):  # type: ignore[misc] # sklearn is untyped
    """Train a new head, and part or all of a pre-trained network, to predict numbers from images.

    As :class:`~sktransfer.FineTuneClassifier`, for one or several continuous targets. They are
    standardised inside, the loss is their mean squared error, and predictions are in the user's
    units.

    Parameters
    ----------
    on_error : {"raise", "warn", "nan"}, default="raise"
        Treatment of images that cannot be read: an error; or `fit` leaves them out, lists them in
        `failed_`, and `predict` and `transform` give a row of NaN, with a warning or without.

    See Also
    --------
    FineTuneClassifier : The same for classes.

    Examples
    --------
    >>> from sktransfer.datasets import load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> ink = X.mean(axis=(1, 2))
    >>> model = FineTuneRegressor("tiny", strategy="frozen", random_state=0).fit(X[:200], ink[:200])
    >>> model.score(X[200:300], ink[200:300]) > 0.5
    True
    """

    def partial_fit(
        self, X: object, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> FineTuneRegressor:
        """Train for one epoch, at constant rates and without a validation part.

        Parameters
        ----------
        X : images
            Any of the kinds that :class:`~sktransfer.DeepFeatureTransformer` takes.
        y : array-like of shape (n_images,) or (n_images, n_targets)
            Targets. Those of the first call decide how all are standardised.
        sample_weight : array-like of shape (n_images,), optional
            Per-sample weight of the loss.

        Returns
        -------
        FineTuneRegressor
            The estimator itself.
        """
        self._continue(X, y, sample_weight, None)
        return self

    def predict(self, X: object) -> NDArray[np.float64]:
        """Predict the targets, in the user's units.

        Parameters
        ----------
        X : images
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_images,) or (n_images, n_targets), dtype float64
            As many axes as the `y` of the fit.
        """
        scores = self._scores(X)
        return cast("ContinuousTarget", self._coder).decode(scores)

    def _check_y(self, y: Any) -> NDArray[np.generic]:
        return check_values(y)

    def _target(
        self,
        y: NDArray[Any],
        weights: NDArray[np.float64],
        classes: ArrayLike | None,  # noqa: ARG002 - a classifier needs them
    ) -> ContinuousTarget:
        return ContinuousTarget.of(y, weights)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
