"""`rank_backbones`: which network suits some images, told from its features, without training."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import softmax
from sklearn.base import clone

from sktransfer.backbones.catalogue import licence_of
from sktransfer.backbones.registry import get_backbone
from sktransfer.backbones.spec import Stage
from sktransfer.exceptions import NoClassifierError, WeightsMismatchError
from sktransfer.features.transformer import DeepFeatureTransformer
from sktransfer.images.unreadable import every_image_is_needed
from sktransfer.labels import check_class_labels
from sktransfer.parameters import check_choice
from sktransfer.ranking.logme import logme
from sktransfer.ranking.transferability import (
    hscore,
    knn_accuracy,
    leep,
    linear_cv_accuracy,
    nleep,
    shrunk_hscore,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    import torch
    from numpy.typing import ArrayLike, NDArray

    from sktransfer.backbones.spec import BackboneSpec
    from sktransfer.features.device import Precision
    from sktransfer.features.pooling import PoolingName
    from sktransfer.images import ImageShape

__all__ = ["RANKING_METHODS", "rank_backbones"]

RANKING_METHODS: Mapping[str, Callable[..., float]] = {
    "logme": logme,
    "hscore": hscore,
    "shrunk_hscore": shrunk_hscore,
    "leep": leep,
    "nleep": nleep,
    "knn": knn_accuracy,
    "linear_cv": linear_cv_accuracy,
}
"""What scores features and labels, by the name that `method` takes."""

_SEEDED = ("nleep", "linear_cv")
_SOURCE_CLASSES = "source classes"  # name of the stage that the classifier becomes for LEEP


@every_image_is_needed()
def rank_backbones(
    X: object,
    y: ArrayLike,
    *,
    backbones: Sequence[object] | Mapping[str, Any],
    method: str = "logme",
    weights: str = "default",
    layers: object = None,
    pooling: PoolingName | Sequence[PoolingName] = "avg",
    image_shape: ImageShape = None,
    image_size: int | None = None,
    device: str | torch.device = "auto",
    precision: Precision = "auto",
    batch_size: int = 32,
    num_workers: int | str = "auto",
    cache: str | None = "memory",
    random_state: int | None = 0,
    verbose: int = 0,
) -> pd.DataFrame:
    """Rank networks by how well their features suit images and labels; nothing is trained.

    Parameters
    ----------
    X : images
        Any of the kinds that :class:`~sktransfer.DeepFeatureTransformer` takes.
    y : array-like of shape (n_images,)
        Labels of two or more classes.
    backbones : sequence, or mapping of str to its entries
        Each a value for the transformer's `backbone`, or a
        :class:`~sktransfer.DeepFeatureTransformer`, whose own parameters count then: so different
        weights, layers or poolings can be ranked as well. A mapping gives them names.
    method : str, default="logme"
        One of

        - "logme": :func:`~sktransfer.ranking.logme`, evidence of a linear model: the best first
          guess;
        - "hscore" and "shrunk_hscore": variance between the classes
          (:func:`~sktransfer.ranking.hscore` with more images than features only);
        - "leep": what the network's own classes say of the labels
          (:func:`~sktransfer.ranking.leep`). Only for weights that hold a classifier, whatever
          `layers` is;
        - "nleep": the same with clusters of the features as classes;
        - "knn": leave-one-out accuracy of the five nearest neighbours;
        - "linear_cv": cross-validated accuracy of a linear classifier: what the others estimate,
          and the slowest.
    weights, layers, pooling, image_shape, image_size, device, precision, batch_size, num_workers, \
cache
        As in :class:`~sktransfer.DeepFeatureTransformer`, for entries that are not one.
    random_state : int or None, default=0
        Seed of random weights, of the clusters of "nleep" and of the folds of "linear_cv".
    verbose : int, default=0
        1 shows progress on stderr.

    Returns
    -------
    DataFrame, one row per entry, best first
        Columns ``backbone``; ``score``, comparable within one table; ``seconds`` for features and
        score together (features already in the store count as free) and ``score_seconds`` for the
        score alone; ``width``, the number of features; ``parameters`` and ``weights_bytes`` of the
        network without its classifier, of all stages, as float32 in memory; ``weights``;
        ``licence`` of the default weights, "" where none is known; ``layers`` and ``pooling``, as resolved.

    Raises
    ------
    ValueError
        If `backbones` is empty or there is no such method.
    NoClassifierError
        If `method` is "leep" and the weights of an entry hold no classifier.

    See Also
    --------
    list_backbones : The names to choose from.
    LayerSweepDisplay : Ranks the layers of one network.

    Examples
    --------
    >>> from sktransfer.datasets import load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> entries = {"pre-trained": "tiny", "untrained": DeepFeatureTransformer("tiny", weights="random")}
    >>> rank_backbones(X[:300], y[:300], backbones=entries)[["backbone", "width", "parameters"]]
          backbone  width  parameters
    0  pre-trained    256     2795040
    1    untrained    256     2795040
    """
    import pandas as pd
    from tqdm.auto import tqdm

    check_choice("method", method, RANKING_METHODS)
    classes, codes = check_class_labels(X, y)
    parameters: dict[str, object] = {
        "weights": weights,
        "layers": layers,
        "pooling": pooling,
        "image_shape": image_shape,
        "image_size": image_size,
        "device": device,
        "precision": precision,
        "batch_size": batch_size,
        "num_workers": num_workers,
        "cache": cache,
        "random_state": random_state,
    }
    entries = _entries(backbones, parameters)
    rows = []
    with tqdm(entries, disable=not verbose, unit="network") as progress:
        for name, features in progress:
            progress.set_description(name or str(features.backbone)[:30])
            rows.append(_ranked(name, features, X, classes[codes], method, random_state))
    table = pd.DataFrame(rows)
    return table.sort_values("score", ascending=False, kind="stable", ignore_index=True)


def _entries(
    backbones: Sequence[object] | Mapping[str, Any], parameters: dict[str, Any]
) -> list[tuple[str | None, DeepFeatureTransformer]]:
    if isinstance(backbones, str) or not hasattr(backbones, "__iter__"):
        raise TypeError(
            f"backbones={backbones!r} must be a list of networks or a mapping of names to them. "
            f"Pass backbones=[{backbones!r}]."
        )
    named: list[tuple[str | None, Any]] = (
        list(backbones.items())
        if isinstance(backbones, Mapping)
        else [(None, entry) for entry in backbones]
    )
    if not named:
        raise ValueError(f"backbones={backbones!r} is empty; give at least one to rank.")
    return [
        (
            name,
            clone(entry)
            if isinstance(entry, DeepFeatureTransformer)
            else DeepFeatureTransformer(entry, **parameters),
        )
        for name, entry in named
    ]


def _ranked(
    name: str | None,
    features: DeepFeatureTransformer,
    X: object,
    labels: NDArray[np.generic],
    method: str,
    random_state: int | None,
) -> dict[str, object]:
    """Score one network and describe it."""
    spec = get_backbone(features.backbone)
    features.fit(X)  # loads the weights, which is no part of the time
    plan, module = features.plan_, features.backbone_
    start = time.perf_counter()
    values = _source_probabilities(features, spec, X) if method == "leep" else features.transform(X)
    scoring = time.perf_counter()
    seed = {"random_state": random_state} if method in _SEEDED else {}
    score = RANKING_METHODS[method](values, labels, **seed)
    end = time.perf_counter()
    body = {key: value for key, value in module.state_dict().items() if not spec.is_head(key)}
    return {
        "backbone": name or plan.backbone,
        "score": score,
        "seconds": end - start,
        "score_seconds": end - scoring,
        "width": plan.n_features,
        "parameters": sum(p.numel() for k, p in module.named_parameters() if not spec.is_head(k)),
        "weights_bytes": sum(value.nbytes for value in body.values()),
        "weights": plan.weights,
        "licence": licence_of(plan.backbone) if isinstance(features.backbone, str) else "",
        "layers": ", ".join(plan.layers),
        "pooling": ", ".join(dict.fromkeys(slot.pooling for slot in plan.slots)),
    }


def _source_probabilities(
    features: DeepFeatureTransformer, spec: BackboneSpec, X: object
) -> NDArray[np.float64]:
    """Compute the probabilities of the classes that a network was trained for, through the store.

    The classifier becomes one more stage, and so part of what the weights must hold.
    """
    wanted = (
        f"method='leep' needs the classes that a network was trained for, but {spec.name} "
        f"with weights={features.plan_.weights!r} {{}}. Choose method='nleep' or 'logme', which need none."
    )
    if not spec.classifier:
        raise NoClassifierError(wanted.format("has no classifier"))
    stages = (*spec.stages, Stage(_SOURCE_CLASSES, (spec.classifier,)))
    whole = replace(spec, stages=stages, classifier="")
    classifier = clone(features).set_params(backbone=whole, layers=_SOURCE_CLASSES, pooling="avg")
    try:
        scores = classifier.fit(X).transform(X).astype(np.float64)
    except WeightsMismatchError as exc:
        raise NoClassifierError(wanted.format("holds no classifier that fits")) from exc
    if scores.min() >= 0 and np.allclose(scores.sum(1), 1, atol=1e-2):  # they are so already
        scores = np.log(np.maximum(scores, np.finfo(np.float64).tiny))
    probabilities: NDArray[np.float64] = np.asarray(softmax(scores, axis=1))
    return probabilities
