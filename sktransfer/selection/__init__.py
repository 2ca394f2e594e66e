"""Choosing: which features, head, backbone or strategy suits the images at hand."""

from sktransfer.selection.comparison import (
    Candidate,
    FeatureComparison,
    compare_candidates,
    compare_features,
    feature_candidates,
)
from sktransfer.selection.pixels import PixelTransformer

__all__ = [
    "Candidate",
    "FeatureComparison",
    "PixelTransformer",
    "compare_candidates",
    "compare_features",
    "feature_candidates",
]
