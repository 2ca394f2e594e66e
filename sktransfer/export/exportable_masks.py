"""A fitted segmenter taken apart: sizes of images, network, and what follows."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from sklearn.utils.validation import check_is_fitted

from sktransfer.exceptions import ExportError
from sktransfer.export.mask_network import DecodedMaps, MaskNetwork, SampledMaps, ScoredMaps
from sktransfer.segmentation import FineTuneSegmenter, PixelClassifier
from sktransfer.segmentation.grids import layer_grids
from sktransfer.segmentation.pixel_classifier import STEP, chosen_stages, linear_factors
from sktransfer.segmentation.whole_images import fixed_size, resized

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sktransfer.preprocessing import Preprocessing
    from sktransfer.segmentation.whole_images import ImageSize

__all__ = ["SEGMENTERS", "ExportableMasks", "take_segmenter_apart"]

SEGMENTERS = (FineTuneSegmenter, PixelClassifier)
"""Estimators that label every pixel."""


@dataclass(frozen=True, eq=False)
class ExportableMasks:
    """What the graph of a segmenter is made of.

    Parameters
    ----------
    preprocessing : Preprocessing
        Normalisation of pixels.
    image_size : int, (int, int) or None
        Size to which images are resized, as the estimators take it.
    network : MaskNetwork
        From normalised images to codes and probabilities, or to features if there is a head.
    classes : ndarray of shape (n_classes,)
        Labels of pixels.
    head : classifier or None
        Fitted classifier of features of pixels, whose labels are codes.
    about : dict of str to object
        Facts of the model for the file's metadata.
    """

    preprocessing: Preprocessing
    image_size: ImageSize
    network: MaskNetwork
    classes: NDArray[np.generic]
    head: Any
    about: dict[str, Any]

    def seen(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize an image (height, width, 3) as the model does."""
        return resized(pixels, self.image_size)


def take_segmenter_apart(model: FineTuneSegmenter | PixelClassifier) -> ExportableMasks:
    """Find the network in a fitted segmenter, and what comes before and after it.

    Raises
    ------
    ExportError
        If it has no network, or one that does not take every size where images have any.
    NotFittedError
        If it is not fitted.
    """
    check_is_fitted(model)
    if isinstance(model, FineTuneSegmenter):
        return _of_training(model)
    return _of_pixels(model)


def _of_training(model: FineTuneSegmenter) -> ExportableMasks:
    trained = copy.deepcopy(model._trained_network()).cpu().float()
    network = MaskNetwork(trained.backbone, trained.spec, trained.stages, DecodedMaps(trained.head))
    about = {"backbone": trained.spec.name, "classes": [*map(str, model.classes_)]}
    return ExportableMasks(
        trained.preprocessing, model.image_size, network, model.classes_, None, about
    )


def _of_pixels(model: PixelClassifier) -> ExportableMasks:
    if model.backbone is None:
        raise ExportError(
            "the PixelClassifier has backbone=None, and its hand-made features have no counterpart in "
            "ONNX. Take features of a network, such as backbone='resnet18', or pass the model on with "
            "save_model."
        )
    loaded = model.loaded_backbone()
    if loaded.spec.layout == "tokens" and fixed_size(model.image_size) is None:
        side = loaded.preprocessing.crop
        raise ExportError(
            f"backbone={model.backbone!r} cuts images into tokens and does not take every size, and "
            f"image_size={model.image_size!r} leaves the size open. Fit with a height and a width, such "
            f"as image_size=({side}, {side})."
        )
    stages = chosen_stages(loaded, model.layers)
    paths = [loaded.spec.stages[stage].modules[-1] for stage in stages]
    grids = layer_grids(loaded.module, loaded.spec, paths)
    head = None if model.estimator is None else model.estimator_
    rest: torch.nn.Module = SampledMaps(grids, STEP)
    if head is None:
        factors, intercept = linear_factors(model.estimator_)
        if len(factors) == 1:  # two classes have one score
            factors = torch.cat([torch.zeros_like(factors), factors])
            intercept = torch.cat([torch.zeros_like(intercept), intercept])
        rest = ScoredMaps(grids, factors, intercept)
    network = MaskNetwork(copy.deepcopy(loaded.module), loaded.spec, stages, rest)
    about = {
        "backbone": loaded.spec.name,
        "weights": loaded.weights,
        "weights_digest": loaded.digest,
        "classes": [*map(str, model.classes_)],
    }
    return ExportableMasks(
        loaded.preprocessing, model.image_size, network, model.classes_, head, about
    )
