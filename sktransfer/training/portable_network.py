"""A trained network that travels: pickled as plain weights, built again when it is needed."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from sktransfer.backbones.registry import WeightsSource, get_backbone
from sktransfer.backbones.weights import LoadedBackbone, finished
from sktransfer.exceptions import WeightsError, WeightsMismatchError
from sktransfer.randomness import seeded
from sktransfer.training.heads import make_head
from sktransfer.training.network import TransferNetwork
from sktransfer.training.serving import TUNED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from sktransfer.backbones.spec import BackboneLike
    from sktransfer.preprocessing import Preprocessing

__all__ = ["TrainedNetwork"]

_BACKBONE = "backbone."


class TrainedNetwork:
    """A network with what is needed to build it again.

    Its pickle holds the weights as the bytes of a .safetensors file, and no tensor, device or code.

    Parameters
    ----------
    network : TransferNetwork
        Trained in place by others, who then call `changed`.
    loaded : LoadedBackbone
        Backbone of which the network's is a copy.
    backbone : str, nn.Module, callable or BackboneSpec
        Backbone that was asked for.
    head : str or callable
        See `heads.make_head`.
    widths : tuple of int
        Numbers of the features and of the scores.
    """

    def __init__(
        self,
        network: TransferNetwork,
        loaded: LoadedBackbone,
        backbone: BackboneLike,
        head: str | Callable[[int, int], nn.Module],
        widths: tuple[int, int],
    ) -> None:
        self._network: TransferNetwork | None = network
        self._loaded: LoadedBackbone | None = loaded
        self._serving_head: nn.Module | None = None
        self._data: bytes | None = None
        self._backbone, self._head, self._widths = backbone, head, widths
        self._weights = loaded.weights
        self._pooling, self._preprocessing = network.pooling, network.preprocessing
        self._first_trained, self._freeze_batchnorm = (
            network.first_trained,
            network.freeze_batchnorm,
        )

    @property
    def network(self) -> TransferNetwork:
        """The network; on the CPU after a pickle."""
        if self._network is None:
            self._network = self._build()
        return self._network

    @property
    def loaded(self) -> LoadedBackbone:
        """The backbone with its weights as they are now, to compute features with."""
        if self._loaded is None:
            network = self.network
            source = WeightsSource(preprocessing=network.preprocessing)
            copied = copy.deepcopy(network.backbone)
            self._loaded = finished(copied, network.spec, TUNED, source)
        return self._loaded

    @property
    def preprocessing(self) -> Preprocessing:
        """What happens to an image first."""
        return self._preprocessing

    @property
    def pooling(self) -> str:
        """How the last map is pooled."""
        return self._pooling

    @property
    def widths(self) -> tuple[int, int]:
        """Number of features and of scores."""
        return self._widths

    def copy(self) -> TrainedNetwork:
        """Return a copy whose network can be trained while this one stays as it is."""
        other = copy.copy(self)
        other._network = copy.deepcopy(self.network)
        return other

    def with_network(self, network: TransferNetwork) -> TrainedNetwork:
        """Return the same with another network of the same kind in it."""
        other = copy.copy(self)
        other._network, other._preprocessing = network, network.preprocessing
        other.changed(backbone=True)
        return other

    def changed(self, *, backbone: bool) -> None:
        """Note that the weights of the head, and perhaps of the backbone, are no longer the same."""
        self._serving_head = None
        self._data = None
        if backbone:
            self._loaded = None

    def set_preprocessing(self, preprocessing: Preprocessing) -> None:
        """Let images come in another size from now on."""
        self._preprocessing = self.network.preprocessing = preprocessing

    def set_first_trained(self, first: int, *, freeze_batchnorm: bool) -> None:
        """Let other stages train from now on."""
        self._first_trained, self._freeze_batchnorm = first, freeze_batchnorm
        network = self.network
        network.freeze_batchnorm, network.resumes_at = freeze_batchnorm, first
        network.set_trained(first)

    def scores(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Apply the head in float64, so that a row's scores do not depend on the rows beside it."""
        if self._serving_head is None:
            standardize, head = self.network.standardize, self.network.head
            serving = nn.Sequential(copy.deepcopy(standardize), copy.deepcopy(head))
            self._serving_head = serving.cpu().double().eval()
        with torch.inference_mode():
            scores: NDArray[np.float64] = self._serving_head(
                torch.from_numpy(features).double()
            ).numpy()
        return scores

    def name_weights(self, name: str) -> None:
        """Call the weights that the training began with otherwise."""
        self._weights = name

    def save_weights(self, path: Path) -> None:
        """Write the backbone's weights, without any classifier, as a .safetensors file."""
        state = self.network.backbone.state_dict()
        kept = {k: v for k, v in state.items() if not self.network.spec.is_head(k)}
        safetensors.torch.save_file(_plain(kept), path)

    def __getstate__(self) -> dict[str, object]:
        data = self._data
        if data is None:
            state = self.network.state_dict()
            is_head = self.network.spec.is_head
            kept = {k: v for k, v in state.items() if not is_head(k.removeprefix(_BACKBONE))
                    or not k.startswith(_BACKBONE)}  # fmt: skip
            data = safetensors.torch.save(_plain(kept))
        left_out = {"_network": None, "_loaded": None, "_serving_head": None}
        return {**self.__dict__, **left_out, "_data": data}

    def _build(self) -> TransferNetwork:
        """Build the network from its pickle."""
        assert self._data is not None  # either there is a network or its weights
        spec = get_backbone(self._backbone)
        source = spec.weights.get(self._weights)
        build = (source.build if source is not None else None) or spec.build
        with seeded(0):
            network = TransferNetwork(
                build().float(),
                spec,
                self._preprocessing,
                self._pooling,
                make_head(self._head, *self._widths),
                self._widths[0],
                self._first_trained,
                self._freeze_batchnorm,
            )
        try:
            state = safetensors.torch.load(self._data)
        except SafetensorError as exc:
            raise WeightsError(
                f"the weights that this pickle of {spec.name} carries are damaged ({exc}). Fit again."
            ) from exc
        found = network.load_state_dict(state, strict=False)
        lacking = [
            key for key in found.missing_keys if not spec.is_head(key.removeprefix(_BACKBONE))
        ]
        if lacking or found.unexpected_keys:
            raise WeightsMismatchError(
                f"the weights that this pickle carries do not fit {spec.name} as it is now "
                f"({[*lacking, *found.unexpected_keys][0]!r} differs). Use the library's version "
                "that it was fitted with, or fit again."
            )
        return network.eval()


def _plain(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copy tensors to the CPU, each with memory of its own, as the format needs it."""
    return {key: value.detach().cpu().contiguous().clone() for key, value in state.items()}
