"""Masks: a label for each pixel, by frozen features or by a tuned network with a decoder."""

from sktransfer.segmentation.regions import find_regions
from sktransfer.segmentation.scorer import MaskScorer

__all__ = ["MaskScorer", "find_regions"]
