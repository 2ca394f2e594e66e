"""The features of a network that was trained, and its weights in a file, for estimators that hold one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sktransfer.images.validation import validate_images
from sktransfer.training.parameters import TrainingParameters
from sktransfer.training.serving import pooled_features

if TYPE_CHECKING:
    import os

    import numpy as np
    from numpy.typing import NDArray
    from sklearn.utils import Tags

    from sktransfer.images.sequences import ImageSequence
    from sktransfer.training.portable_network import TrainedNetwork

__all__ = ["TunedFeatures"]


class TunedFeatures(
    TransformerMixin,  # type: ignore[misc] # sklearn is untyped
    TrainingParameters,
    BaseEstimator,  # type: ignore[misc]
):
    """An estimator of images whose fit leaves a trained network in `_trained`."""

    _trained: TrainedNetwork

    def transform(self, X: object) -> NDArray[np.float32]:
        """Compute the features of the trained backbone, on which the head was put.

        Parameters
        ----------
        X : images
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_images, n_features), dtype float32
            Rows of images that cannot be read are NaN, unless `on_error` is "raise".
        """
        check_is_fitted(self)
        images = self._images(X, reset=False)
        trained = self._trained
        return pooled_features(
            images, trained.loaded, trained.preprocessing, trained.pooling, self.run_settings()
        ).features

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Write the trained backbone to a file that `weights` of every class can name.

        The head is not part of it: pickle the estimator to keep that.

        Parameters
        ----------
        path : str or path
            Path of a .safetensors file.

        Raises
        ------
        ValueError
            If the name ends otherwise.
        """
        check_is_fitted(self)
        target = Path(path)
        if target.suffix != ".safetensors":
            raise ValueError(
                f"path={str(path)!r} must end in .safetensors, the only kind of file that is "
                f"written. For example {str(target.with_suffix('.safetensors'))!r}."
            )
        self._trained.save_weights(target)

    def _images(self, X: object, *, reset: bool) -> ImageSequence:
        return validate_images(
            self, X, image_shape=self.image_shape, reset=reset, allow_nan=self.on_error != "raise"
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_trained")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = self.on_error != "raise"
        tags.transformer_tags.preserves_dtype = []
        return tags
