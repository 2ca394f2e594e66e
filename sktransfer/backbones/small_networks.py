"""Small networks for digits and signs: those of the paper on DANN, and one with BatchNorm.

They have random weights only: train them with ``strategy="scratch"``. Their features are the cells
of the last map, so take them with ``pooling="flatten"``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from torch import nn

from sktransfer.backbones.spec import BackboneSpec, Stage
from sktransfer.preprocessing import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NAMES", "spec_of_small_network"]

_MEAN: Final = (0.5, 0.5, 0.5)
_STD: Final = (0.25, 0.25, 0.25)

# Of each convolution: channels, kernel, padding, and kernel and stride of the max pooling after it.
_Layer = tuple[int, int, int, "tuple[int, int] | None"]
_PAPER: dict[str, tuple[int, Sequence[_Layer]]] = {
    "dann_mnist": (28, [(32, 5, 0, (2, 2)), (48, 5, 0, (2, 2))]),
    "dann_svhn": (32, [(64, 5, 2, (3, 2)), (64, 5, 2, (3, 2)), (128, 5, 2, None)]),
    "dann_signs": (40, [(96, 5, 0, (2, 2)), (144, 3, 0, (2, 2)), (256, 5, 0, (2, 2))]),
}
_MODERN: dict[str, tuple[int, Sequence[_Layer]]] = {
    "digits28": (28, [(64, 5, 0, (2, 2)), (48, 5, 0, (2, 2))]),
    "digits32": (32, [(64, 5, 0, (2, 2)), (48, 5, 0, (2, 2))]),
}

NAMES: Final = (*_PAPER, *_MODERN)
"""Names for `backbone`."""


def spec_of_small_network(name: str) -> BackboneSpec:
    """Describe one of `NAMES`.

    "dann_mnist", "dann_svhn" and "dann_signs" are the convolutions of figure 4 (a), (b) and (c) of
    [1]_, for 28, 32 and 40 pixels; the fully connected layers are the business of the heads. Pooling
    stands before ReLU, which gives the same values in less time. The second pads its maps, of which
    the figure says nothing, because they would not be large enough otherwise. "digits28" and
    "digits32" are the first network, wider and with BatchNorm.

    References
    ----------
    .. [1] Ganin et al., "Domain-adversarial training of neural networks", JMLR 17(59), 2016.

    Examples
    --------
    >>> spec = spec_of_small_network("dann_mnist")
    >>> spec.layer_names, spec.widths, spec.preprocessing.crop
    (('block1', 'block2'), (32, 48), 28)
    """
    size, layers = {**_PAPER, **_MODERN}[name]
    return BackboneSpec(
        name,
        partial(_network, layers, batch_norm=name in _MODERN),
        tuple(Stage(f"block{i}", (f"block{i}",)) for i in range(1, len(layers) + 1)),
        {},
        Preprocessing(size, size, mean=_MEAN, std=_STD),
        classifier="",
    )


def _network(layers: Sequence[_Layer], *, batch_norm: bool) -> nn.Sequential:
    network = nn.Sequential()
    n_in = 3
    for i, (n_out, kernel, padding, pooling) in enumerate(layers, 1):
        # A bias before BatchNorm would do nothing.
        block = nn.Sequential(nn.Conv2d(n_in, n_out, kernel, padding=padding, bias=not batch_norm))
        if pooling is not None:
            block.append(nn.MaxPool2d(*pooling))
        if batch_norm:
            block.append(nn.BatchNorm2d(n_out))
        block.append(nn.ReLU())
        network.add_module(f"block{i}", block)
        n_in = n_out
    return network
