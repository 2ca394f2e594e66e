"""What both fine-tuned estimators share: from `fit` over the network to features and back."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sktransfer.backbones.registry import get_backbone
from sktransfer.backbones.weights import load_backbone, random_backbone
from sktransfer.features.device import resolve_device
from sktransfer.images.validation import validate_images
from sktransfer.training.freezing import first_trained_stage
from sktransfer.training.losses import RowLoss
from sktransfer.training.preparation import (
    faithful_settings,
    new_network,
    prepare_rows,
    start_head,
)
from sktransfer.training.seeding import draw_seed, seeded
from sktransfer.training.serving import pooled_features
from sktransfer.training.settings import read_settings
from sktransfer.training.targets import refuse_missing_y, row_weights
from sktransfer.training.warm_start import Origin

if TYPE_CHECKING:
    import os

    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from sklearn.utils import Tags

    from sktransfer.backbones.weights import LoadedBackbone
    from sktransfer.images.sequences import ImageSequence
    from sktransfer.training.portable_network import TrainedNetwork
    from sktransfer.training.preparation import Rows
    from sktransfer.training.range_test import RangeTest
    from sktransfer.training.settings import TrainingSettings
    from sktransfer.training.targets import LabelCoder, ValueScaler

__all__ = ["FineTunedEstimator"]


@dataclass(frozen=True, eq=False)
class _Job:
    """A training that is ready to run."""

    settings: TrainingSettings
    trained: TrainedNetwork
    origin: Origin
    coder: LabelCoder | ValueScaler
    rows: Rows
    seed: int
    net: Any  # of the last call, if it can go on


class FineTunedEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc] # sklearn is untyped
    """Fits a network to images and targets; its subclasses say what targets are.

    A subclass has the parameters of `FineTuneClassifier` and the methods `_check_y`, `_make_coder`
    and `_row_factors`.
    """

    _net: Any
    _trained: TrainedNetwork
    _coder: LabelCoder | ValueScaler

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """Train the network.

        Parameters
        ----------
        X : images
            Any of the kinds that :class:`~sktransfer.DeepFeatureTransformer` takes.
        y : array-like of shape (n_images,) or (n_images, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_images,), optional
            What each row's loss counts. A weight of 2 is the same as having the row twice, 0 the
            same as not having it.

        Returns
        -------
        object
            The estimator itself.
        """
        again = bool(self.warm_start) and hasattr(self, "_trained")
        job = self._job(X, y, sample_weight, again=again, classes=None, holds_out=True)
        self._run(job, epochs=None)
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Compute the features of the tuned backbone, on which the head is put.

        Parameters
        ----------
        X : images
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_images, n_features), dtype float32
            Rows of images that cannot be read are NaN, unless `on_error` is "raise".
        """
        check_is_fitted(self)
        images = self._images(X, reset=False)
        trained = self._trained
        return pooled_features(
            images, trained.loaded, trained.preprocessing, trained.pooling, self
        ).features

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Write the tuned backbone to a file that `weights` can name, here and elsewhere.

        The head is not part of it: pickle the estimator to keep that.

        Parameters
        ----------
        path : str or path
            Of a .safetensors file.

        Raises
        ------
        ValueError
            If the name ends otherwise.
        """
        check_is_fitted(self)
        target = Path(path)
        if target.suffix != ".safetensors":
            raise ValueError(
                f"path={str(path)!r} must end in .safetensors, the only kind of file that is "
                f"written. For example {str(target.with_suffix('.safetensors'))!r}."
            )
        self._trained.save_weights(target)

    def lr_find(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        lr_min: float = 1e-6,
        lr_max: float = 1.0,
        n_steps: int = 100,
    ) -> RangeTest:
        """Raise the rate from step to step and see when the loss falls, and when it rises.

        The estimator stays as it is, fitted or not.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        lr_min, lr_max : float
            First and last rate of the head. The backbone's keeps its proportion to it.
        n_steps : int, default=100
            Steps of the optimiser, through the rows as often as it takes.

        Returns
        -------
        RangeTest
            With `suggestion`, a value for `lr`, and the curve, `rates` and `losses`.
        """
        from sktransfer.training.range_test import range_test

        twin = copy.copy(self)  # `fit` would note the columns of X
        job = twin._job(X, y, sample_weight, again=False, classes=None, holds_out=False)
        with seeded(job.seed, job.settings.device):
            return range_test(twin._net_of(job), job.rows.train, job.seed, lr_min, lr_max, n_steps)

    @property
    def net_(self) -> Any:
        """The skorch net, whose `module_` maps pixels (n, size, size, 3), uint8, to scores."""
        if not hasattr(self, "_trained"):
            raise AttributeError(f"{type(self).__name__} has no net_ before it is fitted.")
        if self._net is None:  # this is a copy or was unpickled
            self._net = self._net_for_use()
        return self._net

    @property
    def _n_features_out(self) -> int:
        return self._trained.widths[0]

    def _continue(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None, classes: ArrayLike | None
    ) -> None:
        """Train for one epoch more, at constant rates, from where the last call ended."""
        again = hasattr(self, "_trained")
        job = self._job(X, y, sample_weight, again=again, classes=classes, holds_out=False)
        steady = replace(job.settings, schedule="constant", warmup_epochs=0, patience=None)
        self._run(replace(job, settings=steady), epochs=1)

    def _job(
        self, X: Any, y: Any, sample_weight: Any, *, again: bool, classes: Any, holds_out: bool
    ) -> _Job:
        """Check everything, compute what is frozen, and make a network if there is none."""
        settings = read_settings(self, from_scratch=self.strategy == "scratch")
        refuse_missing_y(y, type(self).__name__)
        images = self._images(X, reset=not again)
        y = self._check_y(y)
        if len(images) != len(y):
            raise ValueError(
                f"X and y have different lengths: {len(images)} images and {len(y)} targets. Pass "
                "one target for each image."
            )
        weights = row_weights(sample_weight, len(y))
        used = weights > 0
        coder = self._coder if again else self._make_coder(y[used], weights[used], classes)
        seed = draw_seed(self.random_state)
        loaded = self._trained.loaded if again else self._load(seed)
        origin = self._origin if again else Origin.of(self, loaded)
        preprocessing = origin.input_of(self)
        if again:
            origin.check(self, loaded, self._trained.widths[0])
        net: Any = getattr(self, "_net", None) if again else None
        if self.precision == "auto" and self.strategy != "scratch":
            settings = (
                faithful_settings(settings, loaded)
                if net is None
                else replace(settings, precision=net.precision)
            )
        rows = prepare_rows(
            self,
            images,
            y,
            weights,
            coder,
            partial(self._row_factors, coder),
            loaded,
            preprocessing,
            settings,
            seed,
            holds_out=holds_out and settings.patience is not None,
        )
        trained = (
            self._trained
            if again
            else new_network(self, loaded, preprocessing, coder.n_outputs, settings.device, seed)
        )
        trained.set_preprocessing(preprocessing)
        first = first_trained_stage(self.strategy, self.n_trainable, loaded.spec)
        freezes = bool(self.freeze_batchnorm) and self.strategy != "scratch"
        same = trained.network.first_trained == first
        trained.set_first_trained(first, freeze_batchnorm=freezes)
        if not again:
            start_head(
                trained.network,
                rows.train,
                settings,
                coder.kind,
                measures=self.strategy != "scratch",
            )
        return _Job(settings, trained, origin, coder, rows, seed, net if same else None)

    def _load(self, seed: int) -> LoadedBackbone:
        if self.strategy == "scratch":
            return random_backbone(get_backbone(self.backbone), seed)
        return load_backbone(self.backbone, self.weights, random_state=seed)

    def _run(self, job: _Job, epochs: int | None) -> None:
        """Train, and take over what has come of it."""
        from sktransfer.training.callbacks import tidy
        from sktransfer.training.loop import train

        trained, settings = job.trained, job.settings
        with seeded(job.seed, settings.device):
            net = job.net if job.net is not None and epochs is not None else self._net_of(job)
            try:
                train(net, job.rows.train, epochs)
            finally:
                first = trained.network.first_trained
                trained.changed(backbone=first < len(trained.network.spec.stages))
                trained.network.eval()
        self._trained, self._origin = trained, job.origin
        self._coder, self._net = job.coder, net
        self.failed_: list[int] = job.rows.failed
        self.trunk_, self.trunk_reason_ = job.rows.trunk
        self.n_validation_ = 0 if job.rows.valid is None else len(job.rows.valid)
        self.history_: list[dict[str, Any]] = tidy(net.history)
        self.n_iter_ = len(self.history_)

    def _net_of(self, job: _Job) -> Any:
        from sktransfer.training.loop import make_net

        return make_net(
            job.trained.network,
            job.settings,
            RowLoss(job.coder.kind, getattr(self, "label_smoothing", 0.0)),
            train_rows=job.rows.train,
            valid_rows=job.rows.valid,
            seed=job.seed,
            augmentation=job.rows.augmentation,
            callbacks=self.callbacks,
            net_params=self.net_params,
            verbose=self.verbose,
        )

    def _net_for_use(self) -> Any:
        """Make a net around a network that was unpickled; it has not been trained since."""
        from sktransfer.training.loop import TransferNet

        network = self._trained.network
        device = resolve_device(self.device)
        loss = RowLoss(self._coder.kind, getattr(self, "label_smoothing", 0.0))
        return TransferNet(network, criterion=loss, device=str(device), verbose=0).initialize()

    def _scores(self, X: Any) -> NDArray[np.float64]:
        """Compute the head's scores, (n_images, n_outputs); NaN for unreadable images."""
        features = self.transform(X)
        return self._trained.scores(features)

    def _images(self, X: Any, *, reset: bool) -> ImageSequence:
        return validate_images(
            self,
            X,
            image_shape=self.image_shape,
            reset=reset,
            allow_nan=self.on_error != "raise",
        )

    def _check_y(self, y: Any) -> NDArray[Any]:
        """Check targets and return them as an array."""
        raise NotImplementedError

    def _make_coder(
        self, y: NDArray[Any], weights: NDArray[np.float64], classes: Any
    ) -> LabelCoder | ValueScaler:
        """Find out how targets are encoded."""
        raise NotImplementedError

    def _row_factors(
        self, coder: Any, y: NDArray[Any], weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Compute by what the weights of rows are multiplied."""
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {**state, "_net": None} if "_net" in state else state

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_iter_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = self.on_error != "raise"
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = []
        return tags
