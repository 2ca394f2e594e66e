"""Targets: what a network learns to give for an image, one kind a file."""

from sktransfer.training.targets.classes import BinaryTarget, ClassTarget, MulticlassTarget
from sktransfer.training.targets.continuous import ContinuousTarget, check_values
from sktransfer.training.targets.labels import (
    check_labels,
    class_target,
    class_weights,
    refuse_missing_y,
    row_weights,
)
from sktransfer.training.targets.multilabel import MultilabelTarget
from sktransfer.training.targets.target import RowLoss, Target, weighted_loss

__all__ = [
    "BinaryTarget",
    "ClassTarget",
    "ContinuousTarget",
    "MulticlassTarget",
    "MultilabelTarget",
    "RowLoss",
    "Target",
    "check_labels",
    "check_values",
    "class_target",
    "class_weights",
    "refuse_missing_y",
    "row_weights",
    "weighted_loss",
]
