"""The parameters of an adaptation, resolved: what a training reads instead of the estimator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sktransfer.adaptation.alignments import Alignment
    from sktransfer.adaptation.heads import TwoHeads
    from sktransfer.adaptation.norms import BatchNormMode

__all__ = ["AdaptationSettings"]


@dataclass(frozen=True)
class AdaptationSettings:
    """What an adaptation needs to know beside what every training does.

    Parameters
    ----------
    alignment : Alignment
        Brings the domains together.
    heads : TwoHeads
        Builds the heads.
    lambda_max, lambda_gamma : float
        Final weight of the alignment, and steepness of its rise.
    entropy_weight, diversity_weight : float
        Weights of the entropy of predictions for the target, and of that of their mean, relative to
        lambda.
    batch_norm : {"joint", "separate", "per_domain"}
        Treatment of the two halves of a batch by BatchNorm.
    pixels_per_domain : bool
        Whether the pixels of each domain are normalised by themselves.
    """

    alignment: Alignment
    heads: TwoHeads
    lambda_max: float
    lambda_gamma: float
    entropy_weight: float
    diversity_weight: float
    batch_norm: BatchNormMode
    pixels_per_domain: bool
