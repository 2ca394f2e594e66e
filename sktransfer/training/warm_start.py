"""A warm start: what a later fit of the same network may change, and what has to stay."""

from __future__ import annotations

import copy
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sktransfer.features.plan import input_preprocessing
from sktransfer.identity import identity_of
from sktransfer.training.build import feature_width

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sktransfer.backbones.weights import LoadedBackbone
    from sktransfer.preprocessing import Preprocessing
    from sktransfer.training.loop import TransferNet
    from sktransfer.training.settings import NetworkSettings

__all__ = ["Origin", "go_on"]

_KEPT = ("backbone", "weights", "head", "pooling")


@dataclass(frozen=True, eq=False)
class Origin:
    """What a network was made of, in its first fit.

    Parameters
    ----------
    parameters : dict of str
        Parameters of the estimator that cannot change afterwards.
    preprocessing : Preprocessing
        Preprocessing of the weights, before the estimator's size and layout of images.
    identities : mapping of str to str or None, default=None
        Digests of the parameters in that fit; not pickled, because code may be read anew then.
    """

    parameters: dict[str, object]
    preprocessing: Preprocessing
    identities: Mapping[str, str] | None = None

    @classmethod
    def of(cls, settings: NetworkSettings, loaded: LoadedBackbone) -> Origin:
        """Note what a network is made of."""
        parameters: dict[str, object] = {name: getattr(settings, name) for name in _KEPT}
        identities = {name: identity_of(value).digest for name, value in parameters.items()}
        return cls(parameters, loaded.preprocessing, identities)

    def __getstate__(self) -> dict[str, object]:
        return {"parameters": self.parameters, "preprocessing": self.preprocessing}

    def input_of(self, settings: NetworkSettings, patch: int) -> Preprocessing:
        """Return the preprocessing of an image by the parameters as they are now."""
        return input_preprocessing(
            self.preprocessing, settings.image_size, settings.image_shape, patch
        )

    def check(self, settings: NetworkSettings, loaded: LoadedBackbone, n_features: int) -> None:
        """See that the network can go on with the parameters as they are now.

        Parameters
        ----------
        settings : NetworkSettings
            Parameters as they are now.
        loaded : LoadedBackbone
            The network's backbone.
        n_features : int
            Number of features that the head takes.

        Raises
        ------
        ValueError
            If a parameter says that it should be another network.
        """
        for name, before in self.parameters.items():
            now = getattr(settings, name)
            changed = identity_of(now).digest != (self.identities or {}).get(name)
            if now is before and changed and self.identities is not None:
                raise ValueError(
                    f"{name}={_short(now)} has been changed since the network was made, and this fit "
                    "goes on with that network. Change it back, or fit a clone."
                )
            if now is not before and now != before and changed:
                raise ValueError(
                    f"{name}={_short(now)} is not what the network was made with, "
                    f"{name}={_short(before)}, and "
                    "this fit goes on with that network. Set it back, or fit a clone."
                )
        width = feature_width(loaded, settings.pooling, self.input_of(settings, loaded.spec.patch))
        if width != n_features:
            raise ValueError(
                f"image_size={settings.image_size!r} gives {width} features and the head takes "
                f"{n_features}, because pooling={settings.pooling!r} keeps every place of the map. "
                "Set image_size back, or fit a clone."
            )


def go_on(net: TransferNet, before: TransferNet) -> None:
    """Let a new net go on from where an earlier one of the same parameters ended.

    Its optimiser keeps the moments of the earlier one, at the rates of the new one; the history
    goes on, and so does the sequence of random numbers that decides the order of the rows. If other
    stages train now, only the history goes on.
    """
    net.history_ = copy.deepcopy(before.history)
    groups = net.optimizer_.param_groups
    earlier = before.optimizer_.param_groups
    if [len(group["params"]) for group in groups] == [len(group["params"]) for group in earlier]:
        rates = [group["lr"] for group in groups]
        net.optimizer_.load_state_dict(before.optimizer_.state_dict())
        for group, rate in zip(net.optimizer_.param_groups, rates, strict=True):
            group["lr"] = rate
    if net.generator is not None and before.generator is not None:
        net.generator.set_state(before.generator.get_state())


def _short(value: object) -> str:
    """Write a value in a message; the whole of a module would be pages long."""
    return textwrap.shorten(repr(value), 200, placeholder=" ...")
