"""`FineTuneRegressor`: a pre-trained network, part or all of it trained to predict numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from sklearn.base import RegressorMixin

from sktransfer.finetuning.estimator import FineTunedEstimator
from sktransfer.training.targets import ValueScaler, check_values

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    import torch
    from numpy.typing import ArrayLike, NDArray
    from sklearn.utils import Tags
    from torch import nn

    from sktransfer.images import ImageShape

__all__ = ["FineTuneRegressor"]


class FineTuneRegressor(RegressorMixin, FineTunedEstimator):  # type: ignore[misc] # sklearn is untyped
    """Train a new head, and part or all of a pre-trained network, to predict numbers from images.

    As :class:`~sktransfer.FineTuneClassifier`, for one or several continuous targets. They are
    standardised inside, the loss is their mean squared error, and predictions are in the user's
    units.

    Parameters
    ----------
    backbone : str, nn.Module, callable or BackboneSpec, default="resnet50"
        A name from :func:`~sktransfer.list_backbones`, "timm:NAME", "tiny" for the small network that
        ships with the package, your own module, or a function that returns one.
    weights : str or path, default="default"
        "default" for the best that are published, another published name, the path of a .safetensors
        or .pth file, or "random". Strategy "scratch" does not look at it.
    strategy : {"scratch", "full", "frozen", "partial"}, default="partial"
        What trains beside the new head: everything from random weights; everything from
        pre-trained weights, at a low rate; nothing; or the last `n_trainable` stages.
    n_trainable : int, default=1
        With "partial", how many stages train, counted from the last.
    head : {"linear", "mlp"} or callable, default="linear"
        One layer; a hidden layer of 256 with dropout; or a function (in_features, out_features) that
        returns a module.
    pooling : {"avg", "max", "avgmax", "gem", "flatten"}, default="avg"
        How the last map becomes a vector.
    warmup_epochs : int, default=0
        Epochs at the start in which the head trains alone. The backbone's rate then rises from zero;
        the head's optimiser goes on. They are part of `max_epochs`.
    max_epochs : int, default=20
        Passes over the images.
    lr : float, default=0.001
        Rate of the head.
    backbone_lr : float or None, default=None
        Rate of the backbone. None is a tenth of `lr`: the backbone starts close to its goal and the
        head from nothing, whose first, large gradients would undo what the weights know. With
        "scratch" both start from nothing, and None is `lr`.
    optimizer : {"adamw", "adam", "sgd"} or class, default="adamw"
        The optimiser; "sgd" has Nesterov momentum of 0.9. Or a class of torch.optim.
    weight_decay : float, default=0.0001
        Of the optimiser; biases and norms have none.
    batch_size : int, default=32
        The most images in a step. Batches of a pass have nearly equal sizes.
    augmentation : {"auto", "light", "strong"}, None or callable, default="auto"
        "light" flips, crops a little and changes colours a little, "strong" does more of it, turns and
        cuts out. "auto" is none where stages are frozen, so that these run once an image, and "light"
        where all train. A callable takes one image (3, height, width), uint8, and returns one.
    freeze_batchnorm : bool, default=True
        Whether BatchNorm keeps its statistics in stages that train too, as suits small data. With
        "scratch" it never does.
    early_stopping : bool, default=True
        Whether a part of the rows is held back, training stops when their loss has not fallen for
        `patience` epochs, and the best weights are restored. They
        are drawn at random.
    validation_fraction : float, default=0.1
        The part held back. If it were fewer than 8 rows, nothing is held back, and the last weights
        are kept.
    patience : int, default=5
        Epochs without a smaller validation loss.
    callbacks : list or None, default=None
        Callbacks for the skorch net, after its own.
    net_params : dict or None, default=None
        Parameters of skorch's NeuralNet, such as ``{"optimizer__betas": (0.9, 0.99)}``. They win over
        what the estimator sets.
    image_shape : tuple of int, "row" or None, default=None
        Layout of flattened rows, as in :class:`~sktransfer.DeepFeatureTransformer`.
    image_size : int or None, default=None
        Side of the network's input in pixels; None is what the weights were trained with.
    device : str or torch.device, default="auto"
        "auto" is the first of CUDA, MPS and CPU that is there.
    precision : {"auto", "float32", "bfloat16", "float16"}, default="auto"
        What the network computes in. Frozen stages and predictions are those of
        :class:`~sktransfer.DeepFeatureTransformer`. What trains computes in bfloat16 under autocast
        where the device has hardware for it, if this is "auto" and the network's features are the
        same in it, or "float16" (whose range is too small for gradients), and in float32 elsewhere;
        weights and head stay float32.
    num_workers : int or "auto", default="auto"
        Threads that read and decode images; 0 means none but the calling one.
    cache : "memory", path of a folder or None, default="memory"
        Where the output of frozen stages is kept for other folds and fits, as in
        :class:`~sktransfer.DeepFeatureTransformer`. That of trained stages is kept in memory.
    on_error : {"raise", "warn", "nan"}, default="raise"
        What happens if an image cannot be read: an error; or `fit` leaves it out, lists it in
        `failed_`, and `predict` and `transform` give a row of NaN, with a warning or without.
    random_state : int, RandomState or None, default=None
        Seed of everything random. Two fits with one int are equal on one machine; torch's own random
        numbers stay as they are.
    verbose : int, default=0
        1 shows a progress bar of frozen work and a line for each epoch.
    schedule : {"cosine", "constant"}, default="cosine"
        Rates rise for a twentieth of the steps and then fall to zero, or stay.
    layer_decay : float or None, default=None
        What the rate is multiplied with for each stage that lies behind: below 1, early stages, which
        are general, change less.
    max_grad_norm : float or None, default=1.0
        Longer gradients are scaled down to this length.
    mixup : float, default=0.0
        Blends pairs of rows in proportions drawn from Beta(mixup, mixup); 0 blends nothing.
    n_views : int or None, default=None
        With augmentation, how many views of each image are made before the first epoch, through which
        the epochs then go in turn, so that frozen stages run `n_views` times an image. None makes new
        views each epoch, and all stages run in each.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last fit, with whatever strategy, rates and size
        of images the parameters say now. `backbone`, `weights`, `head` and `pooling` have to stay.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The net; its `module_` maps pixels to scores.
    history_ : list of dict
        What each epoch gave: epoch, phase, train_loss, lr, backbone_lr, seconds, and with a
        validation part valid_loss, valid_score and best. ``pandas.DataFrame(model.history_)``
        makes a table of it.
    n_iter_ : int
        Epochs that were run.
    n_validation_ : int
        Rows that were held back.
    trunk_ : {"vectors", "maps", "pixels"}
        What was computed once of each image and trained on: pooled features, maps of the last
        frozen stage, or decoded pixels.
    trunk_reason_ : str
        Why.
    failed_ : list of int
        Rows of the fit whose images could not be read.
    n_features_in_ : int
        Number of columns of `X`, if it had two dimensions.

    Raises
    ------
    TrainingError
        From `fit`, if the loss becomes NaN, with epoch and rate.
    ValueError, TypeError
        From `fit`, if a parameter, `X` or `y` cannot be used.
    UnknownBackboneError, WeightsError, WeightsNotFoundError, DeviceError, ImageDecodeError
        As in :class:`~sktransfer.DeepFeatureTransformer`.

    Examples
    --------
    >>> from sktransfer.datasets import load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> ink = X.mean(axis=(1, 2))
    >>> model = FineTuneRegressor("tiny", strategy="frozen", random_state=0).fit(X[:200], ink[:200])
    >>> model.score(X[200:300], ink[200:300]) > 0.5
    True
    """

    def __init__(
        self,
        backbone: Any = "resnet50",
        *,
        weights: str | os.PathLike[str] = "default",
        strategy: str = "partial",
        n_trainable: int = 1,
        head: str | Callable[[int, int], nn.Module] = "linear",
        pooling: str = "avg",
        warmup_epochs: int = 0,
        max_epochs: int = 20,
        lr: float = 1e-3,
        backbone_lr: float | None = None,
        optimizer: str | type[torch.optim.Optimizer] = "adamw",
        weight_decay: float = 1e-4,
        batch_size: int = 32,
        augmentation: Any = "auto",
        freeze_batchnorm: bool = True,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        patience: int = 5,
        callbacks: Any = None,
        net_params: Mapping[str, Any] | None = None,
        image_shape: ImageShape = None,
        image_size: int | None = None,
        device: str | torch.device = "auto",
        precision: str = "auto",
        num_workers: int | str = "auto",
        cache: str | os.PathLike[str] | None = "memory",
        on_error: str = "raise",
        random_state: Any = None,
        verbose: int = 0,
        schedule: str = "cosine",
        layer_decay: float | None = None,
        max_grad_norm: float | None = 1.0,
        mixup: float = 0.0,
        n_views: int | None = None,
        warm_start: bool = False,
    ) -> None:
        self.backbone = backbone
        self.weights = weights
        self.strategy = strategy
        self.n_trainable = n_trainable
        self.head = head
        self.pooling = pooling
        self.warmup_epochs = warmup_epochs
        self.max_epochs = max_epochs
        self.lr = lr
        self.backbone_lr = backbone_lr
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.augmentation = augmentation
        self.freeze_batchnorm = freeze_batchnorm
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.callbacks = callbacks
        self.net_params = net_params
        self.image_shape = image_shape
        self.image_size = image_size
        self.device = device
        self.precision = precision
        self.num_workers = num_workers
        self.cache = cache
        self.on_error = on_error
        self.random_state = random_state
        self.verbose = verbose
        self.schedule = schedule
        self.layer_decay = layer_decay
        self.max_grad_norm = max_grad_norm
        self.mixup = mixup
        self.n_views = n_views
        self.warm_start = warm_start

    def partial_fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> FineTuneRegressor:
        """Train for one epoch, at constant rates and without a validation part.

        Parameters
        ----------
        X : images
            Any of the kinds that :class:`~sktransfer.DeepFeatureTransformer` takes.
        y : array-like of shape (n_images,) or (n_images, n_targets)
            Targets. Those of the first call decide how all are standardised.
        sample_weight : array-like of shape (n_images,), optional
            What each row's loss counts.

        Returns
        -------
        FineTuneRegressor
            The estimator itself.
        """
        self._continue(X, y, sample_weight, None)
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Predict the targets, in the user's units.

        Parameters
        ----------
        X : images
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_images,) or (n_images, n_targets), dtype float64
            As many axes as the `y` of the fit.
        """
        scores = self._scores(X)
        return cast("ValueScaler", self._coder).decode(scores)

    def _check_y(self, y: Any) -> NDArray[Any]:
        return check_values(y)

    def _make_coder(
        self,
        y: NDArray[Any],
        weights: NDArray[np.float64],
        classes: Any,  # noqa: ARG002 - a classifier needs them
    ) -> ValueScaler:
        return ValueScaler.of(y, weights)

    def _row_factors(
        self,
        coder: Any,  # noqa: ARG002 - a classifier needs it
        y: NDArray[Any],
        weights: NDArray[np.float64],  # noqa: ARG002
    ) -> NDArray[np.float64]:
        return np.ones(len(y))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
