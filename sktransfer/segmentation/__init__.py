"""Masks: a label for each pixel, by a tuned network with a decoder."""

from sktransfer.segmentation.regions import find_regions
from sktransfer.segmentation.scorer import MaskScorer
from sktransfer.segmentation.segmenter import FineTuneSegmenter

__all__ = ["FineTuneSegmenter", "MaskScorer", "find_regions"]
