"""Serving: pooled features of the last stage, through the engine and the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sktransfer.features.device import resolve_devices
from sktransfer.features.engine import replicas
from sktransfer.features.extraction import Extraction, extract
from sktransfer.features.plan import plan_features
from sktransfer.features.store import open_store
from sktransfer.features.taps import kept_slots, resolve_slots
from sktransfer.training.progress import progress_bar

if TYPE_CHECKING:
    from sktransfer.backbones.weights import LoadedBackbone
    from sktransfer.features.run_parameters import RunSettings
    from sktransfer.images.sequences import ImageSequence
    from sktransfer.preprocessing import Preprocessing

__all__ = ["is_tuned", "pooled_features"]

TUNED = "tuned"
"""What weights that were trained here are called in plans and messages."""


def is_tuned(loaded: LoadedBackbone) -> bool:
    """Tell whether weights were trained here, so that nobody else computes the same features."""
    return loaded.weights == TUNED


def pooled_features(
    images: ImageSequence,
    loaded: LoadedBackbone,
    preprocessing: Preprocessing,
    pooling: str,
    run: RunSettings,
    *,
    use_store: bool = True,
) -> Extraction:
    """Compute the features that a head is put on, or find them.

    Pre-trained weights share the store that `cache` names with everybody. Tuned ones are kept in
    memory, whatever the folder: their features are of no use to another process.

    Parameters
    ----------
    images : ImageSequence
        Images to compute them of.
    loaded : LoadedBackbone
        The network.
    preprocessing : Preprocessing
        Preprocessing of an image.
    pooling : str
        Pooling of the last map.
    run : RunSettings
        Settings for sending images through the network.
    use_store : bool, default=True
        False for images that will not be seen again.

    Raises
    ------
    ImageDecodeError
        If an image cannot be read and `on_error` is "raise".
    """
    cache = run.cache if use_store else None
    slots = resolve_slots(loaded, None, pooling, preprocessing.crop)
    tuned = is_tuned(loaded)
    store = open_store("memory" if tuned and cache is not None else cache)
    kept = slots if tuned or store is None else kept_slots(loaded.spec, slots)
    devices = resolve_devices(run.device)
    engines = replicas(loaded, devices, run.precision, kept)
    plan = plan_features(loaded, preprocessing, engines[0], slots)
    with progress_bar(len(images), run.verbose) as advance:
        return extract(
            images,
            plan,
            engines,
            store,
            batch_size=run.batch_size,
            n_workers=run.n_workers,
            on_error=run.on_error,
            progress=advance,
        )
