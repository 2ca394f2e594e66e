"""What both estimators of masks share: parameters, masks in and masks out."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sklearn.base import BaseEstimator

from sktransfer.features.run_parameters import RunParameters
from sktransfer.images.validation import validate_images
from sktransfer.parameters import check_parameters, checked, integer
from sktransfer.segmentation.masks import as_mask_sequence, is_one_array, stack_masks
from sktransfer.segmentation.scorer import MaskScorer
from sktransfer.segmentation.whole_images import ImageSize, check_image_size
from sktransfer.training.atomic_fit import restored_on_failure
from sktransfer.training.targets import refuse_missing_y, row_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from sklearn.utils import Tags
    from typing_extensions import Self

    from sktransfer.images.sequences import ImageSequence
    from sktransfer.segmentation.coarse_scores import CoarseScores
    from sktransfer.segmentation.masks import MaskSequence

__all__ = ["MaskEstimator"]


@dataclass(kw_only=True, eq=False, repr=False)
class MaskEstimator(RunParameters, BaseEstimator):  # type: ignore[misc] # sklearn is untyped
    """Labels every pixel of images; its subclasses say how that is learned.

    Parameters
    ----------
    unlabeled : int, str or sequence of these, default=-1
        Labels whose pixels count nowhere: in the fit, in weights of classes, in early stopping and
        in `score`. Scribbles are masks most of whose pixels are of it.
    image_size : int, (int, int) or None, default=None
        Shorter side, or height and width, to which images are resized for the network; None leaves
        them as they are. Predictions always have the image's own size.
    batch_size : int, default=8
        Largest number of images that are read together and go through the network together; those
        of one step have one size.
    on_error : {"raise", "warn", "nan"}, default="raise"
        Treatment of images and masks that cannot be read: an error; or `fit` leaves them out and
        lists them in `failed_`, with a warning or without. `predict` and `predict_proba` raise,
        because nothing tells the size of such an image.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels of pixels, sorted.
    failed_ : list of int
        Rows of the fit whose image or mask could not be read.

    Raises
    ------
    MaskError
        From `fit`, if a mask is none, or does not belong to its image; with row and path.
    TrainingError
        From `fit`, if the loss becomes NaN, with epoch and rate.

    Warns
    -----
    OneClassWarning
        From `fit`, if every pixel of the training images that are looked at is predicted to be of one class
        although they have several.
    """

    unlabeled: object = -1
    image_size: ImageSize = checked(None, check_image_size)  # type: ignore[assignment] # not only an int
    batch_size: int = checked(8, integer(1, "images that go through the network together"))

    def fit(self, X: object, y: object, sample_weight: ArrayLike | None = None) -> Self:
        """Learn to label pixels; a fit that fails leaves the estimator as it was.

        Parameters
        ----------
        X : images
            Any of the kinds that :class:`~sktransfer.DeepFeatureTransformer` takes, of any sizes.
        y : masks
            An array (n, height, width) of labels, or a list of arrays, PIL images or paths, each in
            the size of its image. Labels are integers or names; pixels of `unlabeled` count nowhere.
        sample_weight : array-like of shape (n_images,), optional
            Per-image weight of the loss; images of weight 0 are left out.

        Returns
        -------
        object
            The estimator itself.
        """
        with restored_on_failure(self):
            check_parameters(self)
            refuse_missing_y(y, type(self).__name__)
            images, masks = self._images(X, reset=True), as_mask_sequence(y, self.image_shape)
            if len(images) != len(masks):
                raise ValueError(
                    f"X and y have different lengths: {len(images)} images and {len(masks)} masks. "
                    "Pass one mask for each image."
                )
            self._fit(images, masks, row_weights(sample_weight, len(masks)))
        return self

    def predict(self, X: object) -> NDArray[np.generic]:
        """Label every pixel.

        Parameters
        ----------
        X : images
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_images, height, width), or (n_images,) of dtype object
            Masks of labels in each image's own size; one array where X is one.
        """
        masks = [self.classes_[scores.codes()] for scores in self._scores(X)]
        return stack_masks(masks, as_one=is_one_array(X))

    def predict_proba(self, X: object) -> NDArray[np.generic]:
        """Compute the probability of each class at every pixel.

        Parameters
        ----------
        X : images
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_images, height, width, n_classes), or (n_images,) of dtype object
            In float32, each image in its own size; one array where X is one.
        """
        found = [scores.probabilities() for scores in self._scores(X)]
        return stack_masks(found, as_one=is_one_array(X))

    def score(self, X: object, y: object) -> float:
        """Compute the mean IoU over the data set, see :class:`~sktransfer.MaskScorer`.

        Parameters
        ----------
        X : images
            As in `fit`.
        y : masks
            As in `fit`.

        Returns
        -------
        float
            From 0 to 1.
        """
        return MaskScorer(unlabeled=self.unlabeled)(self, X, y)

    @abstractmethod
    def _fit(
        self, images: ImageSequence, masks: MaskSequence, weights: NDArray[np.float64]
    ) -> None:
        """Learn from images, their masks, and a weight for each pair."""

    @abstractmethod
    def _scores(self, X: object) -> Iterator[CoarseScores]:
        """Compute the scores of each image."""

    def _images(self, X: object, *, reset: bool) -> ImageSequence:
        return validate_images(
            self, X, image_shape=self.image_shape, reset=reset, allow_nan=self.on_error != "raise"
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.target_tags.required = True
        return tags
