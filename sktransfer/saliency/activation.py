"""Class activation maps: what each place adds to the decision of a linear head, exactly.

The average of a map, times weights, is the sum over its cells of the weighted channels [1]_. With scaler
and projection before the head the weights are others, and the sum is the same. A maximum is what one cell
gives; flattened features are the cells themselves.

References
----------
.. [1] Zhou, Khosla, Lapedriza, Oliva, Torralba, "Learning deep features for discriminative
   localization", CVPR 2016, equations 1 and 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from sktransfer.features.maps import layer_maps
from sktransfer.features.pooling import POOLINGS
from sktransfer.saliency.affine import NotAffine, read_affine
from sktransfer.saliency.decisions import classes_of, decide, target_columns
from sktransfer.saliency.maps import SaliencyMaps, spread_cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sktransfer.features.plan import Slot
    from sktransfer.features.transformer import DeepFeatureTransformer

__all__ = ["activation_maps"]


def activation_maps(
    features: DeepFeatureTransformer, rest: object, X: object, target: object
) -> SaliencyMaps:
    """Share out the decision value of each image among the cells of its maps.

    Parameters
    ----------
    features : DeepFeatureTransformer
        With any layers, whose poolings give sums over cells.
    rest : estimator
        Estimator that takes the features: any chain of steps that is affine, such as StandardScaler, PCA and
        a linear head.
    X : images
        Some images.
    target : label, array-like of labels or None
        See `target_columns`.

    Returns
    -------
    SaliencyMaps
        With ``values == maps.sum((1, 2)) + constants``. What rounding in half precision makes of
        the pooled features is spread evenly over their map.

    Raises
    ------
    NotAffine
        If the decision is no sum over cells.
    """
    plan = features._ready()[1]
    others = sorted({s.pooling for s in plan.slots if POOLINGS[s.pooling].share is None})
    if others:
        raise NotAffine(f"pooling {others[0]!r} is no sum over the cells of a map")
    if rest is None or not hasattr(_last_step(rest), "coef_"):
        raise NotAffine("the head is not linear")
    pooled = np.asarray(features.transform(X))
    rows = pooled.astype(np.float64)
    affine = read_affine(lambda points: decide(rest, _named(points, rest)), rows)
    values = decide(rest, _named(rows, rest))
    columns = target_columns(target, classes_of(rest), values)
    found = layer_maps(features, X)
    weights = affine.weights[:, columns].T  # (images, features)
    layers: dict[str, NDArray[np.float64]] = {}
    for slot, part in plan.columns.items():
        cells = _cells(slot, weights[:, part], rows[:, part], found.maps[slot.layer])
        layers[slot.layer] = layers.get(slot.layer, 0.0) + cells
    side = plan.preprocessing.crop
    maps = sum(spread_cells(cells, side) for cells in layers.values())
    classes = classes_of(rest)
    return SaliencyMaps(
        maps=np.asarray(maps),
        pixels=found.pixels,
        targets=columns if classes is None else classes[columns],
        values=values[np.arange(len(rows)), columns],
        method="cam",
        constants=affine.constants[columns],
        layer_maps=layers,
    )


def _cells(
    slot: Slot,
    weights: NDArray[np.float64],
    rows: NDArray[np.float64],
    maps: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Share out ``(weights * rows).sum(1)`` among the cells of one layer: (images, height, width)."""
    share = POOLINGS[slot.pooling].share
    assert share is not None  # the caller has looked
    cells = share(torch.from_numpy(weights), torch.from_numpy(maps).double()).numpy()
    rounding = (weights * rows).sum(1) - cells.sum((1, 2))
    shared: NDArray[np.float64] = cells + rounding[:, None, None] / cells[0].size
    return shared


def _last_step(rest: object) -> object:
    while hasattr(rest, "steps"):
        rest = rest.steps[-1][1]
    return getattr(rest, "best_estimator_", rest)


def _named(rows: NDArray[np.float64], rest: object) -> object:
    """Give columns the names that they had when the head was fitted, if they had any."""
    names = getattr(rest, "feature_names_in_", None)
    if names is None:
        return rows
    import pandas as pd

    return pd.DataFrame(rows, columns=names)
