"""`DeepCORALClassifier` and `MMDClassifier`: features whose distributions are alike in two domains."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np  # noqa: F401 - of the examples

from sktransfer.adaptation.documentation import documented
from sktransfer.adaptation.estimator import AdaptedClassifier
from sktransfer.adaptation.heads import TwoHeads
from sktransfer.training.settings import check_number

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    import torch
    from torch import nn

    from sktransfer.adaptation.nets import Objective
    from sktransfer.images import ImageShape

__all__ = ["DeepCORALClassifier", "MMDClassifier"]


class DiscrepancyClassifier(AdaptedClassifier):
    """Adds a distance between the features of both domains to the label loss; see its subclasses."""

    def __init__(
        self,
        backbone: Any = "resnet50",
        *,
        lambda_max: float = 1.0,
        lambda_gamma: float = 10.0,
        bottleneck: int | None = 256,
        entropy_weight: float = 0.0,
        batch_norm: str | None = "separate",
        pixel_norm: str = "weights",
        dropout: float = 0.5,
        unlabeled: Any = -1,
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
        augmentation: Any = None,
        freeze_batchnorm: bool = True,
        class_weight: dict[Any, float] | str | None = None,
        label_smoothing: float = 0.0,
        early_stopping: bool = False,
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
        n_views: int | None = None,
    ) -> None:
        self.backbone = backbone
        self.lambda_max = lambda_max
        self.lambda_gamma = lambda_gamma
        self.bottleneck = bottleneck
        self.entropy_weight = entropy_weight
        self.batch_norm = batch_norm
        self.pixel_norm = pixel_norm
        self.dropout = dropout
        self.unlabeled = unlabeled
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
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
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
        self.n_views = n_views

    def _strength(self) -> float:
        return float(self.lambda_max)

    def _two_heads(self, n_domains: int) -> TwoHeads:
        check_number(
            "lambda_max", self.lambda_max, 0, math.inf, "how strongly to adapt", closed=True
        )
        return TwoHeads(
            self.head,
            self.bottleneck,
            self.dropout,
            None,
            n_domains,
            batch_norm=self.batch_norm is not None,
        )


@documented
class DeepCORALClassifier(DiscrepancyClassifier):
    """A network adapted to an unlabelled target by aligning covariances: Deep CORAL.

    The label loss of the source and the distance of the covariances of the features of both domains
    are minimised together [1]_. There is no domain head and no game, so it is the first thing to
    try. Rows of the target are marked as in :class:`~sktransfer.DANNClassifier`.

    Parameters
    ----------
    backbone : str, nn.Module, callable, BackboneSpec or None, default="resnet50"
        As in :class:`~sktransfer.DANNClassifier`.
    lambda_max : float, default=1.0
        What the distance counts in the end; 0 trains on the source alone. The distance is that of
        [1]_, divided by four times the square of the number of features, and so a small number.
    lambda_gamma : float, default=10.0
        How early, as in :class:`~sktransfer.DANNClassifier`.
    bottleneck : int or None, default=256
        Width of a layer, with BatchNorm and ReLU, between features and head, whose output is
        aligned. None aligns the features themselves.
    {shared}

    References
    ----------
    .. [1] Sun, Saenko, "Deep CORAL: correlation alignment for deep domain adaptation", ECCV
       workshops, 2016.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(120, 5)) * np.repeat([[1.0], [3.0]], 60, axis=0)
    >>> y = np.where(np.arange(120) < 60, X[:, 0] > 0, -1)
    >>> model = DeepCORALClassifier(None, bottleneck=8, random_state=0).fit(X, y)
    >>> model.transform(X).shape
    (120, 8)
    """

    def _objective(self) -> Objective:
        return "coral"


@documented
class MMDClassifier(DiscrepancyClassifier):
    """A network adapted to an unlabelled target by the maximum mean discrepancy of its features.

    The label loss of the source and the squared distance of both domains' features, in the space of
    five Gaussian kernels [1]_, are minimised together. There is no domain head and no game. Rows
    of the target are marked as in :class:`~sktransfer.DANNClassifier`.

    Parameters
    ----------
    backbone : str, nn.Module, callable, BackboneSpec or None, default="resnet50"
        As in :class:`~sktransfer.DANNClassifier`.
    lambda_max : float, default=1.0
        What the distance counts in the end; 0 trains on the source alone.
    lambda_gamma : float, default=10.0
        How early, as in :class:`~sktransfer.DANNClassifier`.
    bottleneck : int or None, default=256
        Width of a layer, with BatchNorm and ReLU, between features and head, whose output is
        aligned. None aligns the features themselves.
    {shared}

    References
    ----------
    .. [1] Long, Cao, Wang, Jordan, "Learning transferable features with deep adaptation networks",
       ICML 2015.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(120, 5)) + np.repeat([[0.0], [3.0]], 60, axis=0)
    >>> y = np.where(np.arange(120) < 60, X[:, 0] > 0, -1)
    >>> model = MMDClassifier(None, bottleneck=8, random_state=0).fit(X, y)
    >>> model.predict_proba(X).shape
    (120, 2)
    """

    def _objective(self) -> Objective:
        return "mmd"
