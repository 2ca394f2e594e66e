"""Masks: a label for each pixel, by frozen features or by a tuned network with a decoder."""

from sktransfer.segmentation.pixel_classifier import PixelClassifier
from sktransfer.segmentation.regions import find_regions
from sktransfer.segmentation.scorer import MaskScorer
from sktransfer.segmentation.segmenter import FineTuneSegmenter

__all__ = ["FineTuneSegmenter", "MaskScorer", "PixelClassifier", "find_regions"]
