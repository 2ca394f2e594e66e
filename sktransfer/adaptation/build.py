"""Networks of an adaptation: a backbone, or none for rows of numbers, with heads for two tasks."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from torch import Tensor, nn

from sktransfer.adaptation.norms import DomainSwitch, join_batchnorms, split_batchnorms
from sktransfer.backbones.registry import BackboneSpec
from sktransfer.backbones.weights import LoadedBackbone
from sktransfer.preprocessing import Preprocessing
from sktransfer.training.network import TransferNetwork

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sktransfer.adaptation.domain_pixels import DomainPixels
    from sktransfer.adaptation.norms import BatchNormMode, NormStatistics
    from sktransfer.training.settings import TrainingSettings

__all__ = ["NO_BACKBONE", "AdaptationNetwork", "loaded_nothing", "two_domains", "without_backbone"]

NO_BACKBONE: Final = BackboneSpec(
    "no backbone", nn.Identity, (), {}, Preprocessing(1, 1, mean=(0, 0, 0), std=(1, 1, 1))
)
"""Backbone of rows of numbers, which go into the bottleneck as they are."""


def loaded_nothing() -> LoadedBackbone:
    """Return what stands for the backbone of rows of numbers."""
    return LoadedBackbone(nn.Identity(), NO_BACKBONE, "none", "", NO_BACKBONE.preprocessing)


def without_backbone(settings: TrainingSettings) -> TrainingSettings:
    """Return settings for rows of numbers: all that trains is new."""
    network = replace(settings.network, backbone=NO_BACKBONE, strategy="scratch")
    return replace(settings, network=network)


class AdaptationNetwork(TransferNetwork):
    """A network that may normalise the pixels of each domain by themselves while it is trained.

    Parameters
    ----------
    *args : tuple
        As for `TransferNetwork`.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.domain_pixels: DomainPixels | None = None
        self.switch = DomainSwitch()

    def normalized(self, pixels: Tensor) -> Tensor:
        """Normalise pixels as their domain needs it, if each domain has its own way."""
        if self.domain_pixels is None:
            return super().normalized(pixels)
        return self.domain_pixels.normalize(pixels, self.switch)


@contextmanager
def two_domains(
    network: AdaptationNetwork, mode: BatchNormMode, domain_pixels: DomainPixels | None
) -> Iterator[NormStatistics]:
    """Let a network see two domains in a batch inside, and be the plain one again afterwards.

    Parameters
    ----------
    network : AdaptationNetwork
        The network; its `switch` says which rows are of which domain.
    mode : {"joint", "separate", "per_domain"}
        See `norms.split_batchnorms`.
    domain_pixels : DomainPixels or None
        Normalisation of the pixels of each domain, if they differ.

    Yields
    ------
    dict
        Filled at the end with the running statistics of the source, where it has its own.
    """
    statistics: NormStatistics = {}
    network.switch = split_batchnorms(network, mode)
    network.switch.domain = "source"  # of the rows that are held back
    network.domain_pixels = domain_pixels
    try:
        yield statistics
    finally:
        statistics.update(join_batchnorms(network))
        network.domain_pixels = None
        network.switch.domain = "target"
