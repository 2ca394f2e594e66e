"""Continuing: what a later fit of the same network may change, and what has to stay."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sktransfer.features.plan import input_preprocessing
from sktransfer.features.taps import resolve_slots

if TYPE_CHECKING:
    from sktransfer.backbones.weights import LoadedBackbone
    from sktransfer.preprocessing import Preprocessing

__all__ = ["Origin"]

_KEPT = ("backbone", "weights", "head", "pooling")


@dataclass(frozen=True, eq=False)
class Origin:
    """What a network was made of, in its first fit.

    Parameters
    ----------
    parameters : dict of str
        Those of the estimator that cannot change afterwards.
    preprocessing : Preprocessing
        Of the weights, before the estimator's size and layout of images.
    """

    parameters: dict[str, Any]
    preprocessing: Preprocessing

    @classmethod
    def of(cls, estimator: Any, loaded: LoadedBackbone) -> Origin:
        """Note what an estimator makes its network of."""
        return cls({name: getattr(estimator, name) for name in _KEPT}, loaded.preprocessing)

    def input_of(self, estimator: Any) -> Preprocessing:
        """Say what happens to an image, by the parameters as they are now."""
        return input_preprocessing(self.preprocessing, estimator.image_size, estimator.image_shape)

    def check(self, estimator: Any, loaded: LoadedBackbone, n_features: int) -> None:
        """See that the network can go on with the parameters as they are now.

        Parameters
        ----------
        estimator : object
            With the parameters of `FineTuneClassifier`.
        loaded : LoadedBackbone
            Its network.
        n_features : int
            What the head takes.

        Raises
        ------
        ValueError
            If a parameter says that it should be another network.
        """
        for name, before in self.parameters.items():
            now = getattr(estimator, name)
            if now is not before and now != before:
                raise ValueError(
                    f"{name}={_short(now)} is not what the network was made with, "
                    f"{name}={_short(before)}, and "
                    "this fit goes on with that network. Set it back, or fit a clone."
                )
        size = self.input_of(estimator).crop
        width = sum(slot.width for slot in resolve_slots(loaded, None, estimator.pooling, size))
        if width != n_features:
            raise ValueError(
                f"image_size={estimator.image_size!r} gives {width} features and the head takes "
                f"{n_features}, because pooling={estimator.pooling!r} keeps every place of the map. "
                "Set image_size back, or fit a clone."
            )


def _short(value: object) -> str:
    """Write a value in a message; the whole of a module would be pages long."""
    return textwrap.shorten(repr(value), 200, placeholder=" ...")
