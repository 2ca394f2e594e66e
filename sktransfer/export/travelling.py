"""Weights that travel: a model carries those of a file, or finds them where they are on another machine."""

from __future__ import annotations

import copy
import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sktransfer.backbones.registry import get_backbone
from sktransfer.export.saved_objects import estimators_in
from sktransfer.features.plan import FeaturePlan
from sktransfer.features.transformer import DeepFeatureTransformer
from sktransfer.segmentation import FineTuneSegmenter, PixelClassifier
from sktransfer.training.portable_network import TrainedNetwork
from sktransfer.training.warm_start import Origin

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

__all__ = ["carrying_weights", "find_weights", "named_weights"]


def carrying_weights(model: Any) -> Any:
    """Copy a fitted model so that it carries weights that came from a file, and names no folder.

    Parameters
    ----------
    model : estimator
        Stays as it is. Weights that were published under a name are not carried: every machine finds
        these by the name and checks their digest.

    Returns
    -------
    estimator
        A copy if any weights came from a file, otherwise `model` itself.
    """
    from_files = [one for one in estimators_in(model) if _file_of(one) is not None]
    if not from_files:
        return model
    features = [one for one in from_files if isinstance(one, DeepFeatureTransformer)]
    before = [one.store_weights for one in features]
    try:
        for one in features:
            one.store_weights = True
        carrying = copy.deepcopy(model)
    finally:
        for one, stored in zip(features, before, strict=True):
            one.store_weights = stored
    for one in estimators_in(carrying):
        if isinstance(one, PixelClassifier) and _file_of(one) is not None and not _carries(one):
            one.carry_weights()
        _forget_folder(one)
    return carrying


def find_weights(model: Any, place: str | os.PathLike[str]) -> None:
    """Let a model that was loaded find weights that it only refers to by a file.

    Their digest is compared when the model is used.

    Parameters
    ----------
    model : estimator
        Is changed.
    place : str or path
        The file of the weights, which is taken for all that are not where the model says; or a folder
        that holds a file of the same name.
    """
    for one in estimators_in(model):
        file = _file_of(one)
        if file is not None and not _carries(one) and not file.exists():
            here = Path(place) / file.name if Path(place).is_dir() else Path(place)
            one.weights = str(here) if here.exists() else one.weights


def named_weights(model: Any) -> list[tuple[str, str]]:
    """List the networks and published weights that a model needs and does not carry.

    Returns
    -------
    list of (str, str)
        Name of the network, and of the weights; those that come with this package are not listed.
    """
    found = set()
    for one in estimators_in(model):
        name = _name_of_weights(one)
        if name is None or _carries(one):
            continue
        spec = get_backbone(vars(one)["backbone"])
        source = spec.weights.get(name)
        if source is not None and source.file is None:
            found.add((spec.name, name))
    return sorted(found)


def _name_of_weights(estimator: BaseEstimator) -> str | None:
    """Return what the weights are called that a fitted estimator reads."""
    if isinstance(estimator, DeepFeatureTransformer) and hasattr(estimator, "plan_"):
        return estimator.plan_.weights
    if isinstance(estimator, PixelClassifier) and estimator.backbone is not None:
        return vars(estimator).get("_weights")
    return None


def _carries(estimator: Any) -> bool:
    """Tell whether the weights are in an estimator: it was trained, or asked to store them."""
    state = vars(estimator)
    stored = state.get("store_weights", False) or state.get("_carried") is not None
    if isinstance(estimator, FineTuneSegmenter) and hasattr(estimator, "n_iter_"):
        return True
    return stored or any(isinstance(value, TrainedNetwork) for value in state.values())


def _file_of(estimator: Any) -> Path | None:
    """Return the file that the weights of an estimator come from; None if they have a name."""
    weights = vars(estimator).get("weights")
    backbone = vars(estimator).get("backbone")
    if not isinstance(weights, str | os.PathLike) or weights in ("default", "random"):
        return None
    known = get_backbone(backbone).weights if isinstance(backbone, str) else {}
    return None if str(weights) in known else Path(weights)


def _forget_folder(estimator: Any) -> None:
    """Leave of a file that is carried its name, in the parameter and in what was fitted."""
    file = _file_of(estimator)
    if file is None:
        return
    estimator.weights = file.name
    if isinstance(estimator, PixelClassifier):
        estimator._weights = file.name
    for name, value in vars(estimator).items():
        if isinstance(value, TrainedNetwork):
            value.name_weights(file.name)
        elif isinstance(value, Origin):
            value.parameters["weights"] = file.name
        elif isinstance(value, FeaturePlan):
            setattr(estimator, name, dataclasses.replace(value, weights=file.name))
