"""Unlabelled: estimators and folds for images of which only some have labels."""

from sktransfer.unlabelled.distillation import DistilledFeatureTransformer
from sktransfer.unlabelled.folds import LabeledFold
from sktransfer.unlabelled.self_training import NeighborSelfTrainingClassifier
from sktransfer.unlabelled.smoothing import NeighborSmoother

__all__ = [
    "DistilledFeatureTransformer",
    "LabeledFold",
    "NeighborSelfTrainingClassifier",
    "NeighborSmoother",
]
