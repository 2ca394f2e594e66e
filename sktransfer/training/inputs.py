"""The trunk: what does not train runs once an image, and the epochs use its stored output."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sktransfer.features.engine import prepare
from sktransfer.features.extraction import extract
from sktransfer.features.plan import Slot, plan_features
from sktransfer.features.store import open_store
from sktransfer.features.taps import map_shapes
from sktransfer.images import as_image_sequence
from sktransfer.training.arrays import allocate
from sktransfer.training.decoding import decode_images
from sktransfer.training.network import can_resume
from sktransfer.training.progress import progress_bar
from sktransfer.training.serving import pooled_features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sktransfer.backbones.spec import BackboneSpec
    from sktransfer.backbones.weights import LoadedBackbone
    from sktransfer.images.sequences import ImageSequence
    from sktransfer.preprocessing import Preprocessing
    from sktransfer.training.augmentation import Augmentation
    from sktransfer.training.settings import TrainingSettings

__all__ = ["Inputs", "choose_inputs", "compute_inputs"]

_STORED_AT_MOST = 2**29  # bytes of maps that go through a store in memory, so that vectors stay
_AUGMENTED_AT_ONCE = 128


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the epochs train on.

    Parameters
    ----------
    kind : {"vectors", "maps", "pixels"}
        Pooled features of the last stage, maps of the last frozen stage, or decoded images.
    views : list of ndarray of shape (n_images, ...)
        The values; several where each image has several augmented views.
    failed : list of int
        Rows of images that could not be read.
    """

    kind: str
    views: list[NDArray[Any]]
    failed: list[int]


def choose_inputs(
    spec: BackboneSpec, first: int, *, augments: bool, n_views: int | None
) -> tuple[str, str]:
    """Choose what is stored of each image, and say why.

    Parameters
    ----------
    spec : BackboneSpec
        The network.
    first : int
        The first stage that trains.
    augments : bool
        Whether images are augmented.
    n_views : int or None
        How many augmented views are stored; None draws new ones each epoch.

    Returns
    -------
    kind : {"vectors", "maps", "pixels"}
        See `Inputs`.
    reason : str
        In words.

    Examples
    --------
    >>> from sktransfer.backbones import get_backbone
    >>> choose_inputs(get_backbone("tiny"), 4, augments=False, n_views=None)
    ('maps', 'stages up to layer3 are frozen and ran once an image')
    """
    n_stages = len(spec.stages)
    if augments and n_views is None:
        return "pixels", "each epoch augments the images anew, so every stage ran in each of them"
    if first == n_stages:
        return "vectors", "all stages are frozen and ran once an image"
    if first == 0:
        return "pixels", "all stages train"
    if not can_resume(spec):
        return "pixels", (
            f"{spec.name} cannot go on from a stored map, so its frozen stages ran in each epoch"
        )
    return "maps", f"stages up to {spec.layer_names[first - 1]} are frozen and ran once an image"


def compute_inputs(
    kind: str,
    images: ImageSequence,
    loaded: LoadedBackbone,
    preprocessing: Preprocessing,
    first: int,
    settings: TrainingSettings,
    estimator: Any,
    *,
    augmentation: Augmentation | None = None,
    n_views: int | None = None,
    generator: torch.Generator | None = None,
) -> Inputs:
    """Decode the images, and send them through the frozen stages if these are to run once.

    Parameters
    ----------
    kind : {"vectors", "maps", "pixels"}
        From `choose_inputs`.
    images : ImageSequence
        What to train on.
    loaded : LoadedBackbone
        The network with its weights.
    preprocessing : Preprocessing
        What happens to an image first.
    first : int
        The first stage that trains.
    settings : TrainingSettings
        Where and with how many threads.
    estimator : object
        With pooling, precision, cache, batch_size, on_error and verbose.
    augmentation : callable, optional
        Makes the views, if `n_views` says how many.
    n_views : int, optional
        How many.
    generator : torch.Generator, optional
        Decides the views.

    Raises
    ------
    ImageDecodeError
        If an image cannot be read and `on_error` is "raise".
    """
    views_of_pixels = kind == "pixels" or (augmentation is not None and n_views is not None)
    if not views_of_pixels:
        return _stored(kind, images, loaded, preprocessing, first, settings, estimator)
    with progress_bar(len(images), estimator.verbose) as advance:
        pixels, failed = decode_images(
            images,
            preprocessing,
            n_workers=settings.n_workers,
            on_error=estimator.on_error,
            progress=advance,
        )
    if augmentation is None or n_views is None:
        return Inputs(kind, [pixels], failed)
    generator = generator if generator is not None else torch.Generator()
    views = []
    for _ in range(n_views):
        view = _augmented(pixels, augmentation, generator)
        if kind != "pixels":
            sequence = as_image_sequence(view)
            stored = _stored(
                kind, sequence, loaded, preprocessing, first, settings, estimator, use_store=False
            )
            view = stored.views[0]
        views.append(view)
    return Inputs(kind, views, failed)


def _stored(
    kind: str,
    images: ImageSequence,
    loaded: LoadedBackbone,
    preprocessing: Preprocessing,
    first: int,
    settings: TrainingSettings,
    estimator: Any,
    *,
    use_store: bool = True,
) -> Inputs:
    """Run the frozen stages, or find what they gave before."""
    if kind == "vectors":
        found = pooled_features(
            images, loaded, preprocessing, estimator.pooling, estimator, use_store=use_store
        )
        return Inputs(kind, [found.features], found.failed)
    stage = loaded.spec.stages[first - 1]
    shape = map_shapes(loaded, [stage.name], preprocessing.crop)[stage.name]
    slots = (Slot(stage.name, "flatten", stage.modules[-1], math.prod(shape)),)
    out = allocate((len(images), math.prod(shape)), np.float32)
    in_memory = estimator.cache == "memory"
    cache = (
        None if not use_store or (in_memory and out.nbytes > _STORED_AT_MOST) else estimator.cache
    )
    engine = prepare(loaded, settings.device, estimator.precision, slots)
    with progress_bar(len(images), estimator.verbose) as advance:
        found = extract(
            images,
            plan_features(loaded, preprocessing, engine.precision, slots),
            [engine],
            open_store(cache),
            batch_size=settings.batch_size,
            n_workers=settings.n_workers,
            on_error=estimator.on_error,
            progress=advance,
            out=out,
        )
    return Inputs(kind, [found.features.reshape(len(images), *shape)], found.failed)


def _augmented(
    pixels: NDArray[np.uint8], augmentation: Augmentation, generator: torch.Generator
) -> NDArray[np.uint8]:
    view = allocate(pixels.shape, np.uint8)
    for start in range(0, len(pixels), _AUGMENTED_AT_ONCE):
        part = slice(start, start + _AUGMENTED_AT_ONCE)
        batch = torch.from_numpy(np.array(pixels[part]))
        view[part] = augmentation(batch, generator).contiguous().numpy()
    return view
