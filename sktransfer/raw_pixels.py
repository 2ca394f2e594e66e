"""Raw pixels as features: the baseline that a pre-trained network has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from sklearn.base import BaseEstimator, TransformerMixin

from sktransfer.images.validation import validate_images
from sktransfer.parameters import check_integer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from sklearn.utils import Tags

    from sktransfer.images import ImageShape
    from sktransfer.images.sequences import ImageSequence

__all__ = ["PixelTransformer"]

_CHANNELS = ("red", "green", "blue")


class PixelTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc] # sklearn is untyped
    """Turn each image into the row of its pixels, after resizing it to a small square.

    It learns nothing: `fit` only checks the parameters, and `transform` works without it.

    Parameters
    ----------
    size : int, default=32
        Side of the square to which every image is resized, in pixels. Bicubic and antialiased; the
        aspect ratio is not kept.
    image_shape : tuple of int, "row" or None, default=None
        Layout of flattened rows, as in :class:`~sktransfer.DeepFeatureTransformer`.

    Examples
    --------
    >>> from sktransfer.datasets import load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> rows = PixelTransformer(size=8).fit_transform(X[:5])
    >>> rows.shape, rows.dtype
    ((5, 192), dtype('float32'))
    """

    def __init__(self, size: int = 32, *, image_shape: ImageShape = None) -> None:
        self.size = size
        self.image_shape = image_shape

    def fit(self, X: object, y: ArrayLike | None = None) -> PixelTransformer:  # noqa: ARG002 - API
        """Check the parameters and that `X` holds images.

        Parameters
        ----------
        X : images
            Any of the kinds that :class:`~sktransfer.DeepFeatureTransformer` takes.
        y : ignored

        Returns
        -------
        PixelTransformer
            The estimator itself.
        """
        self._check_size()
        self._images(X, reset=True)
        return self

    def transform(self, X: object) -> NDArray[np.float32]:
        """Resize the images and lay out their pixels in rows.

        Parameters
        ----------
        X : images
            Any of the kinds that :class:`~sktransfer.DeepFeatureTransformer` takes.

        Returns
        -------
        ndarray of shape (n_images, size * size * 3), dtype float32
            Pixels in 0..1, row by row, the three channels of a pixel side by side.
        """
        size = self._check_size()
        images = self._images(X, reset=False)
        rows = np.empty((len(images), size * size * 3), dtype=np.float32)
        for row in range(len(images)):
            image = images.decode(row, images.read(row), min_size=size)
            image = image.resize((size, size), Image.Resampling.BICUBIC)
            rows[row] = np.asarray(image, dtype=np.float32).reshape(-1)  # (size * size * 3,)
        rows /= 255
        return rows

    def get_feature_names_out(
        self,
        input_features: ArrayLike | None = None,  # noqa: ARG002 - scikit-learn's signature
    ) -> NDArray[np.object_]:
        """Name the columns: ``pixel_0_0_red`` is the top left pixel.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of shape (size * size * 3,), dtype object
        """
        side = range(self._check_size())
        names = [f"pixel_{row}_{col}_{name}" for row in side for col in side for name in _CHANNELS]
        return np.array(names, dtype=object)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def _images(self, X: object, *, reset: bool) -> ImageSequence:
        return validate_images(self, X, image_shape=self.image_shape, reset=reset, allow_nan=False)

    def _check_size(self) -> int:
        return check_integer("size", self.size, 1, "the side of the image in pixels")
