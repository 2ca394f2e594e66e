"""Methods of a model whose results a batch inference can write."""

from __future__ import annotations

from typing import Final

__all__ = ["METHODS"]

METHODS: Final = ("predict", "transform", "predict_proba", "decision_function")
