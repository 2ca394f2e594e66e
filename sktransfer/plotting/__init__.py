"""Plotting: what a choice rests on, as Displays in the manner of scikit-learn."""

from sktransfer.plotting.comparison import StrategyComparisonDisplay
from sktransfer.plotting.domains import DomainsDisplay
from sktransfer.plotting.embedding import EmbeddingDisplay
from sktransfer.plotting.layers import LayerSweepDisplay
from sktransfer.plotting.learning import FeatureLearningCurveDisplay
from sktransfer.plotting.saliency import SaliencyDisplay
from sktransfer.plotting.segmentation import SegmentationDisplay

__all__ = [
    "DomainsDisplay",
    "EmbeddingDisplay",
    "FeatureLearningCurveDisplay",
    "LayerSweepDisplay",
    "SaliencyDisplay",
    "SegmentationDisplay",
    "StrategyComparisonDisplay",
]
