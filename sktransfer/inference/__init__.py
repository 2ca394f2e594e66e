"""Batch inference: a fitted model on any number of images, shard by shard, on the engine that joblib has."""

from sktransfer.inference.batch import batch_inference
from sktransfer.inference.predictor import BatchPredictor
from sktransfer.inference.run import Estimate, InferenceRun

__all__ = ["BatchPredictor", "Estimate", "InferenceRun", "batch_inference"]
