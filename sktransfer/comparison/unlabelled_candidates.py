"""The candidates of a comparison that make use of images without labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sklearn.base import clone
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer.comparison.candidates import Candidate
from sktransfer.unlabelled import (
    DistilledFeatureTransformer,
    LabeledClassifier,
    NeighborSelfTrainingClassifier,
    NeighborSmoother,
    SquareRootTransformer,
)

if TYPE_CHECKING:
    from sktransfer.features.transformer import DeepFeatureTransformer

__all__ = ["FROZEN", "unlabelled_candidates", "with_frozen"]

FROZEN = "features + logistic regression"
"""The candidate that leaves the features as they are, with which the others have to compete."""

_C = 0.01  # searched in it too, each neighbour would be looked for several times


def unlabelled_candidates(
    frozen: Candidate, *, teacher: Any = None, teacher_weights: Any = "default"
) -> dict[str, Candidate]:
    """Make the candidates that learn from images without labels, and the square root beside them.

    Parameters
    ----------
    frozen : Candidate
        Features, scaling and logistic regression, as
        :func:`~sktransfer.comparison.strategy_candidates` makes them; its layers and poolings are
        searched here too.
    teacher, teacher_weights : default=None and "default"
        Better network, as in :class:`~sktransfer.DistilledFeatureTransformer`, from which the last stage of the
        features' network learns by all images, in every fold anew. Whether it is better, the folds tell. None
        leaves these candidates out.

    Returns
    -------
    dict of str to Candidate
        Rows without a label have the label None.

    Examples
    --------
    >>> from sktransfer.comparison import strategy_candidates
    >>> for name in unlabelled_candidates(strategy_candidates("tiny")[FROZEN]):
    ...     print(name)
    square root + logistic regression
    neighbours + logistic regression
    self-training of neighbours
    """
    grid = _of_features(frozen)
    features = frozen.estimator.named_steps["features"]
    head = clone(frozen.estimator.named_steps["head"])
    of_labelled = LabeledClassifier(head.set_params(C=_C), unlabeled=None)
    root = [("root", SquareRootTransformer()), *frozen.estimator.steps[1:]]
    neighbours = [("neighbours", NeighborSmoother()), ("scale", StandardScaler())]
    self_training = NeighborSelfTrainingClassifier(unlabeled=None)
    candidates = {
        "square root + logistic regression": Candidate(_after(features, *root), frozen.param_grid),
        "neighbours + logistic regression": Candidate(
            _after(features, *neighbours, ("head", of_labelled)), grid
        ),
        "self-training of neighbours": Candidate(_after(features, ("head", self_training)), grid),
    }
    if teacher is not None:
        student = _student(features, teacher, teacher_weights)
        both = FeatureUnion([("frozen", clone(features)), ("distilled", clone(student))])
        end = [("scale", StandardScaler()), ("head", of_labelled)]
        candidates |= {
            "distilled + logistic regression": Candidate(_after(student, *end)),
            "features beside distilled": Candidate(_after(both, *end)),
        }
    return candidates


def with_frozen(candidates: Any, made: Mapping[str, Candidate]) -> Any:
    """Add the candidate that leaves the features as they are to names of which one is in `made`.

    A name alone is no choice, and stays alone.

    Examples
    --------
    >>> made = {"self-training of neighbours": Candidate(None)}
    >>> with_frozen(["features + SVM", "self-training of neighbours"], made)
    ['features + logistic regression', 'features + SVM', 'self-training of neighbours']
    """
    if candidates is None or isinstance(candidates, Mapping | str) or FROZEN in candidates:
        return candidates
    names = list(candidates)
    return [FROZEN, *names] if len(names) > 1 and set(made) & set(names) else names


def _of_features(frozen: Candidate) -> dict[str, Any]:
    """Leave the layers and poolings of a grid."""
    assert isinstance(frozen.param_grid, dict)
    return {name: of for name, of in frozen.param_grid.items() if name.startswith("features__")}


def _student(
    features: DeepFeatureTransformer, teacher: Any, teacher_weights: Any
) -> DistilledFeatureTransformer:
    """Make the network of the features a student."""
    kept = ("backbone", "weights", "image_shape", "image_size", "device", "cache", "random_state")
    network = {name: getattr(features, name) for name in kept}
    return DistilledFeatureTransformer(
        **network,
        teacher=teacher,
        teacher_weights=teacher_weights,
        check_teacher=False,
        unlabeled=None,
    )


def _after(features: Any, *steps: tuple[str, Any]) -> Pipeline:
    return Pipeline([("features", clone(features)), *((name, clone(step)) for name, step in steps)])
