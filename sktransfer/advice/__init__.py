"""Advice: the rule of thumb for a strategy of transfer, on measurements of the data at hand."""

from sktransfer.advice.recommendation import Recommendation, recommend_strategy

__all__ = ["Recommendation", "recommend_strategy"]
