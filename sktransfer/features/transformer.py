"""`DeepFeatureTransformer`: a pre-trained network as a transformer of scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from sktransfer.backbones.portable import weights_from_bytes, weights_to_bytes
from sktransfer.backbones.weights import LoadedBackbone, load_backbone
from sktransfer.docstrings import documented
from sktransfer.features.device import resolve_devices
from sktransfer.features.engine import replicas
from sktransfer.features.extraction import extract
from sktransfer.features.plan import FeaturePlan, input_preprocessing, plan_features
from sktransfer.features.run_parameters import NetworkParameters, RunParameters
from sktransfer.features.store import CacheInfo, open_store
from sktransfer.features.taps import kept_slots, resolve_slots
from sktransfer.images.validation import validate_images
from sktransfer.parameters import check_parameters

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import ArrayLike, NDArray
    from sklearn.utils import Tags

    from sktransfer.features.engine import Engine
    from sktransfer.features.plan import LayerNames, Slot
    from sktransfer.features.pooling import PoolingName
    from sktransfer.images.sequences import ImageSequence

__all__ = ["DeepFeatureTransformer"]


@documented
@dataclass(kw_only=True, eq=False, repr=False)
class DeepFeatureTransformer(
    TransformerMixin,  # type: ignore[misc] # sklearn is untyped
    RunParameters,
    NetworkParameters,
    BaseEstimator,  # type: ignore[misc]
):
    """Turn images into pooled features of a pre-trained network.

    It learns nothing from the images: `fit` resolves the parameters, and `transform` works without
    it. The features of an image depend on this image alone, and are kept, so that folds and
    settings of a search share one pass through the network.

    Parameters
    ----------
    layers : str, int, sequence of these or None, default=None
        Layers whose features are concatenated: names of stages, or negative ints counted from the
        last stage, or dotted paths of the network's modules. None is the last stage.
    pooling : str or sequence of str, default="avg"
        Name of a way to make one vector of a layer's map, such as "avg", "max", "avgmax" (both
        side by side), "flatten" (every cell), or, of a vision transformer, "token" (its class token) and
        "tokenavg" (that beside the average of its patches, as DINOv2 is probed [1]_);
        :func:`~sktransfer.features.pool_map` lists them all. A list has one for each layer.
    device : str or torch.device, default="auto"
        "auto" is the first of CUDA, MPS and CPU that is there. "auto" and "cuda" use every GPU that
        is visible, one replica of the network on each; "cuda:0" uses one.
    precision : {"auto", "float32", "bfloat16", "float16"}, default="auto"
        Precision that the network computes in. "auto" is the half precision that the device has hardware
        for, if this network's features of trial images are those of float32 up to a cosine of
        0.9995, and float32 elsewhere. Features are float32 always.
    cache : "memory", path of a folder or None, default="memory"
        Place of the features: in this process, at most 1 GiB (or the bytes that the environment
        variable SKTRANSFER_MEMORY_BYTES says when the package is imported); in a folder that
        processes and later runs share, at most 20 GiB (SKTRANSFER_FOLDER_BYTES); or nowhere. With a
        store, one pass also computes what costs next to nothing beside it: the other poolings of
        one width, of every stage, some of the last two only. With None it computes what is asked
        for and stops at the deepest layer.
    on_error : {"raise", "warn", "nan"}, default="raise"
        Treatment of an image that cannot be read: an error; or a row of NaN, with a warning or
        without. The number of rows never changes.
    store_weights : bool, default=False
        Whether a pickle of the fitted transformer carries the weights. Otherwise it refers to them,
        and they are checked by their digest when it is used. Random weights without a seed are
        always carried.
    random_state : int, RandomState or None, default=None
        Seed of random weights.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    plan_ : FeaturePlan
        Plan of the features: network, digest of the weights, preprocessing, layers, poolings, widths.
    backbone_ : nn.Module
        The network with its weights, shared by all estimators in the process that use it: copy it
        before you change it.
    failed_ : list of int
        Rows of the last `transform` that could not be read.
    n_features_out_ : int
        Number of columns.
    n_features_in_ : int
        Number of columns of `X`, if it had two dimensions.

    Raises
    ------
    UnknownBackboneError, UnknownLayerError, UnknownPoolingError
        From `fit` and `transform`, with what is possible.
    WeightsError, WeightsNotFoundError, WeightsMismatchError
        If the weights cannot be used, found, or are not what they were.
    DeviceError
        If the device is not there.
    ImageError, ImageDecodeError
        If `X`, or an image in it, cannot be used.

    See Also
    --------
    layer_ensemble : A classifier on each of several layers.
    FineTuneClassifier : Trains the network, too.
    rank_backbones : Which network's features suit the images.

    References
    ----------
    .. [1] Oquab et al., "DINOv2: learning robust visual features without supervision", TMLR 2024.

    Examples
    --------
    >>> from sktransfer.datasets import load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> features = DeepFeatureTransformer("tiny", layers=[-2, -1], pooling="avgmax")
    >>> features.fit_transform(X[:10]).shape
    (10, 768)
    >>> list(features.get_feature_names_out()[:2])
    ['layer3_avg_0', 'layer3_avg_1']
    """

    layers: LayerNames = None
    pooling: PoolingName | Sequence[PoolingName] = "avg"
    store_weights: bool = False

    def fit(self, X: object, y: ArrayLike | None = None) -> DeepFeatureTransformer:  # noqa: ARG002 - API
        """Resolve the parameters and load the weights; no image is read.

        Parameters
        ----------
        X : images
            Arrays (n, H, W), (n, H, W, C) or (n, C, H, W), uint8 or floats in 0..1; rows (n, d);
            a list, array, Series or one-column DataFrame of paths, PIL images, arrays or encoded
            bytes; a torch tensor; or a map-style Dataset.
        y : ignored

        Returns
        -------
        DeepFeatureTransformer
            The estimator itself.
        """
        check_parameters(self)
        self._images(X, reset=True)
        self._loaded = self._load()
        self._carried: bytes | None = None
        self.plan_ = self._plan(self._loaded)
        self.n_features_out_ = self.plan_.n_features
        self.failed_: list[int] = []
        return self

    def transform(self, X: object) -> NDArray[np.float32]:
        """Compute the features of images, or find them in the store.

        Parameters
        ----------
        X : images
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_images, `n_features_out_`), dtype float32
            C-contiguous.
        """
        from tqdm.auto import tqdm

        check_parameters(self)
        run = self.run_settings()
        images = self._images(X, reset=False)
        loaded, plan = self._ready()
        engines = self._engines(loaded, plan.slots)
        store = open_store(self.cache)
        with tqdm(total=len(images), disable=not self.verbose, unit="image") as bar:
            found = extract(
                images,
                plan,
                engines,
                store,
                batch_size=run.batch_size,
                n_workers=run.n_workers,
                on_error=run.on_error,
                progress=bar.update,
            )
        self.failed_ = found.failed
        return found.features

    def feature_maps(self, X: object) -> dict[str, NDArray[np.float32]]:
        """Compute the maps of the layers before they are pooled.

        They go through the same preprocessing and network as features do, and are not kept in the
        store: pass some images rather than all.

        Parameters
        ----------
        X : images
            As in `transform`.

        Returns
        -------
        dict of str to ndarray of shape (n_images, channels, height, width), dtype float32
            The maps of each layer, by its name. Height and width count cells of the layer.

        Raises
        ------
        ImageDecodeError
            If an image cannot be read, whatever `on_error` says.

        Examples
        --------
        >>> from sktransfer.datasets import load_digit_images
        >>> X, y = load_digit_images(return_X_y=True)
        >>> maps = DeepFeatureTransformer("tiny", layers=["layer3", -1]).feature_maps(X[:5])
        >>> {layer: values.shape for layer, values in maps.items()}
        {'layer3': (5, 128, 8, 8), 'layer4': (5, 256, 4, 4)}
        """
        from sktransfer.features.maps import layer_maps  # which needs this class

        return layer_maps(self, X).maps

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[np.object_]:  # noqa: ARG002
        """Name the columns, such as "layer4_avg_0".

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of shape (`n_features_out_`,), dtype object
        """
        return np.array(self._ready()[1].feature_names, dtype=object)

    def cache_info(self) -> CacheInfo:
        """Report hits, misses, bytes and seconds saved of the store that `cache` names.

        All estimators that name it share the store, and the counts are of this process.

        Returns
        -------
        CacheInfo
            Zeros if `cache` is None.
        """
        store = open_store(self.cache)
        return CacheInfo(0, 0, 0, 0.0) if store is None else store.info()

    def clear_cache(self) -> None:
        """Forget everything in the store that `cache` names, also what other estimators put there."""
        store = open_store(self.cache)
        if store is not None:
            store.clear()

    @property
    def backbone_(self) -> torch.nn.Module:
        """The network with its weights."""
        if not hasattr(self, "plan_"):
            raise AttributeError(f"{type(self).__name__} has no backbone_ before it is fitted.")
        return self._ready()[0].module

    def _images(self, X: object, *, reset: bool) -> ImageSequence:
        return validate_images(
            self,
            X,
            image_shape=self.image_shape,
            reset=reset,
            allow_nan=self.on_error != "raise",
        )

    def _load(self) -> LoadedBackbone:
        return load_backbone(self.backbone, self.weights, random_state=self.random_state)

    def _plan(self, loaded: LoadedBackbone) -> FeaturePlan:
        preprocessing = input_preprocessing(
            loaded.preprocessing, self.image_size, self.image_shape, loaded.spec.patch
        )
        slots = resolve_slots(loaded, self.layers, self.pooling, preprocessing.crop)
        return plan_features(loaded, preprocessing, self._engines(loaded, slots)[0], slots)

    def _engines(self, loaded: LoadedBackbone, slots: tuple[Slot, ...]) -> list[Engine]:
        """Make the network ready for what is asked, and for what the store keeps beside it."""
        kept = slots if self.cache is None else kept_slots(loaded.spec, slots)
        return replicas(loaded, resolve_devices(self.device), self.precision, kept)

    def _ready(self) -> tuple[LoadedBackbone, FeaturePlan]:
        """Return the network and the plan: of `fit`, or made now and not kept."""
        if not hasattr(self, "plan_"):
            loaded = self._load()
            return loaded, self._plan(loaded)
        if self._loaded is None:  # this is a copy or was unpickled
            self._loaded = self._load_again()
        return self._loaded, self.plan_

    def _load_again(self) -> LoadedBackbone:
        plan = self.plan_
        if self._carried is not None:
            return weights_from_bytes(
                self.backbone, self._carried, plan.weights, plan.preprocessing
            )
        return load_backbone(
            self.backbone,
            self.weights,
            random_state=self.random_state,
            expected_digest=plan.digest,
        )

    def __getstate__(self) -> dict[str, object]:
        state: dict[str, Any] = super().__getstate__()
        if "plan_" in state:
            loaded, carried = state["_loaded"], state["_carried"]
            seeded = self.plan_.weights != "random" or isinstance(self.random_state, Number)
            if loaded is not None and carried is None and (self.store_weights or not seeded):
                carried = weights_to_bytes(loaded)
            state = {**state, "_loaded": None, "_carried": carried}
        return state

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = self.on_error != "raise"
        tags.transformer_tags.preserves_dtype = []
        return tags
