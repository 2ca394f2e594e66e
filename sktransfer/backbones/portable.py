"""Weights inside a pickle: to safetensors bytes and back, with no code in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import safetensors.torch
import xxhash
from safetensors import SafetensorError

from sktransfer.backbones.registry import WeightsSource, get_backbone
from sktransfer.backbones.weight_files import check_fits
from sktransfer.backbones.weights import LoadedBackbone, finished, shared
from sktransfer.exceptions import WeightsError

if TYPE_CHECKING:
    from sktransfer.preprocessing import Preprocessing

__all__ = ["weights_from_bytes", "weights_to_bytes"]


def weights_to_bytes(loaded: LoadedBackbone) -> bytes:
    """Write the weights of a network, as a .safetensors file has them.

    Examples
    --------
    >>> from sktransfer.backbones import load_backbone
    >>> tiny = load_backbone("tiny")
    >>> again = weights_from_bytes("tiny", weights_to_bytes(tiny), "BUNDLED", tiny.preprocessing)
    >>> again.digest == tiny.digest
    True
    """
    state = loaded.module.state_dict()
    # Modules may share a tensor, which the format does not know; each gets its own copy.
    data: bytes = safetensors.torch.save({key: value.clone() for key, value in state.items()})
    return data


def weights_from_bytes(
    backbone: Any, data: bytes, weights: str, preprocessing: Preprocessing
) -> LoadedBackbone:
    """Build a network with the weights that `weights_to_bytes` wrote.

    Parameters
    ----------
    backbone : str, nn.Module, callable or BackboneSpec
        The network.
    data : bytes
        Its weights.
    weights : str
        Name of the weights, for messages.
    preprocessing : Preprocessing
        Preprocessing that belongs to them.

    Raises
    ------
    WeightsError
        If `data` is damaged.
    WeightsMismatchError
        If it belongs to another network.
    """
    spec = get_backbone(backbone)

    def load() -> LoadedBackbone:
        try:
            state = safetensors.torch.load(data)
        except SafetensorError as exc:
            raise WeightsError(
                f"the weights that this pickle of {spec.name} carries are damaged ({exc}). Fit again."
            ) from exc
        module = spec.build()
        module.load_state_dict(check_fits(state, module, spec, weights), strict=False)
        return finished(module, spec, weights, WeightsSource(preprocessing=preprocessing))

    return shared(
        ("bytes", spec.identity.digest, xxhash.xxh3_128_hexdigest(data), weights, preprocessing),
        load,
    )
