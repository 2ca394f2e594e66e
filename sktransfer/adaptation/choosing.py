"""Choices that are left to the package: what trains, and how strongly the target's rows draw on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from sktransfer.adaptation.domain_statistics import has_statistics

if TYPE_CHECKING:
    from sktransfer.adaptation.norms import BatchNormMode
    from sktransfer.adaptation.parameters import AdaptationParameters
    from sktransfer.backbones.weights import LoadedBackbone

__all__ = ["Choices", "choose"]

AUTO: Final = "auto"

_LARGE: Final = 128  # pixels on a side

# Weights of certain and of varied predictions. Without statistics of each domain the first predictions
# for the target are worse, and to ask them to be certain can make them worse still.
_WITH_STATISTICS: Final = 1.0
_WITHOUT_STATISTICS: Final = 0.3


@dataclass(frozen=True)
class Choices:
    """Parameters whose value may be "auto", with a value.

    Parameters
    ----------
    strategy : {"scratch", "full", "frozen", "partial"}
        Part of the backbone that trains.
    batch_norm : {"joint", "separate", "per_domain"} or None
        Treatment of the two domains by BatchNorm.
    entropy_weight, diversity_weight : float
        Weights of the entropy of each prediction for the target, and of their mean.
    reason : str
        Reason for the strategy, in words.
    """

    strategy: str
    batch_norm: BatchNormMode | None
    entropy_weight: float
    diversity_weight: float
    reason: str


def choose(parameters: AdaptationParameters, loaded: LoadedBackbone | None) -> Choices:
    """Choose what is "auto", by the network alone.

    Weights that were trained on images of 128 pixels or more have seen many kinds of pictures. Their
    features are good for others as they are, once each domain has statistics of its own; stages
    that train on a few hundred images of a source lose more than the alignment gains. A network
    of small images knows little beside what it was trained on, so all of it has to change, and that
    costs little.

    Parameters
    ----------
    parameters : AdaptationParameters
        Parameters of an estimator.
    loaded : LoadedBackbone or None
        Its backbone with the weights that it starts from; None for rows of numbers.
    """
    strategy, reason = _strategy(parameters, loaded)
    is_general = strategy != "scratch" and _is_general(loaded)
    batch_norm = parameters.batch_norm
    if batch_norm == AUTO:
        batch_norm = "per_domain" if is_general else "separate"
    drawn = 0.0
    if is_general:
        assert loaded is not None
        drawn = _WITH_STATISTICS if has_statistics(loaded.module) else _WITHOUT_STATISTICS
    entropy, diversity = (
        drawn if weight == AUTO else float(weight)
        for weight in (parameters.entropy_weight, parameters.diversity_weight)
    )
    return Choices(strategy, cast("BatchNormMode", batch_norm), entropy, diversity, reason)


def _strategy(parameters: AdaptationParameters, loaded: LoadedBackbone | None) -> tuple[str, str]:
    """Return the strategy, and the reason for it."""
    if loaded is None:
        return "scratch", "there is no backbone"
    if parameters.strategy != AUTO:
        return parameters.strategy, "it was asked for"
    name, side = loaded.spec.name, loaded.preprocessing.crop
    if loaded.weights == "random":
        return "scratch", f"the weights of {name} are random"
    if _is_general(loaded):
        return "frozen", (
            f"{name} takes images of {side} pixels, as networks of photographs do, whose features are "
            "good for others as they are"
        )
    return "full", (
        f"{name} takes small images, of {side} pixels, and all of it has to change for others"
    )


def _is_general(loaded: LoadedBackbone | None) -> bool:
    """Tell whether there is a network for images as large as photographs are, with weights."""
    return loaded is not None and loaded.weights != "random" and loaded.preprocessing.crop >= _LARGE
