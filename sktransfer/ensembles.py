"""`layer_ensemble`: one classifier for each layer of a network, and a vote or a stack of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sklearn.base import clone
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer.backbones.registry import get_backbone
from sktransfer.features.transformer import DeepFeatureTransformer
from sktransfer.parameters import check_choice
from sktransfer.ranking.transferability import linear_probe

if TYPE_CHECKING:
    import torch

    from sktransfer.features.device import Precision
    from sktransfer.features.pooling import PoolingName
    from sktransfer.images import ImageShape

__all__ = ["layer_ensemble"]


def layer_ensemble(
    backbone: object = "resnet50",
    layers: Sequence[object] | None = None,
    heads: object = None,
    *,
    combine: str = "vote",
    weights: str = "default",
    pooling: PoolingName | Sequence[PoolingName] = "avg",
    cv: int | Any = 5,
    image_shape: ImageShape = None,
    image_size: int | None = None,
    device: str | torch.device = "auto",
    precision: Precision = "auto",
    batch_size: int = 32,
    num_workers: int | str = "auto",
    cache: str | None = "memory",
    random_state: int | None = 0,
    verbose: int = 0,
) -> VotingClassifier | StackingClassifier:
    """Build one classifier on each of several layers, and combine their predictions.

    Each is a Pipeline of features, StandardScaler and head. All find their features in the store,
    which one pass through the network fills for every layer, fold and search. With processes, as of
    a search with ``n_jobs=2``, `cache` must be a folder for that.

    Parameters
    ----------
    backbone : str, nn.Module, callable or BackboneSpec, default="resnet50"
        As in :class:`~sktransfer.DeepFeatureTransformer`.
    layers : sequence or None, default=None
        One value for the transformer's `layers` a classifier: a name, a negative int, or a list of
        these. None is the last three stages, ``[-3, -2, -1]``.
    heads : estimator, sequence of estimators or None, default=None
        One classifier for all layers, or one for each; they are cloned. None is
        ``LogisticRegression(C=0.01, max_iter=2000)``.
    combine : {"vote", "stack"}, default="vote"
        "vote" averages the probabilities, or counts votes if a head has no `predict_proba`; "stack"
        learns by logistic regression, on predictions out of the folds `cv`, whom to trust.
    pooling : str or sequence of str, default="avg"
        One for all layers, or one for each.
    cv : int or splitter, default=5
        Folds of "stack"; an int means shuffled, stratified ones.
    weights, image_shape, image_size, device, precision, batch_size, num_workers, cache, verbose
        As in :class:`~sktransfer.DeepFeatureTransformer`.
    random_state : int or None, default=0
        Seed of random weights and of the folds; heads keep their own.

    Returns
    -------
    VotingClassifier or StackingClassifier
        Of scikit-learn, not fitted; its estimators are named after the layers, such as "layer4", so
        that a search can set ``layer4__head__C``.

    Raises
    ------
    ValueError
        If `layers` is empty or names one twice, the lengths differ, or `combine` is unknown.
    TypeError
        If `layers` is a single one.
    UnknownLayerError
        From `fit`, if the network has no such layer.

    See Also
    --------
    DeepFeatureTransformer : Features of several layers side by side.

    Examples
    --------
    >>> from sktransfer.datasets import load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> ensemble = layer_ensemble("tiny", [-2, -1])
    >>> [name for name, _ in ensemble.estimators]
    ['layer3', 'layer4']
    >>> bool(ensemble.fit(X[:200], y[:200]).score(X[200:300], y[200:300]) > 0.8)
    True
    """
    check_choice("combine", combine, ("vote", "stack"))
    wanted = _each("layers", [-3, -2, -1] if layers is None else layers)
    names = [_name(backbone, layer) for layer in wanted]
    if len(set(names)) < len(names):
        raise ValueError(f"layers={layers!r} names a layer twice. Name each once.")
    probe = linear_probe()[-1]
    members = []
    for name, layer, head, how in zip(
        names,
        wanted,
        _one_each("heads", probe if heads is None else heads, names),
        _one_each("pooling", pooling, names),
        strict=True,
    ):
        features = DeepFeatureTransformer(
            backbone,
            weights=weights,
            layers=layer,
            pooling=how,
            image_shape=image_shape,
            image_size=image_size,
            device=device,
            precision=precision,
            batch_size=batch_size,
            num_workers=num_workers,
            cache=cache,
            random_state=random_state,
            verbose=verbose,
        )
        steps = [("features", features), ("scale", StandardScaler()), ("head", clone(head))]
        members.append((name, Pipeline(steps)))
    if combine == "vote":
        soft = all(hasattr(member, "predict_proba") for _, member in members)
        return VotingClassifier(members, voting="soft" if soft else "hard")
    if isinstance(cv, int):
        cv = StratifiedKFold(cv, shuffle=True, random_state=random_state)
    return StackingClassifier(members, LogisticRegression(max_iter=2000), cv=cv)


def _each(name: str, values: object) -> list[Any]:
    if isinstance(values, str | int) or not isinstance(values, Sequence):
        raise TypeError(
            f"{name}={values!r} must be a list with a layer for each classifier. "
            f"Pass {name}=[{values!r}]."
        )
    if not values:
        raise ValueError(f"{name}={values!r} is empty; give at least one.")
    return list(values)


def _one_each(parameter: str, value: object, names: list[str]) -> list[Any]:
    """Repeat a single value for all layers; check that there are as many as layers otherwise."""
    if isinstance(value, str) or not isinstance(value, list | tuple):
        return [value] * len(names)
    if len(value) != len(names):
        raise ValueError(
            f"{parameter}={value!r} has {len(value)} entries for {len(names)} layers "
            f"({', '.join(names)}). Pass one for all, or a list with one for each."
        )
    return list(value)


def _name(backbone: Any, layer: Any) -> str:
    """Name a classifier after its layer; what the network does not have is refused by `fit`."""
    if isinstance(layer, list | tuple):
        return "+".join(_name(backbone, part) for part in layer)
    stages = get_backbone(backbone).layer_names
    if isinstance(layer, int) and -len(stages) <= layer <= -1:
        return stages[layer]
    return str(layer).replace("__", "_")  # which separates names of parameters
