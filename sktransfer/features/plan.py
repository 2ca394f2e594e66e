"""The plan: what `fit` resolves the user's words to, and what everything later reads."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from sktransfer.exceptions import ImageWarning

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sktransfer.backbones.weights import LoadedBackbone
    from sktransfer.features.engine import Engine
    from sktransfer.images import ImageShape
    from sktransfer.preprocessing import Preprocessing

__all__ = [
    "FeaturePlan",
    "LayerNames",
    "Slot",
    "input_preprocessing",
    "plan_features",
    "slot_columns",
]

LayerNames: TypeAlias = "str | int | Sequence[str | int] | None"
"""Layers as users name them; None is the last stage."""


@dataclass(frozen=True)
class Slot:
    """One pooled layer: a run of columns of the features.

    Parameters
    ----------
    layer : str
        As users call it.
    pooling : str
        Name of a simple one; "avgmax" makes two slots.
    module : str
        Path of the module whose output is pooled.
    width : int
        Number of columns.
    """

    layer: str
    pooling: str
    module: str
    width: int


@dataclass(frozen=True)
class FeaturePlan:
    """What a transformer computes: small, comparable, and the same in every process.

    Parameters
    ----------
    backbone : str
        Name of the network.
    weights : str
        As resolved: a name such as "IMAGENET1K_V2", a path, or "random".
    digest : str
        Digest of the weights, see `sktransfer.backbones.weights.digest_of`.
    architecture : str
        Digest of all that the network computes, see `sktransfer.backbones.architecture`.
    preprocessing : Preprocessing
        Preprocessing of an image.
    precision : {"float32", "bfloat16", "float16"}
        Precision that the network computes in.
    slots : tuple of Slot
        Layer and pooling of the columns, from left to right.
    """

    backbone: str
    weights: str
    digest: str
    architecture: str
    preprocessing: Preprocessing
    precision: str
    slots: tuple[Slot, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, each once, in the order of the columns."""
        return tuple(dict.fromkeys(slot.layer for slot in self.slots))

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return sum(slot.width for slot in self.slots)

    @property
    def columns(self) -> dict[Slot, slice]:
        """The columns of each slot."""
        return slot_columns(self.slots)

    @property
    def feature_names(self) -> list[str]:
        """Names of the columns, such as "layer4_avg_0"."""
        return [
            f"{slot.layer}_{slot.pooling}_{i}" for slot in self.slots for i in range(slot.width)
        ]


def slot_columns(slots: Iterable[Slot]) -> dict[Slot, slice]:
    """Find the columns of slots that stand side by side, from left to right.

    Examples
    --------
    >>> list(slot_columns([Slot("stem", "avg", "0", 3), Slot("stem", "max", "0", 3)]).values())
    [slice(0, 3, None), slice(3, 6, None)]
    """
    columns, end = {}, 0
    for slot in slots:
        start, end = end, end + slot.width
        columns[slot] = slice(start, end)
    return columns


def plan_features(
    loaded: LoadedBackbone, preprocessing: Preprocessing, engine: Engine, slots: tuple[Slot, ...]
) -> FeaturePlan:
    """Write down what a network with its weights is to compute of an image."""
    return FeaturePlan(
        backbone=loaded.spec.name,
        weights=loaded.weights,
        digest=loaded.digest,
        architecture=engine.architecture,
        preprocessing=preprocessing,
        precision=engine.precision,
        slots=slots,
    )


def input_preprocessing(
    preprocessing: Preprocessing,
    image_size: int | None,
    image_shape: ImageShape,
    patch: int = 1,
) -> Preprocessing:
    """Adapt what belongs to the weights to the size and the kind of images that a user asks for.

    Parameters
    ----------
    preprocessing : Preprocessing
        Preprocessing of the weights.
    image_size : int or None
        Side of the network's input in pixels; None leaves it. A network of patches takes the nearest
        multiple of a patch.
    image_shape : tuple of int, "row" or None
        A row of numbers has no proportions to keep, so it is squashed.
    patch : int, default=1
        Side in pixels of the network's patches.

    Warns
    -----
    ImageWarning
        If the size is no multiple of a patch.
    """
    if image_size is not None:
        size = max(1, round(image_size / patch)) * patch
        if size != image_size:
            warnings.warn(
                f"image_size={image_size} is no multiple of the {patch} pixels of the network's patches; "
                f"{size} is used.",
                ImageWarning,
                stacklevel=2,
            )
        preprocessing = preprocessing.with_size(size)
    if isinstance(image_shape, str):
        preprocessing = replace(preprocessing, fit="squash", resize=preprocessing.crop)
    return preprocessing
