"""Saliency: where in an image an estimator sees what it decides by."""

from sktransfer.saliency.explain import saliency_maps
from sktransfer.saliency.maps import SaliencyMaps

__all__ = ["SaliencyMaps", "saliency_maps"]
