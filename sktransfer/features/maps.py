"""Maps: every cell of the layers whose pooling a transformer gives, and the pixels that it sees."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from sktransfer.features.device import resolve_devices
from sktransfer.features.engine import replicas
from sktransfer.features.extraction import extract
from sktransfer.features.plan import slot_columns
from sktransfer.features.pooling import WHOLE_MAP
from sktransfer.features.taps import map_shapes, resolve_slots
from sktransfer.images.unreadable import every_image_is_needed
from sktransfer.parameters import check_parameters

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sktransfer.features.plan import FeaturePlan
    from sktransfer.features.transformer import DeepFeatureTransformer
    from sktransfer.images.sequences import ImageSequence
    from sktransfer.preprocessing import Preprocessing

__all__ = ["LayerMaps", "layer_maps", "pixels_seen"]


@dataclass(frozen=True, eq=False)
class LayerMaps:
    """What a network makes of some images, before it is pooled.

    Parameters
    ----------
    plan : FeaturePlan
        Plan of the pooled features.
    maps : dict of str to ndarray of shape (n_images, channels, height, width), dtype float32
        Maps of each layer of the plan.
    pixels : ndarray of shape (n_images, side, side, 3), dtype uint8
        Pixels that went into the network.
    """

    plan: FeaturePlan
    maps: dict[str, NDArray[np.float32]]
    pixels: NDArray[np.uint8]


@every_image_is_needed()
def layer_maps(features: DeepFeatureTransformer, X: object) -> LayerMaps:
    """Compute the maps that a transformer pools, in its own precision; nothing is stored.

    Parameters
    ----------
    features : DeepFeatureTransformer
        Fitted or not; it stays as it is.
    X : images
        As in its `transform`. All maps are kept in memory, so pass some images rather than all.

    Returns
    -------
    LayerMaps

    Raises
    ------
    ImageDecodeError
        If an image cannot be read.

    Examples
    --------
    >>> from sktransfer import DeepFeatureTransformer
    >>> from sktransfer.datasets import load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> found = layer_maps(DeepFeatureTransformer("tiny", layers=[-2, -1]), X[:3])
    >>> {layer: maps.shape for layer, maps in found.maps.items()}
    {'layer3': (3, 128, 8, 8), 'layer4': (3, 256, 4, 4)}
    """
    check_parameters(features)
    run = features.run_settings()
    loaded, plan = features._ready()
    images = features._images(X, reset=False)
    side = plan.preprocessing.crop
    slots = resolve_slots(loaded, list(plan.layers), WHOLE_MAP, side)
    found = extract(
        images,
        replace(plan, slots=slots),
        replicas(loaded, resolve_devices(features.device), plan.precision, slots),
        None,
        batch_size=run.batch_size,
        n_workers=run.n_workers,
        on_error="raise",
        progress=lambda _: None,
    )
    shapes = map_shapes(loaded, plan.layers, side)
    maps = {
        slot.layer: found.features[:, run].reshape(-1, *shapes[slot.layer])
        for slot, run in slot_columns(slots).items()
    }
    return LayerMaps(plan, maps, pixels_seen(images, plan.preprocessing))


def pixels_seen(images: ImageSequence, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Read images and cut out of them what a network is shown: (n_images, side, side, 3).

    Raises
    ------
    ImageDecodeError
        If an image cannot be read.
    """
    size = preprocessing.min_size
    seen = (
        preprocessing(images.decode(row, images.read(row), min_size=size))
        for row in range(len(images))
    )
    return np.stack(list(seen))
