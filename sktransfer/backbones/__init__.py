"""Networks that turn images into maps of features: which exist, their stages, their weights."""

from sktransfer.backbones.default import DEFAULT_BACKBONE, ChosenBackbone, choose_backbone
from sktransfer.backbones.registry import (
    BackboneSpec,
    Stage,
    get_backbone,
    list_backbones,
    register_backbone,
)
from sktransfer.backbones.weights import LoadedBackbone, clear_backbones, load_backbone

__all__ = [
    "DEFAULT_BACKBONE",
    "BackboneSpec",
    "ChosenBackbone",
    "LoadedBackbone",
    "Stage",
    "choose_backbone",
    "clear_backbones",
    "get_backbone",
    "list_backbones",
    "load_backbone",
    "register_backbone",
]
