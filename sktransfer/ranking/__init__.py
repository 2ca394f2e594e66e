"""Ranking: which network suits some images, read off its features without training it."""

from sktransfer.ranking.logme import logme
from sktransfer.ranking.ranking import RANKING_METHODS, rank_backbones
from sktransfer.ranking.transferability import (
    hscore,
    knn_accuracy,
    leep,
    linear_cv_accuracy,
    nleep,
    shrunk_hscore,
)

__all__ = [
    "RANKING_METHODS",
    "hscore",
    "knn_accuracy",
    "leep",
    "linear_cv_accuracy",
    "logme",
    "nleep",
    "rank_backbones",
    "shrunk_hscore",
]
