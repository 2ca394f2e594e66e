"""`DANNClassifier`: features from which classes can be told, and domains cannot."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np  # noqa: TC002 - of the example
import torch

from sktransfer.adaptation.documentation import documented
from sktransfer.adaptation.estimator import AdaptedClassifier
from sktransfer.adaptation.heads import TwoHeads, check_domain_head
from sktransfer.parameters import check_choice
from sktransfer.training.settings import check_number

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray
    from torch import nn

    from sktransfer.adaptation.nets import Objective
    from sktransfer.images import ImageShape

__all__ = ["DANNClassifier"]


@documented
class DANNClassifier(AdaptedClassifier):
    """A network adapted from labelled images of a source to unlabelled images of a target.

    Domain-adversarial training [1]_: a second head learns to tell the two domains apart, and the
    features learn the opposite, so that what the class head has learned on the source holds on the
    target.

    Rows of the target are those whose label is `unlabeled`, so that pipelines, cross-validation and
    searches work as they are; or `sample_domain` tells the domain of each row. In a search, choose
    by :class:`~sktransfer.UnsupervisedScorer`: labels of the target must not be looked at.

    The last epoch counts, and lambda and rates follow the steps of the whole training, so a longer
    `max_epochs` is another training and not the same one continued.

    Parameters
    ----------
    backbone : str, nn.Module, callable, BackboneSpec or None, default="resnet50"
        As in :class:`~sktransfer.FineTuneClassifier`. None takes rows of numbers as they are, for
        tables, and for features that a step before has computed; a few hundred rows make few steps,
        so let them be larger and more: ``lr=0.01, max_epochs=100``.
    algorithm : {"reversal", "alternating"}, default="reversal"
        One step for all, in which the gradient of the domain head is reversed; or two in turn: the
        domain head learns the domains, then features and class head learn the classes together
        with exchanged domains, while the domain head stays as it is.
    lambda_max : float, default=1.0
        How strongly the features adapt in the end; 0 trains on the source alone.
    lambda_gamma : float, default=10.0
        How early: lambda is ``lambda_max * (2 / (1 + exp(-lambda_gamma * p)) - 1)`` where p is the
        share of all steps that have been made. The domain head itself learns at its full rate, and
        the losses of both domains are added, as in [1]_.
    domain_head : tuple of int or callable, default=(1024, 1024)
        Widths of the hidden layers of the domain head; or a function (in_features, out_features) that
        returns a module which gives logits.
    conditional : bool, default=False
        Whether the domain head sees each row's predicted probabilities beside its features, so that
        classes are brought together and not the domains as a whole [2]_.
    bottleneck : int or None, default=256
        Width of a layer, with BatchNorm and ReLU, between features and heads. None leaves it out.
    {shared}

    References
    ----------
    .. [1] Ganin et al., "Domain-adversarial training of neural networks", JMLR 17(59), 2016.
    .. [2] Long, Cao, Wang, Jordan, "Conditional adversarial domain adaptation", NeurIPS 2018, without
       its weights of certain rows.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> source, y = make_blobs(200, centers=[(-3, 0), (3, 0)], random_state=0)
    >>> target = make_blobs(200, centers=[(-3, 9), (3, 9)], random_state=1)[0]
    >>> X, marked = np.concatenate([source, target]), np.concatenate([y, np.full(200, -1)])
    >>> model = DANNClassifier(None, bottleneck=16, domain_head=(32,), random_state=0)
    >>> model.fit(X, marked).predict(target).shape
    (200,)
    >>> model.classes_, model.domains_
    (array([0, 1]), array([ 1, -2]))
    """

    def __init__(
        self,
        backbone: Any = "resnet50",
        *,
        algorithm: str = "reversal",
        lambda_max: float = 1.0,
        lambda_gamma: float = 10.0,
        domain_head: Sequence[int] | Callable[[int, int], nn.Module] = (1024, 1024),
        conditional: bool = False,
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
        self.algorithm = algorithm
        self.lambda_max = lambda_max
        self.lambda_gamma = lambda_gamma
        self.domain_head = domain_head
        self.conditional = conditional
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

    def predict_domain(self, X: Any, sample_domain: ArrayLike | None = None) -> NDArray[np.int64]:
        """Name the domain that the domain head takes each row for.

        Parameters
        ----------
        X, sample_domain
            As in `predict_proba`.

        Returns
        -------
        ndarray of shape (n_rows,), dtype int64
            Numbers from `domains_`.
        """
        hidden = self._hidden(X, sample_domain)
        head: Any = self._head
        with torch.inference_mode():
            rows = torch.from_numpy(hidden)
            scores = head.domain(head.joined(rows, head.label(rows))).numpy()
        place = (scores[:, 0] > 0).astype(int) if scores.shape[1] == 1 else scores.argmax(1)
        domains: NDArray[np.int64] = self.domains_[place]
        return domains

    def _objective(self) -> Objective:
        return "alternating" if self.algorithm == "alternating" else "reversal"

    def _strength(self) -> float:
        return float(self.lambda_max)

    def _two_heads(self, n_domains: int) -> TwoHeads:
        check_choice("algorithm", self.algorithm, ("reversal", "alternating"))
        check_number(
            "lambda_max", self.lambda_max, 0, math.inf, "how strongly to adapt", closed=True
        )
        return TwoHeads(
            self.head,
            self.bottleneck,
            self.dropout,
            check_domain_head(self.domain_head),
            n_domains,
            conditional=bool(self.conditional),
            batch_norm=self.batch_norm is not None,
        )
