"""Unlabelled: estimators and folds for images of which only some have labels."""

from sktransfer.unlabelled.distillation import DistilledFeatureTransformer
from sktransfer.unlabelled.folds import LabeledFold
from sktransfer.unlabelled.labelled_classifier import LabeledClassifier
from sktransfer.unlabelled.self_training import NeighborSelfTrainingClassifier
from sktransfer.unlabelled.smoothing import NeighborSmoother
from sktransfer.unlabelled.square_root import SquareRootTransformer

__all__ = [
    "DistilledFeatureTransformer",
    "LabeledClassifier",
    "LabeledFold",
    "NeighborSelfTrainingClassifier",
    "NeighborSmoother",
    "SquareRootTransformer",
]
