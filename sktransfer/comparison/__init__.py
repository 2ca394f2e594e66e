"""Comparison: strategies of transfer, grid-searched over the same folds, in one table."""

from sktransfer.comparison.candidates import Candidate, strategy_candidates
from sktransfer.comparison.compare import compare_strategies
from sktransfer.comparison.results import StrategyComparison
from sktransfer.comparison.significance import corrected_paired_ttest
from sktransfer.comparison.unlabelled_candidates import unlabelled_candidates

__all__ = [
    "Candidate",
    "StrategyComparison",
    "compare_strategies",
    "corrected_paired_ttest",
    "strategy_candidates",
    "unlabelled_candidates",
]
