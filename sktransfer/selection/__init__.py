"""Choosing, under one name: what comparison, ranking, advice and audit offer."""

from sktransfer.advice import Recommendation, recommend_strategy
from sktransfer.audit import audit_images
from sktransfer.comparison import (
    Candidate,
    StrategyComparison,
    compare_strategies,
    corrected_paired_ttest,
    strategy_candidates,
)
from sktransfer.ensembles import layer_ensemble
from sktransfer.ranking import (
    RANKING_METHODS,
    hscore,
    knn_accuracy,
    leep,
    linear_cv_accuracy,
    logme,
    nleep,
    rank_backbones,
    shrunk_hscore,
)
from sktransfer.raw_pixels import PixelTransformer

__all__ = [
    "RANKING_METHODS",
    "Candidate",
    "PixelTransformer",
    "Recommendation",
    "StrategyComparison",
    "audit_images",
    "compare_strategies",
    "corrected_paired_ttest",
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
    "strategy_candidates",
]
