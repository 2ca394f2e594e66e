"""Choosing: which strategy of transfer, features, head or backbone suits the images at hand."""

from sktransfer.selection.advice import Recommendation, recommend_strategy
from sktransfer.selection.audit import audit_images
from sktransfer.selection.candidates import Candidate, strategy_candidates
from sktransfer.selection.comparison import compare_strategies
from sktransfer.selection.ensembles import layer_ensemble
from sktransfer.selection.evidence import logme
from sktransfer.selection.pixels import PixelTransformer
from sktransfer.selection.ranking import RANKING_METHODS, rank_backbones
from sktransfer.selection.results import StrategyComparison
from sktransfer.selection.significance import corrected_paired_ttest
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
