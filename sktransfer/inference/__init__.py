"""Batch inference: a fitted model on any number of images, shard by shard, on the engine that joblib has."""
