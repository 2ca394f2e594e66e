"""Targets as version 0.1 pickled them: unpickled, they become targets of today."""

from __future__ import annotations

from typing import Any

from sktransfer.training.targets.classes import BinaryTarget, MulticlassTarget
from sktransfer.training.targets.continuous import ContinuousTarget
from sktransfer.training.targets.multilabel import MultilabelTarget

__all__ = ["LabelCoder", "ValueScaler"]

_KINDS = {"binary": BinaryTarget, "multiclass": MulticlassTarget, "multilabel": MultilabelTarget}


class LabelCoder(MulticlassTarget):
    """Classes and the kind of problem."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        object.__setattr__(self, "__class__", _KINDS[state["kind"]])  # it is frozen
        vars(self).update(classes=state["classes"], dtype=state["dtype"], label_smoothing=0.0)


ValueScaler = ContinuousTarget
