"""A fitted model taken apart: preprocessing, network, and what follows."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sklearn.pipeline import Pipeline

from sktransfer.exceptions import ExportError
from sktransfer.export.network_graph import PooledNetwork
from sktransfer.features.pipelines import split_pipeline

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from sktransfer.features.transformer import DeepFeatureTransformer
    from sktransfer.preprocessing import Preprocessing

__all__ = ["Exportable", "take_apart"]


@dataclass(frozen=True, eq=False)
class Exportable:
    """What a graph is made of.

    Parameters
    ----------
    preprocessing : Preprocessing
        From an image to the network's input.
    network : nn.Module
        From normalised images (batch, 3, size, size) to (batch, n_columns).
    n_columns : int
        Number of columns that the network gives.
    head : estimator or None
        Fitted estimator that takes the network's features; None if the network says it all.
    output : {"features", "probabilities", "prediction"}
        Name of the network's output.
    classes : ndarray of shape (n_classes,) or None
        Labels, if the network gives probabilities.
    several : bool
        Whether an image has several labels.
    about : dict of str to object
        Facts of the model for the file's metadata.
    """

    preprocessing: Preprocessing
    network: nn.Module
    n_columns: int
    head: Any
    output: str
    classes: NDArray[np.generic] | None
    several: bool
    about: dict[str, Any]


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
    model = getattr(model, "best_estimator_", model)
    if isinstance(model, Pipeline) and len(model.steps) == 1:
        return take_apart(model.steps[0][1])
    features, head = split_pipeline(model)
    if features is not None:
        return _of_features(features, head)
    raise ExportError(_refusal(model))


def _of_features(features: DeepFeatureTransformer, head: Any) -> Exportable:
    loaded, plan = features._ready()
    module = copy.deepcopy(loaded.module)
    return Exportable(
        preprocessing=plan.preprocessing,
        network=PooledNetwork(module, plan.slots, loaded.spec, plan.preprocessing.crop),
        n_columns=plan.n_features,
        head=head,
        output="features",
        classes=None,
        several=False,
        about={
            "backbone": plan.backbone,
            "weights": plan.weights,
            "weights_digest": plan.digest,
            "feature_names": plan.feature_names,
            "classes": _listed(getattr(head, "classes_", None)),
        },
    )


def _listed(classes: Any) -> list[Any] | None:
    return None if classes is None else [*map(str, classes)]


def _refusal(model: Any) -> str:
    step, kind = "the model", type(model).__name__
    if isinstance(model, Pipeline):
        step, kind = f"its first step {model.steps[0][0]!r}", type(model.steps[0][1]).__name__
    return (
        f"{step} is a {kind}, and only what begins with a network can be exported: a Pipeline "
        "whose first step is a DeepFeatureTransformer, a search over one, or a fine-tuned estimator. "
        "Pass such a model, or pass this one on with save_model."
    )
