"""Outputs of a network that was trained: from the head's scores to probabilities or values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sktransfer.exceptions import ExportError
from sktransfer.training.targets import (
    BinaryTarget,
    ContinuousTarget,
    MulticlassTarget,
    MultilabelTarget,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sktransfer.training.targets import Target

__all__ = ["NetworkOutput", "output_of_target"]


@dataclass(frozen=True, eq=False)
class NetworkOutput:
    """What a network puts out, and how its scores become that.

    Parameters
    ----------
    name : {"features", "probabilities", "prediction"}
        Name of the output.
    module : nn.Module
        From scores (batch, n_scores) to the output.
    classes : ndarray of shape (n_classes,) or None, default=None
        Labels, if the output is probabilities.
    several : bool, default=False
        Whether an image has several labels.
    """

    name: str
    module: nn.Module
    classes: NDArray[np.generic] | None = None
    several: bool = False


def output_of_target(target: Target) -> NetworkOutput:
    """Say what scores become, as the target decodes them.

    Raises
    ------
    ExportError
        If the target is of a kind that has no counterpart.
    """
    if isinstance(target, MultilabelTarget):
        return NetworkOutput("probabilities", nn.Sigmoid(), target.classes, several=True)
    if isinstance(target, BinaryTarget):
        return NetworkOutput("probabilities", _TwoClasses(), target.classes)
    if isinstance(target, MulticlassTarget):
        return NetworkOutput("probabilities", nn.Softmax(1), target.classes)
    if isinstance(target, ContinuousTarget):
        return NetworkOutput("prediction", _Values(target))
    raise ExportError(
        f"outputs of the kind {type(target).__name__} cannot be exported: only labels, several labels "
        "an image, and numbers can. Pass the model on with save_model."
    )


class _TwoClasses(nn.Module):
    """From the logit of the second class to the probabilities of both."""

    def forward(self, scores: Tensor) -> Tensor:
        return torch.cat([torch.sigmoid(-scores), torch.sigmoid(scores)], 1)  # (batch, 2)


class _Values(nn.Module):
    """From standardised values to those in the user's units, in the shape of y."""

    scale: Tensor
    mean: Tensor

    def __init__(self, target: ContinuousTarget) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(target.scale, dtype=torch.float32))
        self.register_buffer("mean", torch.tensor(target.mean, dtype=torch.float32))
        self.one_axis = target.one_axis

    def forward(self, scores: Tensor) -> Tensor:
        values = scores * self.scale + self.mean  # (batch, n_targets)
        return values[:, 0] if self.one_axis else values
