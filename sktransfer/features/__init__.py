"""Features: pooled layers of a pre-trained network, computed once for each image."""

from sktransfer.features.plan import FeaturePlan
from sktransfer.features.pooling import pool_map
from sktransfer.features.store import CacheInfo
from sktransfer.features.transformer import DeepFeatureTransformer

__all__ = ["CacheInfo", "DeepFeatureTransformer", "FeaturePlan", "pool_map"]
