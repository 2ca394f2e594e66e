"""Inputs: what does not train runs once an image, and the epochs use its stored output."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch

from sktransfer.features.engine import prepare
from sktransfer.features.extraction import extract
from sktransfer.features.plan import Slot, plan_features
from sktransfer.features.pooling import WHOLE_STATE
from sktransfer.features.store import open_store
from sktransfer.features.taps import map_shapes
from sktransfer.images import as_image_sequence
from sktransfer.training.arrays import allocate
from sktransfer.training.augmentation import resolve_augmentation
from sktransfer.training.decoding import decode_images
from sktransfer.training.freezing import first_trained_stage
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

__all__ = ["InputKind", "Inputs", "choose_inputs", "compute_inputs"]

InputKind: TypeAlias = Literal["vectors", "maps", "pixels"]

_STORED_AT_MOST = 2**29  # bytes of maps that go through a store in memory, so that vectors stay
_AUGMENTED_AT_ONCE = 128


@dataclass(frozen=True, eq=False)
class Inputs:
    """Inputs of a network for each image, from the place where its trained part begins.

    Parameters
    ----------
    kind : {"vectors", "maps", "pixels"}
        Pooled features of the last stage, maps of the last frozen stage, or decoded images.
    reason : str
        Reason for this kind, in words.
    views : list of ndarray of shape (n_images, ...)
        The values; several where each image has several augmented views.
    augmentation : callable or None
        Function that is applied to each batch of pixels.
    failed : list of int
        Rows of images that could not be read.
    """

    kind: InputKind
    reason: str
    views: list[NDArray[np.generic]]
    augmentation: Augmentation | None
    failed: list[int]


def choose_inputs(
    spec: BackboneSpec, first: int, *, augments: bool, n_views: int | None
) -> tuple[InputKind, str]:
    """Choose what is stored of each image, and say why.

    Parameters
    ----------
    spec : BackboneSpec
        Description of the network.
    first : int
        First stage that trains.
    augments : bool
        Whether images are augmented.
    n_views : int or None
        Number of augmented views that are stored; None draws new ones each epoch.

    Returns
    -------
    kind : {"vectors", "maps", "pixels"}
        See `Inputs`.
    reason : str
        Reason, in words.

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
    images: ImageSequence,
    loaded: LoadedBackbone,
    preprocessing: Preprocessing,
    settings: TrainingSettings,
    seed: int,
) -> Inputs:
    """Decode the images, and send them through the frozen stages if these are to run once.

    Parameters
    ----------
    images : ImageSequence
        Images to train on.
    loaded : LoadedBackbone
        The network with its weights.
    preprocessing : Preprocessing
        Resize, crop and normalisation of an image.
    settings : TrainingSettings
        Strategy, augmentation, and the settings of a run.
    seed : int
        Seed of stored views.

    Raises
    ------
    ImageDecodeError
        If an image cannot be read and `on_error` is "raise".
    """
    network, run, n_views = settings.network, settings.run, settings.n_views
    first = first_trained_stage(network.strategy, network.n_trainable, loaded.spec)
    augmentation = resolve_augmentation(settings.augmentation, trunk_is_frozen=first > 0)
    kind, reason = choose_inputs(
        loaded.spec, first, augments=augmentation is not None, n_views=n_views
    )
    trunk = _Trunk(kind, first, loaded, preprocessing, settings)
    if kind != "pixels" and (augmentation is None or n_views is None):
        stored, failed = trunk.run(images)
        return Inputs(kind, reason, [stored], None, failed)
    with progress_bar(len(images), run.verbose) as advance:
        pixels, failed = decode_images(
            images,
            preprocessing,
            n_workers=run.n_workers,
            on_error=run.on_error,
            progress=advance,
        )
    if augmentation is None or n_views is None:
        return Inputs(kind, reason, [pixels], augmentation, failed)
    generator = torch.Generator().manual_seed(seed)
    views: list[NDArray[np.generic]] = []
    for _ in range(n_views):
        view: NDArray[np.generic] = _augmented(pixels, augmentation, generator)
        if kind != "pixels":
            view, _ = trunk.run(as_image_sequence(view), use_store=False)
        views.append(view)
    return Inputs(kind, reason, views, None, failed)


@dataclass(frozen=True, eq=False)
class _Trunk:
    """The frozen stages of a network."""

    kind: InputKind
    first: int
    loaded: LoadedBackbone
    preprocessing: Preprocessing
    settings: TrainingSettings

    def run(
        self, images: ImageSequence, *, use_store: bool = True
    ) -> tuple[NDArray[np.generic], list[int]]:
        """Compute the output of the frozen stages, or find what it was before."""
        if self.kind == "vectors":
            pooling = self.settings.network.pooling
            found = pooled_features(
                images, self.loaded, self.preprocessing, pooling, self.settings.run,
                use_store=use_store,
            )  # fmt: skip
            return found.features, found.failed
        run = self.settings.run
        stage = self.loaded.spec.stages[self.first - 1]
        spec = self.loaded.spec
        shape = map_shapes(self.loaded, [stage.name], self.preprocessing.crop)[stage.name]
        if spec.layout == "tokens":
            shape = (shape[0], shape[1] * shape[2] + spec.prefix_tokens, 1)
        slots = (Slot(stage.name, WHOLE_STATE, stage.modules[-1], math.prod(shape)),)
        out = allocate((len(images), math.prod(shape)), np.float32)
        too_large = run.cache == "memory" and out.nbytes > _STORED_AT_MOST
        cache = None if not use_store or too_large else run.cache
        engine = prepare(self.loaded, self.settings.device, run.precision, slots)
        with progress_bar(len(images), run.verbose) as advance:
            found = extract(
                images,
                plan_features(self.loaded, self.preprocessing, engine, slots),
                [engine],
                open_store(cache),
                batch_size=self.settings.batch_size,
                n_workers=run.n_workers,
                on_error=run.on_error,
                progress=advance,
                out=out,
            )
        return found.features.reshape(len(images), *shape), found.failed


def _augmented(
    pixels: NDArray[np.uint8], augmentation: Augmentation, generator: torch.Generator
) -> NDArray[np.uint8]:
    view = allocate(pixels.shape, np.uint8)
    for start in range(0, len(pixels), _AUGMENTED_AT_ONCE):
        part = slice(start, start + _AUGMENTED_AT_ONCE)
        batch = torch.from_numpy(np.array(pixels[part]))
        view[part] = augmentation(batch, generator).contiguous().numpy()
    return view
