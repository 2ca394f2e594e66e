"""Choosing: which features, head, backbone or strategy suits the images at hand."""

from sktransfer.selection.advice import Recommendation, recommend_strategy
from sktransfer.selection.audit import audit_images
from sktransfer.selection.comparison import (
    Candidate,
    FeatureComparison,
    compare_candidates,
    compare_features,
    feature_candidates,
)
from sktransfer.selection.ensembles import layer_ensemble
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
    "Recommendation",
    "audit_images",
    "compare_candidates",
    "compare_features",
    "feature_candidates",
    "hscore",
    "knn_accuracy",
    "layer_ensemble",
    "leep",
    "linear_cv_accuracy",
    "logme",
    "nleep",
    "rank_backbones",
    "recommend_strategy",
    "shrunk_hscore",
]
