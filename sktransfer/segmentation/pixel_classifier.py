"""`PixelClassifier`: frozen features of every pixel under any classifier of scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from sktransfer.backbones.weights import load_backbone
from sktransfer.docstrings import documented
from sktransfer.exceptions import ImageDecodeError
from sktransfer.features.run_parameters import RunParameters
from sktransfer.features.taps import resolve_slots
from sktransfer.images.validation import validate_images
from sktransfer.parameters import check_parameters, checked, integer, optional
from sktransfer.randomness import draw_seed
from sktransfer.segmentation.frozen_maps import FrozenMaps
from sktransfer.segmentation.grids import Grid, layer_grids, resample
from sktransfer.segmentation.hand_made import hand_made_features
from sktransfer.segmentation.mask_labels import as_labels, classes_of, is_unlabeled
from sktransfer.segmentation.masks import as_mask_sequence, check_sizes, stack_masks
from sktransfer.segmentation.scorer import MaskScorer
from sktransfer.segmentation.segmenter import is_one_array, labels_of
from sktransfer.segmentation.whole_images import check_image_size, read_image, resized
from sktransfer.training.atomic_fit import restored_on_failure
from sktransfer.training.targets import refuse_missing_y, row_weights

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray
    from sklearn.utils import Tags

    from sktransfer.backbones.weights import LoadedBackbone
    from sktransfer.images.sequences import ImageSequence

__all__ = ["PixelClassifier"]

_STEP = 4  # pixels from one classified pixel to the next, under a classifier that is not linear


@documented
@dataclass(kw_only=True, eq=False, repr=False)
class PixelClassifier(RunParameters, BaseEstimator):  # type: ignore[misc] # sklearn is untyped
    """Classify every pixel by frozen features of the layers of a network.

    Some labelled pixels of each image are drawn, uniformly, and their features fit a classifier.

    Parameters
    ----------
    estimator : classifier or None, default=None
        Any classifier of scikit-learn with `predict_proba`; None is logistic regression on scaled
        features, whose scores are computed at the stride of each layer. Others classify every fourth
        pixel, and probabilities in between are interpolated.
    backbone : str, nn.Module, callable, BackboneSpec or None, default="resnet50"
        As in :class:`~sktransfer.DeepFeatureTransformer`. None uses no network but hand-made features:
        colours, edges and textures at several scales.
    weights : str or path, default="default"
        Weights of the network.
    layers : sequence of str or int, or None, default=None
        Layers whose maps are used; None takes every stage.
    n_pixels : int or None, default=200
        Number of labelled pixels that are drawn of each image; None takes all.
    unlabeled : int, str or sequence of these, default=-1
        Labels whose pixels count nowhere. Scribbles are masks most of whose pixels are of it.
    image_size : int, (int, int) or None, default=None
        Shorter side, or height and width, to which images are resized for the network; None leaves
        them as they are. Predictions always have the image's own size.
    batch_size : int, default=8
        Largest number of images that go through the network together.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels of pixels, sorted.
    estimator_ : classifier
        The fitted classifier.
    n_pixels_ : int
        Number of pixels that it was fitted to.
    failed_ : list of int
        Rows of the fit whose image or mask could not be read.

    Raises
    ------
    MaskError
        From `fit`, if a mask is none, or does not belong to its image; with row and path.

    Examples
    --------
    >>> from sktransfer.datasets import load_digit_masks
    >>> data = load_digit_masks()
    >>> model = PixelClassifier(backbone="tiny", random_state=0).fit(data.X[:20], data.y[:20])
    >>> model.predict(data.X[:2]).shape
    (2, 64, 64)
    """

    estimator: Any = field(default=None, kw_only=False)
    backbone: Any = "resnet50"
    weights: str | os.PathLike[str] = "default"
    layers: Any = None
    n_pixels: int | None = checked(200, optional(integer(1, "pixels that are drawn of an image")))
    unlabeled: Any = -1
    image_size: Any = checked(None, check_image_size)
    batch_size: int = checked(8, integer(1, "images that go through the network together"))

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> PixelClassifier:
        """Draw pixels, compute their features, and fit the classifier.

        Parameters
        ----------
        X : images
            As in :class:`~sktransfer.FineTuneSegmenter`.
        y : masks
            As in :class:`~sktransfer.FineTuneSegmenter`.
        sample_weight : array-like of shape (n_images,), optional
            Images of weight 0 are left out; other weights are those of each of their pixels.

        Returns
        -------
        PixelClassifier
            The estimator itself.
        """
        with restored_on_failure(self):
            self._fit(X, y, sample_weight)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
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
        masks = [self.classes_[scores.argmax(0)] for scores in self._scores(X, proba=False)]
        return stack_masks(masks, as_one=is_one_array(X))

    def predict_proba(self, X: Any) -> NDArray[Any]:
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
        found = [np.moveaxis(scores, 0, -1) for scores in self._scores(X, proba=True)]
        return stack_masks(found, as_one=is_one_array(X))

    def score(self, X: Any, y: Any) -> float:
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
            In 0..1.
        """
        return MaskScorer(unlabeled=self.unlabeled)(self, X, y)

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        check_parameters(self)
        refuse_missing_y(y, type(self).__name__)
        images, masks = self._images(X, reset=True), as_mask_sequence(y, self.image_shape)
        if len(images) != len(masks):
            raise ValueError(
                f"X and y have different lengths: {len(images)} images and {len(masks)} masks. Pass "
                "one mask for each image."
            )
        weights = row_weights(sample_weight, len(masks))
        left_out = as_labels(self.unlabeled)
        seed = draw_seed(self.random_state)
        self._source = None if self.backbone is None else self._load(seed)
        parts, drawn, found, of_row, failed = [], [], [], [], []
        for row in np.flatnonzero(weights > 0).tolist():
            try:
                pixels, mask = read_image(images, row), masks.read(row)
            except ImageDecodeError:
                if self.on_error == "raise":
                    raise
                failed.append(row)
                continue
            check_sizes(images, row, (pixels.shape[0], pixels.shape[1]), masks, mask)
            labelled = np.flatnonzero(~is_unlabeled(mask, left_out).ravel())
            found.append(classes_of([mask], left_out))
            rng = np.random.default_rng([seed, len(found)])
            if self.n_pixels is not None and len(labelled) > self.n_pixels:
                labelled = rng.choice(labelled, self.n_pixels, replace=False)
            parts.append(self._at(pixels, np.unravel_index(labelled, mask.shape)))
            drawn.append(mask.ravel()[labelled])
            of_row.append(np.full(len(labelled), weights[row]))
        if not parts:
            raise ValueError("none of the images can be read. Check the paths.")
        labels = labels_of(found, self.unlabeled, masks, int(np.argmax(weights > 0)))
        codes = labels.encode(np.concatenate(drawn)[None])[0]
        self.classes_, self.failed_, self.n_pixels_ = labels.classes, failed, len(codes)
        self.estimator_ = self._fitted(np.concatenate(parts), codes, np.concatenate(of_row))

    def _fitted(
        self, features: NDArray[Any], codes: NDArray[Any], weights: NDArray[np.float64]
    ) -> Any:
        """Fit the classifier to features of pixels and codes of their classes."""
        if self.estimator is None:
            linear = make_pipeline(
                StandardScaler(), LogisticRegression(C=0.01, tol=1e-3, max_iter=500)
            )
            named = {"logisticregression__sample_weight": weights}
            return linear.fit(features, codes, **named)
        model = clone(self.estimator)
        named = {} if np.all(weights == weights[0]) else {"sample_weight": weights}
        return model.fit(features, codes, **named)

    def _scores(self, X: Any, *, proba: bool) -> Iterator[NDArray[Any]]:
        """Compute scores or probabilities (classes, height, width) image by image."""
        check_is_fitted(self)
        images = self._images(X, reset=False)
        for row in range(len(images)):
            pixels = read_image(images, row)
            if self.estimator is None:
                yield self._linear_scores(pixels, proba=proba)
            else:
                yield self._sampled_probabilities(pixels)

    def _linear_scores(self, pixels: NDArray[np.uint8], *, proba: bool) -> NDArray[Any]:
        """Score each layer at its own stride: linear scores and interpolation commute."""
        scaler, linear = self.estimator_[0], self.estimator_[-1]
        factors = (linear.coef_ / scaler.scale_).astype(np.float32)
        total = torch.from_numpy(linear.intercept_ - factors @ scaler.mean_).float()[:, None, None]
        start = 0
        for maps, grid, scale in self._levels(pixels):
            weights = torch.from_numpy(factors[:, start : start + len(maps)])
            start += len(maps)
            scores = torch.einsum("kc,chw->khw", weights, maps)[None]
            size = (pixels.shape[0], pixels.shape[1])
            total = total + resample(scores, grid, Grid(1.0), size, scale)[0]
        if len(total) == 1:  # two classes have one score
            total = torch.cat([torch.zeros_like(total), total])
        return (total.softmax(0) if proba else total).numpy()

    def _sampled_probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """Classify every fourth pixel, and interpolate."""
        rows, columns = (np.arange(0, side, _STEP) for side in pixels.shape[:2])
        places = tuple(axis.ravel() for axis in np.meshgrid(rows, columns, indexing="ij"))
        found = self.estimator_.predict_proba(self._at(pixels, places))
        wide = np.zeros((len(found), len(self.classes_)), np.float32)
        wide[:, self.estimator_.classes_] = found
        cells = torch.from_numpy(wide.T.reshape(1, -1, len(rows), len(columns)))
        size = (pixels.shape[0], pixels.shape[1])
        return resample(cells, Grid(float(_STEP)), Grid(1.0), size)[0].numpy()

    def _at(self, pixels: NDArray[np.uint8], places: Any) -> NDArray[np.float32]:
        """Compute the features of some pixels: (n_pixels, n_features)."""
        columns = []
        for maps, grid, scale in self._levels(pixels):
            rows, across = (
                ((torch.from_numpy(np.asarray(axis)) + 0.5) * factor - 0.5 - grid.offset)
                / grid.stride
                for axis, factor in zip(places, scale, strict=True)
            )
            columns.append(_bilinear(maps, rows, across))
        return torch.cat(columns, 1).numpy()

    def _levels(
        self, pixels: NDArray[np.uint8]
    ) -> list[tuple[torch.Tensor, Grid, tuple[float, float]]]:
        """Compute maps (channels, height, width), where their cells lie, and how pixels were scaled."""
        shown = resized(pixels, self.image_size)
        scale = (shown.shape[0] / pixels.shape[0], shown.shape[1] / pixels.shape[1])
        if self.backbone is None:
            return [(torch.from_numpy(hand_made_features(shown)), Grid(1.0), scale)]
        if self._source is None:  # this is a copy or was unpickled
            self._source = self._load(draw_seed(self.random_state))
        frozen, grids = self._source
        maps = frozen.of([shown])[0]
        return [
            (torch.from_numpy(np.array(level)).float(), grid, scale)
            for level, grid in zip(maps, grids, strict=True)
        ]

    def _load(self, seed: int) -> tuple[FrozenMaps, list[Grid]]:
        loaded = load_backbone(self.backbone, self.weights, random_state=seed)
        stages = _stages(loaded, self.layers)
        paths = [loaded.spec.stages[stage].modules[-1] for stage in stages]
        return FrozenMaps(loaded, stages, self.run_settings()), layer_grids(
            loaded.module, loaded.spec, paths
        )

    def _images(self, X: Any, *, reset: bool) -> ImageSequence:
        return validate_images(
            self, X, image_shape=self.image_shape, reset=reset, allow_nan=self.on_error != "raise"
        )

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {**state, "_source": None} if "_source" in state else state

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "estimator_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.target_tags.required = True
        return tags


def _stages(loaded: LoadedBackbone, layers: Any) -> list[int]:
    """Find the numbers of the stages that `layers` names."""
    names = list(loaded.spec.layer_names)
    if layers is None:
        return list(range(len(names)))
    slots = resolve_slots(loaded, layers, "avg", loaded.preprocessing.crop)
    unknown = [slot.layer for slot in slots if slot.layer not in names]
    if unknown:
        raise ValueError(
            f"layers={layers!r} names {unknown[0]!r}, which is no stage. Choose among "
            f"{', '.join(map(repr, names))}."
        )
    return [names.index(slot.layer) for slot in slots]


def _bilinear(maps: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Sample maps (channels, height, width) at places in cells: (n_places, channels)."""
    axes = []
    for places, n_cells in ((rows, maps.shape[1]), (columns, maps.shape[2])):
        inside = places.clamp(0, n_cells - 1)
        lower = inside.floor().long().clamp(max=max(0, n_cells - 2))
        axes.append((lower, (lower + 1).clamp(max=n_cells - 1), (inside - lower).float()))
    (top, bottom, down), (left, right, across) = axes
    upper = torch.lerp(maps[:, top, left], maps[:, top, right], across)
    under = torch.lerp(maps[:, bottom, left], maps[:, bottom, right], across)
    return torch.lerp(upper, under, down).T
