"""The network that is taken where the user names none: ImageNet weights, if they can be had."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from sktransfer.backbones.presence import weights_are_here
from sktransfer.backbones.weights import load_backbone
from sktransfer.exceptions import WeightsError, WeightsNotFoundError, WeightsWarning

if TYPE_CHECKING:
    import os

__all__ = ["DEFAULT_BACKBONE", "ChosenBackbone", "choose_backbone"]

DEFAULT_BACKBONE = "resnet50"
"""What "auto" stands for, and the default of every transformer and classifier."""

# In place of it, offline, if their weights are in the cache: the better ones first.
_SUBSTITUTES = (
    "convnext_tiny", "efficientnet_b0", "resnet34", "mobilenet_v3_large", "mobilenet_v2",
    "resnet18", "densenet121", "squeezenet1_1",
)  # fmt: skip


class ChosenBackbone(NamedTuple):
    """What "auto" stands for on this machine.

    Parameters
    ----------
    backbone : str, nn.Module, callable or BackboneSpec
        See `get_backbone`.
    note : str
        Sentence that has to be read beside every result if it is another than the default; or "".
    """

    backbone: Any
    note: str = ""


def choose_backbone(
    backbone: Any, weights: str | os.PathLike[str] = "default", *, stacklevel: int = 3
) -> ChosenBackbone:
    """Find out which network "auto" stands for; download its weights if they are not here.

    Parameters
    ----------
    backbone : str, nn.Module, callable or BackboneSpec
        Whatever is not "auto" is returned as it is.
    weights : str or path, default="default"
        Other weights belong to the default network.
    stacklevel : int, default=3
        Frame that the warning points at, as in `warnings.warn`.

    Returns
    -------
    ChosenBackbone
        resnet50; if its weights are neither in the cache nor can be downloaded, another network with
        ImageNet weights in the cache; without any, "tiny".

    Warns
    -----
    WeightsWarning
        If it is not resnet50.

    Examples
    --------
    >>> choose_backbone("tiny")
    ChosenBackbone(backbone='tiny', note='')
    """
    if not isinstance(backbone, str) or backbone != "auto":
        return ChosenBackbone(backbone)
    if weights != "default":
        return ChosenBackbone(DEFAULT_BACKBONE)
    try:
        load_backbone(DEFAULT_BACKBONE)
    except WeightsNotFoundError:
        here = (name for name in _SUBSTITUTES if weights_are_here(name, "default"))
        substitute = next(here, "tiny")
    except WeightsError as exc:  # damaged on the way
        raise WeightsError(f"{exc} Or name another network, such as backbone='tiny'.") from exc
    else:
        return ChosenBackbone(DEFAULT_BACKBONE)
    note = (
        f"The network is {substitute!r}, because the ImageNet weights of {DEFAULT_BACKBONE!r} are neither "
        "in the cache nor could they be downloaded."
    )
    if substitute == "tiny":
        note += (
            " It has never seen a photograph: on photographs expect far less than is possible. Connect "
            "to the internet once, or name a network and a file of its weights."
        )
    warnings.warn(note, WeightsWarning, stacklevel=stacklevel)
    return ChosenBackbone(substitute, note)
