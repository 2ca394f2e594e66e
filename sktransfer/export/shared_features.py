"""Ensembles whose members all begin with features: one network, from which each takes its columns."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.pipeline import Pipeline

from sktransfer.exceptions import ExportError
from sktransfer.features.pipelines import split_pipeline
from sktransfer.features.plan import slot_columns

if TYPE_CHECKING:
    from sktransfer.features.plan import FeaturePlan, Slot
    from sktransfer.features.transformer import DeepFeatureTransformer

__all__ = ["ENSEMBLES", "share_features"]

ENSEMBLES = (VotingClassifier, VotingRegressor, StackingClassifier, StackingRegressor)
"""Ensembles of scikit-learn that give each member all of X."""


def share_features(ensemble: Any) -> tuple[DeepFeatureTransformer, tuple[Slot, ...], Any]:
    """Rewrite an ensemble such that its members take columns of one set of features.

    Parameters
    ----------
    ensemble : VotingClassifier, VotingRegressor, StackingClassifier or StackingRegressor
        Fitted; it stays as it is.

    Returns
    -------
    features : DeepFeatureTransformer
        A transformer of one of the members, whose network is that of all.
    slots : tuple of Slot
        All that the members pool, each once.
    head : estimator
        The same ensemble, of these features.

    Raises
    ------
    ExportError
        If a member begins otherwise, or with another network.
    """
    split = [split_pipeline(member) for member in ensemble.estimators_]
    names = [name for name, _ in ensemble.estimators]
    for name, (features, _) in zip(names, split, strict=True):
        if features is None:
            raise ExportError(
                f"the member {name!r} of the {type(ensemble).__name__} does not begin with a "
                "DeepFeatureTransformer. Only ensembles whose members all do can be exported."
            )
    plans = [features._ready()[1] for features, _ in split if features is not None]
    for name, plan in zip(names, plans, strict=True):
        if _network(plan) != _network(plans[0]):
            raise ExportError(
                f"the members {names[0]!r} and {name!r} of the {type(ensemble).__name__} have other "
                "networks or sizes of images. Only ensembles on one network can be exported."
            )
    slots = tuple(dict.fromkeys(slot for plan in plans for slot in plan.slots))
    shared = copy.copy(ensemble)
    shared.estimators_ = [
        _on_columns(rest, plan, slots) for (_, rest), plan in zip(split, plans, strict=True)
    ]
    if isinstance(shared, VotingClassifier):
        shared.flatten_transform = False  # of `transform`, which is not exported
    first = split[0][0]
    assert first is not None  # the loop above has looked
    return first, slots, shared


def _network(plan: FeaturePlan) -> tuple[object, ...]:
    return plan.digest, plan.architecture, plan.preprocessing


def _on_columns(rest: Any, plan: FeaturePlan, slots: tuple[Slot, ...]) -> Pipeline:
    """Let what follows a transformer take its columns out of those of `slots`."""
    columns = slot_columns(slots)
    numbers = [n for slot in plan.slots for n in range(columns[slot].start, columns[slot].stop)]
    selection = ColumnTransformer([("columns", "passthrough", numbers)])
    selection.fit(np.zeros((2, sum(slot.width for slot in slots)), dtype=np.float32))
    steps = rest.steps if isinstance(rest, Pipeline) else [("rest", rest)]
    return Pipeline([("selection", selection), *steps])
