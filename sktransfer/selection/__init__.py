"""Choosing: which features, head, backbone or strategy suits the images at hand."""

from sktransfer.selection.comparison import (
    Candidate,
    FeatureComparison,
    compare_candidates,
    compare_features,
    feature_candidates,
)
from sktransfer.selection.evidence import logme
from sktransfer.selection.pixels import PixelTransformer
from sktransfer.selection.ranking import RANKING_METHODS, rank_backbones
from sktransfer.selection.transferability import (
    hscore,
    knn_accuracy,
    leep,
    linear_cv_accuracy,
    nleep,
    shrunk_hscore,
)

__all__ = [
    "RANKING_METHODS",
    "Candidate",
    "FeatureComparison",
    "PixelTransformer",
    "compare_candidates",
    "compare_features",
    "feature_candidates",
    "hscore",
    "knn_accuracy",
    "leep",
    "linear_cv_accuracy",
    "logme",
    "nleep",
    "rank_backbones",
    "shrunk_hscore",
]
