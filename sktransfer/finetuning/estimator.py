"""What both fine-tuned estimators share: from `fit` over the network to features and back."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin

from sktransfer.features.device import resolve_device
from sktransfer.parameters import check_parameters, checked, number
from sktransfer.randomness import RandomStream, draw_seed
from sktransfer.training.atomic_fit import restored_on_failure
from sktransfer.training.build import (
    faithful_settings,
    feature_width,
    load,
    new_network,
    start_head,
)
from sktransfer.training.freezing import first_trained_stage
from sktransfer.training.inputs import compute_inputs
from sktransfer.training.settings import training_settings
from sktransfer.training.supervised import supervised_rows
from sktransfer.training.targets import RowLoss, refuse_missing_y, row_weights
from sktransfer.training.tuned_features import TunedFeatures
from sktransfer.training.warm_start import Origin, go_on

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from sklearn.utils import Tags

    from sktransfer.training.inputs import Inputs
    from sktransfer.training.portable_network import TrainedNetwork
    from sktransfer.training.range_test import RangeTest
    from sktransfer.training.settings import TrainingSettings
    from sktransfer.training.supervised import SupervisedRows
    from sktransfer.training.targets import Target

__all__ = ["FineTunedEstimator"]


@dataclass(frozen=True, eq=False)
class _Job:
    """A training that is ready to run, of a network of its own."""

    settings: TrainingSettings
    trained: TrainedNetwork
    origin: Origin
    target: Target
    inputs: Inputs
    rows: SupervisedRows
    seed: int


@dataclass(kw_only=True, eq=False, repr=False)
class FineTunedEstimator(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc] # sklearn is untyped
    TunedFeatures,
):
    """Fits a network to images and targets; its subclasses say what targets are.

    Parameters
    ----------
    mixup : float, default=0.0
        Exponent of the distribution Beta(mixup, mixup), from which the proportion is drawn in which
        pairs of rows are blended; 0 blends nothing.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last fit, with whatever strategy, rates and size
        of images the parameters say now. `backbone`, `weights`, `head` and `pooling` have to stay.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The net; its `module_` maps pixels to scores.
    history_ : list of dict
        Records of the epochs: epoch, phase, train_loss, lr, backbone_lr, seconds, and with a
        validation part valid_loss, valid_score and best. ``pandas.DataFrame(model.history_)``
        makes a table of it.
    n_iter_ : int
        Number of epochs that were run.
    n_validation_ : int
        Number of rows that were held back.
    trunk_ : {"vectors", "maps", "pixels"}
        Stored output of what ran once an image, on which the epochs trained: pooled features, maps of
        the last frozen stage, or decoded pixels.
    trunk_reason_ : str
        Reason for it, in words.
    failed_ : list of int
        Rows of the fit whose images could not be read.
    n_features_in_ : int
        Number of columns of `X`, if it had two dimensions.

    Raises
    ------
    TrainingError
        From `fit`, if the loss becomes NaN, with epoch and rate.
    ValueError, TypeError
        From `fit`, if a parameter, `X` or `y` cannot be used; for example labels of one class only.
    UnknownBackboneError, WeightsError, WeightsNotFoundError, DeviceError, ImageDecodeError
        As in :class:`~sktransfer.DeepFeatureTransformer`.
    """

    mixup: float = checked(0.0, number(0, math.inf, "0 mixes nothing", closed=True))
    warm_start: bool = False

    def fit(self, X: object, y: ArrayLike, sample_weight: ArrayLike | None = None) -> object:
        """Train the network.

        A fit that fails, or is ended by Ctrl-C, leaves the estimator as it was.

        Parameters
        ----------
        X : images
            Any of the kinds that :class:`~sktransfer.DeepFeatureTransformer` takes.
        y : array-like of shape (n_images,) or (n_images, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_images,), optional
            Per-sample weight of the loss. A weight of 2 is the same as having the row twice, 0 the
            same as not having it.

        Returns
        -------
        object
            The estimator itself.
        """
        with restored_on_failure(self):
            again = bool(self.warm_start) and hasattr(self, "_trained")
            job = self._job(X, y, sample_weight, again=again)
            self._take_over(job, self._trained_net(job, epochs=None))
        return self

    def lr_find(
        self,
        X: object,
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
        job = twin._job(X, y, sample_weight, again=False, holds_out=False)
        net = twin._net_of(job, torch.Generator().manual_seed(job.seed))
        return range_test(net, job.rows.train, job.seed, lr_min, lr_max, n_steps)

    @property
    def net_(self) -> object:
        """The skorch net, whose `module_` maps pixels (n, size, size, 3), uint8, to scores."""
        if not hasattr(self, "_trained"):
            raise AttributeError(f"{type(self).__name__} has no net_ before it is fitted.")
        net: object = vars(self).get("_net")
        if net is None:  # this is a copy or was unpickled
            net = self._net = self._net_for_use()
        return net

    @property
    def _n_features_out(self) -> int:
        return self._trained.widths[0]

    def _continue(
        self, X: object, y: ArrayLike, sample_weight: ArrayLike | None, classes: ArrayLike | None
    ) -> None:
        """Train for one epoch more, at constant rates, from where the last call ended."""
        with restored_on_failure(self):
            before = getattr(self, "_net", None)
            job = self._job(
                X, y, sample_weight,
                again=hasattr(self, "_trained"), classes=classes, holds_out=False, one_epoch=True,
            )  # fmt: skip
            self._take_over(job, self._trained_net(job, before, epochs=1))

    def _job(
        self,
        X: object,
        y: object,
        sample_weight: object,
        *,
        again: bool,
        classes: Any = None,
        holds_out: bool = True,
        one_epoch: bool = False,
    ) -> _Job:
        """Check everything, compute what is frozen, and make a network or copy the last one."""
        check_parameters(self)
        settings = training_settings(self, mixup=self.mixup)
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
        target = self._coder if again else self._target(y[used], weights[used], classes)
        seed = draw_seed(self.random_state)
        loaded = self._trained.loaded if again else load(settings.network, seed)
        origin = self._origin if again else Origin.of(settings.network, loaded)
        preprocessing = origin.input_of(settings.network, loaded.spec.patch)
        if again:
            origin.check(settings.network, loaded, self._trained.widths[0])
        settings = faithful_settings(settings, loaded)
        inputs = compute_inputs(images, loaded, preprocessing, settings, seed)
        held_out = settings.held_out if holds_out else 0.0
        rows = supervised_rows(
            inputs, y, weights, target, self._class_factors(target), held_out, seed
        )
        if again:
            trained = self._trained.copy()
        else:
            width = feature_width(loaded, settings.network.pooling, preprocessing)
            widths = (width, target.n_outputs)
            trained = new_network(loaded, preprocessing, settings, widths, seed)
        trained.set_preprocessing(preprocessing)
        made_of = settings.network
        trained.set_first_trained(
            first_trained_stage(made_of.strategy, made_of.n_trainable, loaded.spec),
            freeze_batchnorm=made_of.freeze_batchnorm and not made_of.from_scratch,
        )
        if not again:
            start_head(trained.network, rows.train, settings, target)
        if one_epoch:
            settings = settings.for_one_epoch()
        return _Job(settings, trained, origin, target, inputs, rows, seed)

    def _trained_net(self, job: _Job, before: Any = None, *, epochs: int | None) -> Any:
        """Train the network of a job, after the steps of the net `before` if there is one."""
        from sktransfer.training.loop import train

        network = job.trained.network
        net = self._net_of(job, torch.Generator().manual_seed(job.seed))
        if before is not None:
            go_on(net, before)
        train(net, job.rows.train, epochs)
        job.trained.changed(backbone=network.first_trained < len(network.spec.stages))
        network.eval()
        return net

    def _take_over(self, job: _Job, net: Any) -> None:
        """Take over what has come of a training."""
        from sktransfer.training.callbacks import tidy

        self._trained, self._origin = job.trained, job.origin
        self._coder: Target = job.target
        self._net = net
        self.failed_ = job.inputs.failed
        self.trunk_, self.trunk_reason_ = job.inputs.kind, job.inputs.reason
        self.n_validation_ = 0 if job.rows.valid is None else len(job.rows.valid)
        self.history_ = tidy(net.history)
        self.n_iter_ = len(self.history_)

    def _net_of(self, job: _Job, generator: torch.Generator) -> Any:
        from sktransfer.training.net import make_net

        return make_net(
            job.trained.network,
            job.settings,
            job.target,
            RandomStream(job.seed, job.settings.device),
            train_rows=job.rows.train,
            valid_rows=job.rows.valid,
            augmentation=job.inputs.augmentation,
            generator=generator,
        )

    def _net_for_use(self) -> Any:
        """Make a net around a network that was unpickled; it has not been trained since."""
        from sktransfer.training.loop import TransferNet

        return TransferNet(
            self._trained.network,
            target=self._coder,
            criterion=RowLoss(self._coder),
            device=str(resolve_device(self.device)),
            verbose=0,
        ).initialize()

    def _scores(self, X: object) -> NDArray[np.float64]:
        """Compute the head's scores, (n_images, n_outputs); NaN for unreadable images."""
        features = self.transform(X)
        return self._trained.scores(features)

    def _check_y(self, y: object) -> NDArray[np.generic]:
        """Check targets and return them as an array."""
        raise NotImplementedError

    def _target(
        self, y: NDArray[np.generic], weights: NDArray[np.float64], classes: ArrayLike | None
    ) -> Target:
        """Return how targets are encoded."""
        raise NotImplementedError

    def _class_factors(
        self,
        target: Target,  # noqa: ARG002 - a classifier needs it
    ) -> Callable[[NDArray[np.generic], NDArray[np.float64]], NDArray[np.float64]] | None:
        """Return the function by which weights of rows are multiplied, if there is one."""
        return None

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, object] = super().__getstate__()
        return {**state, "_net": None} if "_net" in state else state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
