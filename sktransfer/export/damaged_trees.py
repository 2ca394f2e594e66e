"""Boosted trees of a file whose numbers lead out of them: scikit-learn follows these unchecked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from sktransfer.exceptions import ExportError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from sklearn.base import BaseEstimator

__all__ = ["refuse_damaged_trees"]

_BOOSTING = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)


def refuse_damaged_trees(path: str | os.PathLike[str], estimator: BaseEstimator) -> None:
    """Refuse boosting whose trees would make predictions read beyond an array, or never end.

    Parameters
    ----------
    path : str or path
        The file that it comes from, for messages.
    estimator : estimator
        Any; what is no boosting has no such trees.

    Raises
    ------
    ExportError
        If a tree is damaged.
    """
    if not isinstance(estimator, _BOOSTING):
        return
    n_features = vars(estimator).get("n_features_in_", 0)
    for tree in _trees(vars(estimator).get("_predictors", [])):
        if not _is_sound(tree, n_features):
            raise ExportError(
                f"{str(path)!r} holds a tree of a {type(estimator).__name__} whose nodes lead out of "
                "it. The file is damaged or crafted: ask whoever wrote it for another."
            )


def _trees(rounds: Any) -> Iterator[Any]:
    for of_round in rounds:
        yield from of_round


def _is_sound(tree: Any, n_features: int) -> bool:
    """Tell whether each node leads to later ones, and asks for a feature that there is."""
    nodes = tree.nodes
    inner = nodes["is_leaf"] == 0
    own = np.flatnonzero(inner)
    children = np.stack([nodes["left"][inner], nodes["right"][inner]]).astype(np.int64)
    features = nodes["feature_idx"][inner]
    sets = nodes["bitset_idx"][inner & (nodes["is_categorical"] != 0)]
    return bool(
        len(nodes)
        and (children > own).all()
        and (children < len(nodes)).all()
        and (features >= 0).all()
        and (features < n_features).all()
        and (sets < len(tree.raw_left_cat_bitsets)).all()
    )
