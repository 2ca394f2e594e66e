"""Fine-tuning: estimators that train part or all of a pre-trained network."""

from __future__ import annotations

from sktransfer.finetuning.classifier import FineTuneClassifier
from sktransfer.finetuning.regressor import FineTuneRegressor

__all__ = ["FineTuneClassifier", "FineTuneRegressor"]
