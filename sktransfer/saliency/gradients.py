"""Grad-CAM: the channels of a tuned network's last map, weighted by the gradient of a score.

For the head of one linear layer on an average, the positive part of the class activation map; for other
heads its generalisation [1]_. A class token reads the cells inside the last stage only, so there it is the map
before that stage.

References
----------
.. [1] Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based
   localization", ICCV 2017, equations 1 and 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sktransfer.features.maps import pixels_seen
from sktransfer.features.pooling import POOLINGS
from sktransfer.features.states import as_state, cells_of, pool_state
from sktransfer.features.taps import run_tapped
from sktransfer.forks import one_thread_in_children
from sktransfer.images import as_image_sequence
from sktransfer.saliency.decisions import classes_of, target_columns
from sktransfer.saliency.maps import SaliencyMaps, spread_cells

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from sktransfer.backbones.spec import Stage

__all__ = ["gradient_maps", "tuned_network"]

_PARTS = ("backbone", "spec", "preprocessing", "pooling", "standardize", "head")


def tuned_network(estimator: object) -> Any:
    """Find the network of an estimator that fine-tunes one; None if it is something else."""
    net = getattr(estimator, "net_", None)
    module = getattr(net, "module_", None)
    return module if all(hasattr(module, part) for part in _PARTS) else None


def gradient_maps(estimator: Any, X: Any, target: Any) -> SaliencyMaps:
    """Compute Grad-CAM of some images in a tuned network.

    Parameters
    ----------
    estimator : FineTuneClassifier or FineTuneRegressor
        Fitted.
    X : images
        Some images.
    target : label, array-like of labels or None
        See `target_columns`.

    Returns
    -------
    SaliencyMaps
        Nowhere below zero; `values` are the network's scores before any softmax.
    """
    one_thread_in_children()
    network = tuned_network(estimator)
    n_later = int(POOLINGS[network.pooling].of_token)
    _check_cells_are_read(network, n_later)
    images = as_image_sequence(X, image_shape=estimator.image_shape)
    pixels = pixels_seen(images, network.preprocessing)
    was_training = network.training
    network.eval()
    try:
        stage = network.spec.stages[-1 - n_later]
        feature_map = _map_after(network, stage, pixels, estimator.batch_size).requires_grad_()
        with torch.enable_grad():
            last = network.map_after(feature_map, len(network.spec.stages) - n_later)
            features = pool_state(last, network.spec, network.pooling)
            scores = _for_each_class(network.head(network.standardize(features)), estimator)
            values = scores.detach().cpu().double().numpy()
            columns = target_columns(target, classes_of(estimator), values)
            chosen = scores[torch.arange(len(scores)), torch.from_numpy(columns)]
            (gradient,) = torch.autograd.grad(chosen.sum(), feature_map)
    finally:
        network.train(was_training)
    feature_map, gradient = (
        cells_of(of_state, network.spec) for of_state in (feature_map, gradient)
    )
    weights = gradient.mean((2, 3), keepdim=True)  # (images, channels, 1, 1), equation 1
    cells = (weights * feature_map).sum(1).relu()  # (images, height, width), equation 2
    shown = cells.detach().cpu().double().numpy()
    classes = classes_of(estimator)
    return SaliencyMaps(
        maps=spread_cells(shown, pixels.shape[1], pixels.shape[2]),
        pixels=pixels,
        targets=columns if classes is None else classes[columns],
        values=values[np.arange(len(values)), columns],
        method="grad_cam",
        layer_maps={stage.name: shown},
    )


def _check_cells_are_read(network: Any, n_later: int) -> None:
    """Refuse a class token whose last stage cannot be run alone: the score reads no cell after it."""
    if n_later and not (network.spec.resumable and len(network.spec.stages) > n_later):
        raise ValueError(
            f"pooling={network.pooling!r} reads no cell of the last map, and the last stage of {network.spec.name} "
            "cannot be run alone, so that Grad-CAM has nothing to show. Fit with pooling='tokenavg' or 'avg'."
        )


def _map_after(network: Any, stage: Stage, pixels: NDArray[np.uint8], batch_size: int) -> Tensor:
    """Run the backbone to the end of a stage: (images, channels, height, width), float32."""
    found: list[Tensor] = []

    def take(output: Tensor) -> None:
        found.append(as_state(output, network.spec).float().clone())

    device = next(network.parameters()).device
    taps = {stage.modules[-1]: take}
    with torch.no_grad():
        for batch in torch.split(torch.from_numpy(pixels), batch_size):
            normalised = network.preprocessing.normalize(batch.to(device))
            run_tapped(network.backbone, normalised, taps)
    return torch.cat(found)


def _for_each_class(scores: Tensor, estimator: object) -> Tensor:
    """Make two columns of the single score of two classes."""
    classes = classes_of(estimator)
    if classes is not None and scores.shape[1] == 1 and len(classes) == 2:
        return torch.cat([-scores, scores], 1)
    return scores
