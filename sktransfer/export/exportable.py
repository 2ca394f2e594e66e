"""A fitted model taken apart: preprocessing, network, and what follows."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from sktransfer.adaptation.estimator import AdaptedClassifier
from sktransfer.adaptation.heads import AdaptationHead
from sktransfer.exceptions import ExportError
from sktransfer.export.network_graph import PooledNetwork
from sktransfer.export.outputs import NetworkOutput, output_of_target
from sktransfer.export.shared_features import ENSEMBLES, share_features
from sktransfer.features.pipelines import split_first_step
from sktransfer.features.taps import resolve_slots
from sktransfer.features.transformer import DeepFeatureTransformer
from sktransfer.finetuning.estimator import FineTunedEstimator
from sktransfer.preprocessing import Preprocessing
from sktransfer.raw_pixels import PixelTransformer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sktransfer.features.plan import Slot

__all__ = ["Exportable", "take_apart"]


@dataclass(frozen=True, eq=False)
class Exportable:
    """What a graph is made of.

    Parameters
    ----------
    preprocessing : Preprocessing
        From an image to the network's input.
    network : nn.Module
        From normalised images (batch, 3, size, size) to the output.
    output : NetworkOutput
        Output of the network.
    n_columns : int
        Number of columns of it, or of the features.
    head : estimator or None
        Fitted estimator that takes the network's features; None if the network says it all.
    about : dict of str to object
        Facts of the model for the file's metadata.
    """

    preprocessing: Preprocessing
    network: nn.Module
    output: NetworkOutput
    n_columns: int
    head: Any
    about: dict[str, Any]

    def seen(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize and crop an image (height, width, 3) as the model does."""
        return self.preprocessing(Image.fromarray(pixels))


def take_apart(model: Any) -> Exportable:
    """Find the network in a fitted model, and what comes before and after it.

    Parameters
    ----------
    model : estimator
        See `export_onnx`.

    Raises
    ------
    ExportError
        If it does not begin with a network, naming the step.
    """
    first, head = split_first_step(model)
    if isinstance(first, DeepFeatureTransformer):
        return _of_features(first, first._ready()[1].slots, head)
    if isinstance(first, FineTunedEstimator) and hasattr(first, "_trained"):
        return _of_training(first, head)
    if isinstance(first, AdaptedClassifier) and hasattr(first, "_trained") and head is None:
        return _of_training(first, None)
    if isinstance(first, PixelTransformer):
        return _of_pixels(first, head)
    if isinstance(first, ENSEMBLES) and hasattr(first, "estimators_") and head is None:
        return _of_features(*share_features(first))
    if isinstance(first, (FineTunedEstimator, AdaptedClassifier, *ENSEMBLES)):
        check_is_fitted(first)
    raise ExportError(_refusal(model, first))


def _of_features(
    features: DeepFeatureTransformer, slots: tuple[Slot, ...], head: Any
) -> Exportable:
    loaded, plan = features._ready()
    module = copy.deepcopy(loaded.module)
    network = PooledNetwork(module, slots, loaded.spec, plan.preprocessing.crop)
    about = {
        "backbone": plan.backbone,
        "weights": plan.weights,
        "weights_digest": plan.digest,
        "feature_names": [f"{s.layer}_{s.pooling}_{i}" for s in slots for i in range(s.width)],
        "classes": _listed(getattr(head, "classes_", None)),
    }
    n_columns = sum(slot.width for slot in slots)
    return Exportable(plan.preprocessing, network, _features(), n_columns, head, about)


def _of_training(model: FineTunedEstimator | AdaptedClassifier, head: Any) -> Exportable:
    """Take apart a network that was trained: alone, or as the features of other steps."""
    trained, preprocessing = model._trained, model._trained.preprocessing
    if getattr(model, "backbone", "") is None:
        raise ExportError(
            f"the {type(model).__name__} has backbone=None and takes numbers, not images. Only "
            "networks of images can be exported."
        )
    loaded = trained.loaded
    slots = resolve_slots(loaded, None, trained.pooling, preprocessing.crop)
    module = copy.deepcopy(loaded.module)
    network: nn.Module = PooledNetwork(module, slots, loaded.spec, preprocessing.crop)
    output = _features()
    if head is None:
        output = output_of_target(model._coder)
        scores: nn.Module = copy.deepcopy(trained.network.head).cpu().float()
        if isinstance(scores, AdaptationHead):
            scores = nn.Sequential(scores.bottleneck, scores.label)
        standardize = copy.deepcopy(trained.network.standardize).cpu()
        network = nn.Sequential(network, standardize, scores, output.module)
    about = {
        "backbone": loaded.spec.name,
        "weights": loaded.weights,
        "weights_digest": loaded.digest,
        "classes": _listed(output.classes if head is None else getattr(head, "classes_", None)),
    }
    return Exportable(preprocessing, network, output, trained.widths[0], head, about)


def _of_pixels(pixels: PixelTransformer, head: Any) -> Exportable:
    size = int(pixels.size)
    preprocessing = Preprocessing(size, size, (0.0,) * 3, (1.0,) * 3, "bicubic", "squash")
    about = {
        "feature_names": pixels.get_feature_names_out().tolist(),
        "classes": _listed(getattr(head, "classes_", None)),
    }
    return Exportable(preprocessing, _Rows(), _features(), size * size * 3, head, about)


class _Rows(nn.Module):
    """From images (batch, 3, height, width) to rows of pixels, the channels of one side by side."""

    def forward(self, images: Tensor) -> Tensor:
        return images.permute(0, 2, 3, 1).flatten(1)


def _features() -> NetworkOutput:
    return NetworkOutput("features", nn.Identity())


def _listed(classes: Any) -> list[str] | None:
    return None if classes is None else [*map(str, classes)]


def _refusal(model: Any, first: Any) -> str:
    model = getattr(model, "best_estimator_", model)
    step = f"first step {model.steps[0][0]!r}" if isinstance(model, Pipeline) else "model"
    return (
        f"the {step} is a {type(first).__name__}, and only what begins with a fitted network can be "
        "exported: a Pipeline whose first step is a DeepFeatureTransformer, a search over one, an "
        "ensemble of these, a fine-tuned estimator, or a segmenter. Pass such a model, or pass this one on with "
        "save_model."
    )
