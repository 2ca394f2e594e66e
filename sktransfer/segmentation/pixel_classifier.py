"""`PixelClassifier`: frozen features of every pixel under any classifier of scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from sktransfer.backbones.portable import weights_from_bytes, weights_to_bytes
from sktransfer.backbones.weights import load_backbone
from sktransfer.docstrings import documented
from sktransfer.features.taps import resolve_slots
from sktransfer.inner_classifier import clone_of_user
from sktransfer.parameters import checked, integer, optional
from sktransfer.randomness import draw_seed
from sktransfer.segmentation.coarse_scores import CoarseScores
from sktransfer.segmentation.estimator import MaskEstimator
from sktransfer.segmentation.frozen_maps import FrozenMaps
from sktransfer.segmentation.grids import Grid, layer_grids
from sktransfer.segmentation.hand_made import hand_made_features
from sktransfer.segmentation.mask_labels import as_labels, classes_of, is_unlabeled, labels_of
from sktransfer.segmentation.reading import read_images, read_pairs
from sktransfer.segmentation.swallowing import warn_if_one_swallows_all
from sktransfer.segmentation.whole_images import resized

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

    from sktransfer.backbones.weights import LoadedBackbone
    from sktransfer.images.sequences import ImageSequence
    from sktransfer.preprocessing import Preprocessing
    from sktransfer.segmentation.masks import MaskSequence

__all__ = ["STEP", "PixelClassifier", "chosen_stages", "linear_factors"]

_LOOKED_AT = 2000  # pixels of the fit that are predicted, to see whether one class swallows all
STEP = 4
"""Pixels from one classified pixel to the next, under a classifier that is not linear."""


@documented
@dataclass(kw_only=True, eq=False, repr=False)
class PixelClassifier(MaskEstimator):
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

    Attributes
    ----------
    estimator_ : classifier
        The fitted classifier.
    n_pixels_ : int
        Number of pixels that it was fitted to.

    See Also
    --------
    FineTuneSegmenter : Trains a decoder, and as much of the network as its strategy says.
    MaskScorer : Scores of masks.

    Examples
    --------
    >>> from sktransfer.datasets import load_digit_masks
    >>> data = load_digit_masks()
    >>> model = PixelClassifier(backbone="tiny", random_state=0).fit(data.X[:20], data.y[:20])
    >>> model.predict(data.X[:2]).shape
    (2, 64, 64)
    """

    estimator: object = field(default=None, kw_only=False)
    backbone: Any = "resnet50"
    weights: str | os.PathLike[str] = "default"
    layers: object = None
    n_pixels: int | None = checked(200, optional(integer(1, "pixels that are drawn of an image")))

    def _fit(
        self, images: ImageSequence, masks: MaskSequence, weights: NDArray[np.float64]
    ) -> None:
        left_out = as_labels(self.unlabeled)
        seed = self._seed = draw_seed(self.random_state)
        self._carried: bytes | None = None
        self._digest: str | None = None
        self._source = None if self.backbone is None else self._load()
        parts, drawn, found, of_row = [], [], [], []
        failed: list[int] = []
        used = np.flatnonzero(weights > 0).tolist()
        for read in read_pairs(images, masks, used, self.run_settings(), failed):
            levels = self._levels([pair.pixels for pair in read])
            for pair, levels_of_pair in zip(read, levels, strict=True):
                labelled = np.flatnonzero(~is_unlabeled(pair.mask, left_out).ravel())
                found.append(classes_of([pair.mask], left_out))
                rng = np.random.default_rng([seed, len(found)])
                if self.n_pixels is not None and len(labelled) > self.n_pixels:
                    labelled = rng.choice(labelled, self.n_pixels, replace=False)
                parts.append(_at(levels_of_pair, np.unravel_index(labelled, pair.mask.shape)))
                drawn.append(pair.mask.ravel()[labelled])
                of_row.append(np.full(len(labelled), weights[pair.row]))
        if not parts:
            raise ValueError("none of the images can be read. Check the paths.")
        labels = labels_of(found, self.unlabeled, masks, int(np.argmax(weights > 0)))
        codes = labels.encode(np.concatenate(drawn)[None])[0]
        self.classes_, self.failed_, self.n_pixels_ = labels.classes, failed, len(codes)
        features = np.concatenate(parts)
        self.estimator_ = self._fitted(features, codes, np.concatenate(of_row))
        some = np.random.default_rng(seed).permutation(len(codes))[:_LOOKED_AT]
        warn_if_one_swallows_all(
            self.estimator_.predict(features[some]),
            np.bincount(codes[some], minlength=len(self.classes_)),
            self.classes_,
            "Give rare classes more weight, for example by "
            "estimator=LogisticRegression(class_weight='balanced'), or draw more pixels.",
            stacklevel=3,
        )

    def _fitted(
        self,
        features: NDArray[np.generic],
        codes: NDArray[np.generic],
        weights: NDArray[np.float64],
    ) -> Any:
        """Fit the classifier to features of pixels and codes of their classes."""
        if self.estimator is None:
            linear = make_pipeline(
                StandardScaler(), LogisticRegression(C=0.01, tol=1e-3, max_iter=500)
            )
            named = {"logisticregression__sample_weight": weights}
            return linear.fit(features, codes, **named)
        model = clone_of_user(self.estimator)
        named = {} if np.all(weights == weights[0]) else {"sample_weight": weights}
        return model.fit(features, codes, **named)

    def _scores(self, X: object) -> Iterator[CoarseScores]:
        check_is_fitted(self)
        for some in read_images(self._images(X, reset=False), self.run_settings()):
            for pixels, levels in zip(some, self._levels(some), strict=True):
                size = (pixels.shape[0], pixels.shape[1])
                if self.estimator is None:
                    yield self._linear_scores(levels, size)
                else:
                    yield self._sampled_probabilities(levels, size)

    def _linear_scores(self, levels: list[_Level], size: tuple[int, int]) -> CoarseScores:
        """Score each layer at its own stride: linear scores and interpolation commute."""
        factors, constants = linear_factors(self.estimator_)
        parts: list[tuple[torch.Tensor, Grid]] = []
        start = 0
        for maps, grid, _ in levels:
            weights = factors[:, start : start + len(maps)]
            start += len(maps)
            scores = torch.einsum("kc,chw->khw", weights, maps)[None]
            if not parts:
                scores += constants[:, None, None]
            if len(factors) == 1:  # two classes have one score
                scores = torch.cat([torch.zeros_like(scores), scores], 1)
            parts.append((scores, grid))
        return CoarseScores(parts, size, levels[0].scale)

    def _sampled_probabilities(self, levels: list[_Level], size: tuple[int, int]) -> CoarseScores:
        """Classify every fourth pixel."""
        rows, columns = (np.arange(0, side, STEP) for side in size)
        places = tuple(axis.ravel() for axis in np.meshgrid(rows, columns, indexing="ij"))
        found = self.estimator_.predict_proba(_at(levels, places))
        wide = np.zeros((len(found), len(self.classes_)), np.float32)
        wide[:, self.estimator_.classes_] = found
        cells = torch.from_numpy(wide.T.reshape(1, -1, len(rows), len(columns)))
        return CoarseScores([(cells, Grid(float(STEP)))], size, are_probabilities=True)

    def _levels(self, images: Sequence[NDArray[np.uint8]]) -> list[list[_Level]]:
        """Compute the maps of some images, together where these have one size."""
        shown = [resized(pixels, self.image_size) for pixels in images]
        scales = [
            (small.shape[0] / pixels.shape[0], small.shape[1] / pixels.shape[1])
            for small, pixels in zip(shown, images, strict=True)
        ]
        if self.backbone is None:
            return [
                [_Level(torch.from_numpy(hand_made_features(pixels)), Grid(1.0), scale)]
                for pixels, scale in zip(shown, scales, strict=True)
            ]
        if self._source is None:  # this is a copy or was unpickled
            self._source = self._load()
        frozen, grids = self._source
        return [
            [
                _Level(torch.from_numpy(np.array(level)).float(), grid, scale)
                for level, grid in zip(maps, grids, strict=True)
            ]
            for maps, scale in zip(frozen.of(shown), scales, strict=True)
        ]

    def carry_weights(self) -> None:
        """Hold the weights of the network from now on, also in a pickle, instead of their name."""
        self._carried = weights_to_bytes(self.loaded_backbone())

    def loaded_backbone(self) -> LoadedBackbone:
        """Load the network that the maps come from.

        Raises
        ------
        WeightsMismatchError
            If its weights are no longer those of the fit.
        """
        if self._carried is not None:
            return weights_from_bytes(
                self.backbone, self._carried, self._weights, self._preprocessing
            )
        loaded = load_backbone(
            self.backbone, self.weights, random_state=self._seed, expected_digest=self._digest
        )
        self._weights: str = loaded.weights
        self._digest = loaded.digest
        self._preprocessing: Preprocessing = loaded.preprocessing
        return loaded

    def _load(self) -> tuple[FrozenMaps, list[Grid]]:
        loaded = self.loaded_backbone()
        stages = chosen_stages(loaded, self.layers)
        paths = [loaded.spec.stages[stage].modules[-1] for stage in stages]
        return FrozenMaps(loaded, stages, self.run_settings()), layer_grids(
            loaded.module, loaded.spec, paths
        )

    def __getstate__(self) -> dict[str, object]:
        state: dict[str, object] = super().__getstate__()
        return {**state, "_source": None} if "_source" in state else state

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "estimator_")


class _Level(NamedTuple):
    """The map of one layer (channels, height, width), where its cells lie, and the scale of the image."""

    maps: torch.Tensor
    grid: Grid
    scale: tuple[float, float]


def linear_factors(estimator: Pipeline) -> tuple[torch.Tensor, torch.Tensor]:
    """Write a scaler and a linear classifier as factors (n_scores, n_features) and an intercept."""
    scaler, linear = estimator[0], estimator[-1]
    factors = (linear.coef_ / scaler.scale_).astype(np.float32)
    intercept = torch.from_numpy(linear.intercept_ - factors @ scaler.mean_).float()
    return torch.from_numpy(factors), intercept


def chosen_stages(loaded: LoadedBackbone, layers: object) -> list[int]:
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


def _at(levels: Sequence[_Level], places: tuple[NDArray[np.intp], ...]) -> NDArray[np.float32]:
    """Take the features of some pixels, rows and columns in the image: (n_pixels, n_features)."""
    columns = []
    for maps, grid, scale in levels:
        rows, across = (
            ((torch.from_numpy(np.asarray(axis)) + 0.5) * factor - 0.5 - grid.offset) / grid.stride
            for axis, factor in zip(places, scale, strict=True)
        )
        columns.append(_bilinear(maps, rows, across))
    return torch.cat(columns, 1).numpy()


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
