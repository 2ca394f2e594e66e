"""What is known of networks before one is loaded: family, size, accuracy, licence, download."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any

from sktransfer.backbones.registry import get_backbone
from sktransfer.backbones.spec import build_without_values

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

__all__ = ["backbone_details", "download_mb", "licence_of"]

_TIMM = "timm:"
_BYTES = 4  # of a float32 weight
_OF_IMAGENET = "BSD-3-Clause; weights trained on ImageNet, whose images are for research"
_OF_THIS_PACKAGE = "that of sktransfer"


def backbone_details(names: Iterable[str]) -> pd.DataFrame:
    """Describe networks, without a download.

    Parameters
    ----------
    names : iterable of str
        Names of networks.

    Returns
    -------
    DataFrame, one row per network
        ``backbone``; ``family``; ``parameters``, their number; ``input_size``, side in pixels;
        ``width``, features of the last stage; ``layers``, number of stages; ``class_token``, whether
        pooling "token" is possible; ``weights``, the default ones, "" if none are published; ``top1``, published
        accuracy on ImageNet-1k in percent, NaN where none is known; ``licence``; ``download_mb``, size of the
        weights in millions of bytes.

    Examples
    --------
    >>> table = backbone_details(["tiny", "resnet18"])
    >>> table[["backbone", "input_size", "width", "top1"]]
       backbone  input_size  width    top1
    0      tiny          64    256     NaN
    1  resnet18         224    512  69.758
    """
    import pandas as pd

    return pd.DataFrame([_row(name) for name in names])


def licence_of(name: str) -> str:
    """Return the licence of a network's default weights; "" where none is known."""
    if name.startswith(_TIMM):
        return str(_timm_config(name).get("license") or "")
    return _OF_IMAGENET if _torchvision_weights(name) is not None else _licence_of_own(name)


def download_mb(name: str, n_parameters: int) -> float:
    """Return the size of the default weights in millions of bytes; 0 for those that are here anyway."""
    if name.startswith(_TIMM):
        return n_parameters * _BYTES / 1e6
    weights = _torchvision_weights(name)
    return 0.0 if weights is None else float(weights.meta["_file_size"]) * 1.048576


def _row(name: str) -> dict[str, object]:
    spec = get_backbone(name)
    module = build_without_values(spec.build)
    n_parameters = sum(parameter.numel() for parameter in module.parameters())
    default = spec.default_weights or next(iter(spec.weights), "")
    return {
        "backbone": name,
        "family": _family(name),
        "parameters": n_parameters,
        "input_size": spec.preprocessing.crop,
        "width": spec.widths[-1],
        "layers": len(spec.stages),
        "class_token": spec.class_token,
        "weights": default,
        "top1": _top1(name),
        "licence": licence_of(name),
        "download_mb": round(download_mb(name, n_parameters), 1) if default else float("nan"),
    }


def _family(name: str) -> str:
    """Take the letters at the front: "resnet" of resnet50, "vit" of vit_b_16."""
    found = re.match(r"[a-z]+", name.removeprefix(_TIMM).lower())
    return found.group() if found else name


def _top1(name: str) -> float:
    weights = None if name.startswith(_TIMM) else _torchvision_weights(name)
    if weights is None:
        return float("nan")
    return float(weights.meta["_metrics"].get("ImageNet-1K", {}).get("acc@1", float("nan")))


def _torchvision_weights(name: str) -> Any:
    models: Any = importlib.import_module("torchvision.models")
    return models.get_model_weights(name).DEFAULT if name in models.list_models() else None


def _timm_config(name: str) -> dict[str, Any]:
    timm: Any = importlib.import_module("timm")
    config = timm.get_pretrained_cfg(name.removeprefix(_TIMM), allow_unregistered=True)
    return {} if config is None else dict(config.to_dict())


def _licence_of_own(name: str) -> str:
    return _OF_THIS_PACKAGE if name == "tiny" else ""
