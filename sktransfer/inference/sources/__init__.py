"""Sources: where the images of a batch inference lie, cut into shards that any process can read."""

from sktransfer.inference.sources.opening import open_source
from sktransfer.inference.sources.shards import Row, Shard, Source

__all__ = ["Row", "Shard", "Source", "open_source"]
