"""`FineTuneSegmenter`: a pre-trained network and a decoder, trained to label every pixel."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sktransfer.backbones.registry import get_backbone
from sktransfer.docstrings import documented
from sktransfer.exceptions import ImageDecodeError, ImageWarning, MaskError
from sktransfer.images.validation import validate_images
from sktransfer.parameters import check_choice, check_parameters, checked, integer, number
from sktransfer.randomness import RandomStream, draw_seed, seeded
from sktransfer.segmentation.decoders import check_decoder, make_decoder
from sktransfer.segmentation.frozen_maps import FrozenMaps
from sktransfer.segmentation.grids import Grid, layer_grids, resample
from sktransfer.segmentation.mask_batches import (
    JointJitter,
    MaskBatches,
    MaskRows,
    UsersAugmentation,
)
from sktransfer.segmentation.mask_labels import MaskLabels, as_labels, classes_of
from sktransfer.segmentation.masks import as_mask_sequence, check_sizes, stack_masks
from sktransfer.segmentation.network import SegmentationNetwork
from sktransfer.segmentation.scorer import MaskScorer
from sktransfer.segmentation.whole_images import (
    check_image_size,
    read_image,
    resized,
    with_border,
)
from sktransfer.training.atomic_fit import restored_on_failure
from sktransfer.training.augmentation import resolve_augmentation
from sktransfer.training.build import load
from sktransfer.training.freezing import first_trained_stage
from sktransfer.training.hold_out import hold_out
from sktransfer.training.network import can_resume
from sktransfer.training.parameters import LoopParameters
from sktransfer.training.settings import training_settings
from sktransfer.training.targets import refuse_missing_y, row_weights
from sktransfer.training.targets.masks import LOSSES, MaskTarget

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray
    from sklearn.utils import Tags
    from torch import Tensor, nn

    from sktransfer.backbones.weights import LoadedBackbone
    from sktransfer.images.sequences import ImageSequence
    from sktransfer.segmentation.masks import MaskSequence
    from sktransfer.training.settings import TrainingSettings

__all__ = ["FineTuneSegmenter", "is_one_array", "labels_of", "place_scores"]

_STEP = 4  # pixels from one label of the loss to the next; finer where a head is
_CROP = 256


def _check_loss(name: str, value: Any) -> None:
    if not callable(value):
        check_choice(name, value, LOSSES)


def place_scores(scores: Tensor, size: tuple[int, int], *, grid: Grid, step: int) -> Tensor:
    """Sample scores at every `step`-th pixel."""
    return resample(scores, grid, Grid(float(step)), size)


@documented
@dataclass(kw_only=True, eq=False, repr=False)
class FineTuneSegmenter(LoopParameters, BaseEstimator):  # type: ignore[misc] # sklearn is untyped
    """Train a decoder, and part or all of a pre-trained network, to label every pixel of images.

    The whole image goes through the network, in whatever size. Frozen stages run once an image, and
    the epochs train on the maps that they gave.

    Parameters
    ----------
    head : {"fcn32s", "fcn16s", "fcn8s", "deconv", "fpn", "unet"} or callable, default="fpn"
        Decoder: linear scores of the last one, two or three strides; one transposed convolution for
        each halving of the network; a feature pyramid; skips that are joined and convolved; or a
        function (widths, strides, out_features) that returns a module on the list of maps.
    loss : {"auto", "ce", "dice", "focal", "lovasz"} or callable, default="auto"
        "auto" is cross-entropy plus Dice. A callable takes scores (batch, classes, height, width),
        codes (batch, height, width), and weights of pixels, 0 where nothing counts.
    unlabeled : int, str or sequence of these, default=-1
        Labels whose pixels count nowhere: in the loss, in weights of classes, in early stopping and
        in `score`.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the cross-entropy; "balanced" gives all the same total.
    label_smoothing : float, default=0.0
        Part of the probability that is spread over all classes while training.
    image_size : int, (int, int) or None, default=None
        Shorter side, or height and width, to which images are resized for the network; None leaves
        them as they are. Predictions always have the image's own size.
    batch_size : int, default=8
        Largest number of images in a step; those of one step have one size.
    augmentation : {"auto", "light", "strong"}, None or callable, default="auto"
        "light" zooms, crops to at most 256 pixels, mirrors and recolours, "strong" does more of it;
        masks move with their images. "auto" is none where stages are frozen. A callable takes an
        image and its mask, as transforms of ``torchvision.transforms.v2`` do, and returns both.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels of pixels, sorted.
    history_ : list of dict
        Records of the epochs; valid_score is the mean IoU.
    n_iter_ : int
        Number of epochs that were run.
    n_validation_ : int
        Number of images that were held back.
    trunk_ : {"maps", "pixels"}
        What the epochs trained on.
    failed_ : list of int
        Rows of the fit whose image or mask could not be read.

    Raises
    ------
    MaskError
        From `fit`, if a mask is none, or does not belong to its image; with row and path.
    TrainingError
        From `fit`, if the loss becomes NaN, with epoch and rate.

    Examples
    --------
    >>> from sktransfer.datasets import load_digit_masks
    >>> data = load_digit_masks()
    >>> model = FineTuneSegmenter("tiny", strategy="frozen", max_epochs=1, random_state=0)
    >>> model.fit(data.X[:16], data.y[:16]).predict(data.X[:2]).shape
    (2, 64, 64)
    """

    head: Any = checked("fpn", check_decoder)
    loss: Any = checked("auto", _check_loss)
    unlabeled: Any = -1
    class_weight: dict[Any, float] | str | None = None
    label_smoothing: float = checked(0.0, number(0, 1, "a probability", closed=True))
    image_size: Any = checked(None, check_image_size)
    batch_size: int = checked(8, integer(1, "images in a step"))

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> FineTuneSegmenter:
        """Train the network; a fit that fails leaves the estimator as it was.

        Parameters
        ----------
        X : images
            Any of the kinds that :class:`~sktransfer.DeepFeatureTransformer` takes, of any sizes.
        y : masks
            An array (n, height, width) of labels, or a list of arrays, PIL images or paths, each in
            the size of its image. Labels are integers or names; pixels of `unlabeled` count nowhere.
        sample_weight : array-like of shape (n_images,), optional
            Per-image weight of the cross-entropy; images of weight 0 are left out.

        Returns
        -------
        FineTuneSegmenter
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
        masks = [self.classes_[scores.argmax(0).numpy()] for scores in self._scores(X)]
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
        found = [scores.softmax(0).movedim(0, -1).numpy() for scores in self._scores(X)]
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

    def _scores(self, X: Any) -> Any:
        """Compute scores (classes, height, width) image by image, in the images' own sizes."""
        check_is_fitted(self)
        images = self._images(X, reset=False)
        network = self._trained_network()
        network.eval()
        device = next(network.parameters()).device
        for row in range(len(images)):
            pixels = read_image(images, row)
            shown = resized(pixels, self.image_size)
            scale = (shown.shape[0] / pixels.shape[0], shown.shape[1] / pixels.shape[1])
            batch = torch.from_numpy(np.array(with_border(shown)))[None].to(device)
            with torch.inference_mode():
                scores = network(batch).float()
                size = (pixels.shape[0], pixels.shape[1])
                yield resample(scores, network.head.grid, Grid(1.0), size, scale)[0].cpu()

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        check_parameters(self)
        settings = training_settings(self)
        refuse_missing_y(y, type(self).__name__)
        images = self._images(X, reset=True)
        masks = as_mask_sequence(y, self.image_shape)
        if len(images) != len(masks):
            raise ValueError(
                f"X and y have different lengths: {len(images)} images and {len(masks)} masks. Pass "
                "one mask for each image."
            )
        weights = row_weights(sample_weight, len(masks))
        seed = draw_seed(self.random_state)
        loaded = load(settings.network, seed)
        stages, grids = _pyramid(loaded, self.head)
        first = first_trained_stage(self.strategy, self.n_trainable, loaded.spec)
        augments = resolve_augmentation(self.augmentation, trunk_is_frozen=first > 0) is not None
        stored = first > 0 and not augments and can_resume(loaded.spec)
        network = _network(loaded, settings, self.head, (stages, grids, first), (2, seed))
        step = _step(network.head.grid)
        maps = FrozenMaps(loaded, network.stored_stages, settings.run) if stored else None
        pairs, self.failed_ = self._read(images, masks, weights, 1 if augments else step, maps)
        labels = self._labels_of(pairs, masks)
        network = _network(
            loaded, settings, self.head, (stages, grids, first), (len(labels.classes), seed)
        )
        rows = MaskRows(
            [pair.inputs for pair in pairs],
            [labels.encode(pair.mask) for pair in pairs],
            np.array([weights[pair.row] for pair in pairs], np.float32),
        )
        rows = rows.subset(np.flatnonzero([bool((c < labels.nowhere).any()) for c in rows.codes]))
        kept, held = hold_out(np.zeros(len(rows)), settings.held_out, seed)
        valid = _thinned(rows.subset(held), step if augments else 1) if len(held) else None
        train_rows = rows.subset(kept)
        target = self._target(network, labels, train_rows, step)
        network.head.start_at(target.prior_scores(_all_codes(train_rows), torch.ones(1)))
        if not settings.network.from_scratch:
            _measure(network, train_rows)
        augmentation = self._augmentation(train_rows, step, labels.nowhere) if augments else None
        self._train(network, settings, target, (train_rows, valid), augmentation, seed)
        self.classes_, self.trunk_ = labels.classes, "maps" if stored else "pixels"
        self.n_validation_ = len(held)

    def _read(
        self,
        images: ImageSequence,
        masks: MaskSequence,
        weights: NDArray[np.float64],
        step: int,
        maps: FrozenMaps | None,
    ) -> tuple[list[_Pair], list[int]]:
        """Read images and masks, some at a time, and compute what is frozen."""
        pairs: list[_Pair] = []
        failed: list[int] = []
        used = np.flatnonzero(weights > 0)
        for start in range(0, len(used), self.batch_size):
            some = []
            for row in used[start : start + self.batch_size].tolist():
                try:
                    pixels, mask = read_image(images, row), masks.read(row)
                except ImageDecodeError as problem:
                    if self.on_error == "raise":
                        raise
                    if self.on_error == "warn":
                        warnings.warn(str(problem), ImageWarning, stacklevel=5)
                    failed.append(row)
                    continue
                check_sizes(images, row, (pixels.shape[0], pixels.shape[1]), masks, mask)
                shown = resized(pixels, self.image_size)
                found = classes_of([mask], as_labels(self.unlabeled))
                some.append(_Pair(row, shown, _sampled(mask, shown.shape[:2], step), found))
            if maps is not None:
                stored = maps.of([pair.inputs for pair in some])
                some = [
                    _Pair(pair.row, levels, pair.mask, pair.labels)
                    for pair, levels in zip(some, stored, strict=True)
                ]
            elif step > 1:
                some = [_Pair(p.row, with_border(p.inputs), p.mask, p.labels) for p in some]
            pairs += some
        if not pairs:
            raise ValueError(
                "none of the images and masks that have a weight can be read, so there is nothing to "
                "train on. Check the paths; on_error='raise' names the first that fails."
            )
        return pairs, failed

    def _labels_of(self, pairs: list[_Pair], masks: MaskSequence) -> MaskLabels:
        return labels_of([pair.labels for pair in pairs], self.unlabeled, masks, pairs[0].row)

    def _target(
        self, network: SegmentationNetwork, labels: MaskLabels, rows: MaskRows, step: int
    ) -> MaskTarget:
        return MaskTarget(
            labels.classes,
            partial(place_scores, grid=network.head.grid, step=step),
            self.loss,
            class_weights(self.class_weight, labels.classes, _all_codes(rows)),
            float(self.label_smoothing),
        )

    def _augmentation(self, rows: MaskRows, step: int, nowhere: int) -> Any:
        if callable(self.augmentation):
            return UsersAugmentation(self.augmentation, step)
        side = min(_CROP, max(max(codes.shape) for codes in rows.codes))
        strong = self.augmentation == "strong"
        side = max(32, side)
        return JointJitter(side, step, nowhere, *((2.2, 0.4) if strong else (1.6, 0.2)))

    def _train(
        self,
        network: SegmentationNetwork,
        settings: TrainingSettings,
        target: MaskTarget,
        rows: tuple[MaskRows, MaskRows | None],
        augmentation: Any,
        seed: int,
    ) -> None:
        from sktransfer.training.callbacks import tidy
        from sktransfer.training.loop import train
        from sktransfer.training.net import make_net

        net = make_net(
            network,  # type: ignore[arg-type] # it has all that a training asks of a network
            settings,
            target,
            RandomStream(seed, settings.device),
            train_rows=rows[0],  # type: ignore[arg-type] # as its rows have
            valid_rows=rows[1],  # type: ignore[arg-type]
            augmentation=augmentation,
            generator=torch.Generator().manual_seed(seed),
            batches=MaskBatches,
        )
        train(net, rows[0])
        self._network: SegmentationNetwork | None = network.eval()
        self._data: bytes | None = None
        self.history_ = tidy(net.history)
        self.n_iter_ = len(self.history_)

    def _images(self, X: Any, *, reset: bool) -> ImageSequence:
        return validate_images(
            self, X, image_shape=self.image_shape, reset=reset, allow_nan=self.on_error != "raise"
        )

    def _trained_network(self) -> SegmentationNetwork:
        """Return the network, which is built again after a pickle."""
        if self._network is None:
            assert self._data is not None  # either there is a network or its weights
            made = self._made_of
            with seeded(0):
                head = make_decoder(made["head"], made["widths"], made["grids"], len(self.classes_))
                backbone = get_backbone(made["backbone"])
                network = SegmentationNetwork(
                    backbone.build().float(), backbone, made["preprocessing"], head,
                    made["stages"], len(backbone.stages), True,
                )  # fmt: skip
            network.load_state_dict(safetensors.torch.load(self._data))
            self._network = network.eval()
        return self._network

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        network = state.get("_network")
        if network is not None:
            plain = {
                k: v.detach().cpu().contiguous().clone() for k, v in network.state_dict().items()
            }
            stages = network.stages
            paths = [stage.modules[-1] for stage in network.spec.stages]
            grids = layer_grids(network.backbone, network.spec, paths)
            made_of = {
                "backbone": self.backbone,
                "head": self.head,
                "widths": [network.spec.widths[stage] for stage in stages],
                "grids": [grids[stage] for stage in stages],
                "stages": stages,
                "preprocessing": network.preprocessing,
            }
            data = safetensors.torch.save(plain)
            state = {**state, "_network": None, "_data": data, "_made_of": made_of}
        return state

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_iter_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.target_tags.required = True
        return tags


@dataclass(frozen=True, eq=False)
class _Pair:
    """An image as it is trained on, its mask where the loss looks, and the labels of the mask."""

    row: int
    inputs: Any
    mask: NDArray[Any]
    labels: NDArray[Any]


def labels_of(
    found: list[NDArray[Any]], unlabeled: Any, masks: MaskSequence, row: int
) -> MaskLabels:
    """Collect the classes of masks.

    Raises
    ------
    MaskError
        If no pixel is labelled, or all are of one class.
    """
    left_out = as_labels(unlabeled)
    classes = classes_of(found, left_out)
    if len(classes) < 2:
        held = f"only the class {classes.tolist()}" if len(classes) else "no labelled pixel"
        raise MaskError(
            f"the masks hold {held}; the first is {masks.describe(row)}, and unlabeled={unlabeled!r} "
            "counts nowhere. Pass masks of at least two classes."
        )
    if len(classes) > 2 and classes.dtype.kind in "iu" and classes[-1] == 255 > len(classes):
        warnings.warn(
            f"255 is one of the classes {classes.tolist()}, while it often marks pixels without a label. "
            "Set unlabeled=255 if it does.",
            ImageWarning,
            stacklevel=4,
        )
    return MaskLabels(classes, left_out)


def class_weights(
    class_weight: Any, classes: NDArray[Any], codes: Tensor
) -> NDArray[np.float32] | None:
    """Compute the weight of each class from codes of pixels.

    Raises
    ------
    ValueError
        If it is something else, or names a label that no mask holds.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, dict):
        unknown = [label for label in class_weight if label not in classes.tolist()]
        if unknown:
            raise ValueError(
                f"class_weight names {unknown[0]!r}, which is not among the classes {classes.tolist()}."
            )
        return np.array([class_weight.get(label, 1.0) for label in classes.tolist()], np.float32)
    if class_weight != "balanced":
        raise ValueError(
            f"class_weight={class_weight!r} is not possible. Choose None, 'balanced', or a dict from "
            "class to weight."
        )
    counts = np.bincount(codes.numpy(), minlength=len(classes) + 1)[: len(classes)]
    return np.asarray(counts.sum() / (len(classes) * np.maximum(counts, 1)), np.float32)


def _pyramid(loaded: LoadedBackbone, head: Any) -> tuple[list[int], list[Grid]]:
    """Choose the last stage of each stride, those of at least 4 for a pyramid if there are two."""
    spec = loaded.spec
    if spec.layout == "tokens":
        raise ValueError(
            f"backbone={spec.name!r} makes tokens of one size instead of a pyramid of maps, which "
            "decoders need. Choose a convolutional network, such as 'resnet50'."
        )
    paths = [stage.modules[-1] for stage in spec.stages]
    grids = layer_grids(loaded.module, spec, paths)
    last = {grid.stride: stage for stage, grid in enumerate(grids)}
    stages = sorted(last.values())
    coarse = [stage for stage in stages if grids[stage].stride >= _STEP]
    if head != "unet" and len(coarse) > 1:
        stages = coarse
    return stages, [grids[stage] for stage in stages]


def _network(
    loaded: LoadedBackbone,
    settings: TrainingSettings,
    head: str | Callable[..., nn.Module],
    pyramid: tuple[list[int], list[Grid], int],
    n_out_and_seed: tuple[int, int],
) -> SegmentationNetwork:
    """Copy a backbone and put a new decoder on it."""
    stages, grids, first = pyramid
    with seeded(n_out_and_seed[1], settings.device):
        widths = [loaded.spec.widths[stage] for stage in stages]
        decoder = make_decoder(head, widths, grids, n_out_and_seed[0])
    return SegmentationNetwork(
        copy.deepcopy(loaded.module),
        loaded.spec,
        loaded.preprocessing,
        decoder,
        stages,
        first,
        settings.network.freeze_batchnorm and not settings.network.from_scratch,
    )


def _step(grid: Grid) -> int:
    """Choose the pixels from one label of the loss to the next."""
    return max(1, min(_STEP, round(grid.stride)))


def _sampled(mask: NDArray[Any], size: Any, step: int) -> NDArray[Any]:
    """Take the label of the nearest pixel at every `step`-th pixel of the resized image."""
    places = [
        np.minimum((np.arange(0, n, step) + 0.5) * side / n, side - 1).astype(int)
        for side, n in zip(mask.shape, size, strict=True)
    ]
    return mask[np.ix_(*places)]


def _thinned(rows: MaskRows, step: int) -> MaskRows:
    """Keep the labels at which the loss looks of rows that are not augmented."""
    if step == 1:
        return rows
    return MaskRows(
        [with_border(pixels) for pixels in rows.inputs],
        [codes[::step, ::step] for codes in rows.codes],
        rows.weights,
    )


def _all_codes(rows: MaskRows) -> Tensor:
    return torch.from_numpy(
        np.concatenate([codes.ravel() for codes in rows.codes]).astype(np.int64)
    )


def _measure(network: SegmentationNetwork, rows: MaskRows, n_rows: int = 16) -> None:
    """Let a head standardise by the maps of some rows, one after the other."""
    network.eval()
    maps = []
    for row in range(min(n_rows, len(rows))):
        some = rows.inputs[row]
        with torch.inference_mode():
            if isinstance(some, np.ndarray):
                pixels = torch.from_numpy(np.array(with_border(some)))[None]
                levels = network.maps_of_pixels(pixels)
            else:
                levels = network.maps_of_maps([torch.from_numpy(np.array(m))[None] for m in some])
        maps.append([level.flatten(2).float() for level in levels])
    network.head.measure([torch.cat(level, 2)[..., None] for level in zip(*maps, strict=True)])


def is_one_array(X: Any) -> bool:
    """Tell one array or tensor of images of one size from a list of images."""
    shape, dtype = getattr(X, "shape", ()), getattr(X, "dtype", None)
    is_objects = isinstance(dtype, np.dtype) and dtype.kind in "OSU"
    return len(shape) >= 2 and not is_objects and not hasattr(X, "columns")
