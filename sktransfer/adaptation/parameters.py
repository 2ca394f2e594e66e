"""Parameters that all classifiers of domain adaptation share."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from sktransfer.parameters import checked, choice, integer, number, optional
from sktransfer.training.freezing import STRATEGIES
from sktransfer.training.parameters import TrainingParameters

if TYPE_CHECKING:
    from sktransfer.backbones.spec import BackboneLike
    from sktransfer.parameters import Constraint
    from sktransfer.training.freezing import Strategy

__all__ = ["AdaptationParameters"]


def _or_auto(constraint: Constraint) -> Constraint:
    """Return the constraint that a parameter is "auto" or fulfils another one."""
    return lambda name, value: None if value == "auto" else constraint(name, value)


@dataclass(kw_only=True, eq=False, repr=False)
class AdaptationParameters(TrainingParameters):
    """Parameters of an adaptation from a labelled source to an unlabelled target.

    Parameters
    ----------
    backbone : str, nn.Module, callable, BackboneSpec or None, default="resnet50"
        As in :class:`~sktransfer.FineTuneClassifier`. None takes rows of numbers as they are, for
        tables, and for features that a step before has computed; a few hundred rows make few steps,
        so let them be larger and more: ``lr=0.01, max_epochs=100``.
    lambda_max : float, default=1.0
        Final weight (lambda) of the alignment; 0 trains on the source alone.
    lambda_gamma : float, default=10.0
        Steepness of the rise of lambda: ``lambda_max * (2 / (1 + exp(-lambda_gamma * p)) - 1)`` where
        p is the share of all steps that have been made.
    bottleneck : int or None, default=256
        Width of a layer, with BatchNorm and ReLU, between features and heads. None leaves it out.
    entropy_weight : float or "auto", default="auto"
        Weight of the mean entropy of the predictions for target rows, in nats, relative to lambda.
        Above zero the boundary of the classes keeps away from rows of the target; 0.1 to 1 is usual.
        "auto" is 0 with backbones of images of less than 128 pixels, else 1 if the backbone has
        BatchNorm, and 0.3 if it has none.
    diversity_weight : float or "auto", default="auto"
        Weight of the entropy of the mean prediction for target rows, which is kept high, in nats,
        relative to lambda: all classes shall occur in the target (information maximisation, Liang et
        al., ICML 2020). "auto" is as for `entropy_weight`.
    batch_norm : {"auto", "joint", "separate", "per_domain"} or None, default="auto"
        Treatment of the two halves of a batch by BatchNorm, where it trains: it normalises them as
        one; or each by itself, and predicts with running statistics of both; or the same, and
        predicts with those of the target (of the source, for rows that `predict` is told are of
        the source). None leaves it out of the bottleneck; that of a backbone is then "joint".
        With "per_domain" all stages of a pre-trained backbone, frozen ones too, get statistics of
        each domain before the training begins, in which those of the weights count as 768 images
        (Li et al., 2018; Schneider et al., NeurIPS 2020). "auto" is that with backbones of images of
        128 pixels or more, otherwise "separate". On small images the last two do alike, and better
        than "joint"; on rows of numbers whose domains lie far apart, "per_domain" predicts the
        target best, and "joint" both.
    pixel_norm : {"weights", "per_domain"}, default="weights"
        Whether pixels are normalised as the weights were trained, or each domain by its own mean
        and deviation. The second needs a strategy under which all stages train.
    dropout : float, default=0.5
        Share of the class head's inputs that is left out in training.
    unlabeled : object, default=-1
        Label that marks rows of the target, of the labels' own type; None, NaN and pandas' NA are
        possible, and any of them marks whatever a container has for a missing label.
    strategy : {"auto", "scratch", "full", "frozen", "partial"}, default="auto"
        Part of the backbone that trains, as in :class:`~sktransfer.FineTuneClassifier`. With "frozen"
        only the bottleneck can adapt. "auto" is that with backbones of images of 128 pixels or
        more, "scratch" with random weights, and otherwise "full"; see `strategy_`.
    head : {"linear", "mlp"} or callable, default="linear"
        Head of the classes; it reads the bottleneck.
    warmup_epochs : int, default=0
        Epochs at the start in which the heads train alone.
    max_epochs : int, default=20
        Passes over the larger of the two domains.
    lr : float, default=0.001
        Learning rate of bottleneck and heads.
    batch_size : int, default=32
        Rows of each domain in a step.
    augmentation : {"auto", "light", "strong"}, None or callable, default=None
        As in :class:`~sktransfer.FineTuneClassifier`, for both domains alike.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes of the source.
    label_smoothing : float, default=0.0
        Part of the probability that is spread over all classes while training.
    early_stopping : bool, default=False
        Whether a part of the source is held back, and the weights with the smallest loss on it are
        kept. It knows nothing of the target, and favours the first epochs, in which nothing has
        been adapted.
    max_grad_norm : float or None, default=1.0
        Length to which longer gradients are scaled down; those of the domain head by themselves.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels of the source, sorted; `unlabeled` is not among them.
    domains_ : ndarray of shape (n_domains,), dtype int64
        Numbers of the domains, sources first; 1 and -2 where none were given.
    history_ : list of dict
        Records of the epochs: epoch, phase, label_loss, domain_loss, domain_accuracy (of the domain
        head, where there is one), target_entropy (with an `entropy_weight`), target_diversity (with a
        `diversity_weight`), lambda, lr, backbone_lr, seconds, and
        "collapsed", in words, where the training had to go back.
    n_iter_ : int
        Number of epochs that were run.
    net_ : skorch.NeuralNet
        The net; its `module_` maps inputs to scores.
    strategy_, strategy_reason_ : str
        Strategy of the training, and the reason for it.
    trunk_, trunk_reason_ : str
        Stored output of what ran once an image, on which the epochs trained, and the reason.
    failed_ : list of int
        Rows whose images could not be read.
    n_features_in_ : int
        Number of columns of `X`, if it had two dimensions.

    Raises
    ------
    TrainingError
        From `fit`, if the domain head passes no gradient on, or the first step gives no number.
    ValueError, TypeError
        From `fit`, if there are no rows of a source or of a target, fewer than two classes, or a
        parameter cannot be used.

    Warns
    -----
    TrainingWarning
        If the training collapsed (the features became the same for all rows, the label loss went
        back to chance, or a loss became NaN) and went back to its last good state, with half of
        lambda and rates. No label of the target plays a part in this.
    """

    backbone: BackboneLike = field(default="resnet50", kw_only=False)
    lambda_max: float = checked(1.0, number(0, math.inf, "how strongly to adapt", closed=True))
    lambda_gamma: float = checked(10.0, number(0, 1e9, "how early lambda rises", closed=True))
    strategy: Literal["auto"] | Strategy = checked(  # type: ignore[assignment] # one word more
        "auto", choice("auto", *STRATEGIES)
    )
    bottleneck: int | None = checked(256, optional(integer(1, "features that both heads read")))
    entropy_weight: float | Literal["auto"] = checked(
        "auto", _or_auto(number(0, 1e9, "what certainty counts", closed=True))
    )
    diversity_weight: float | Literal["auto"] = checked(
        "auto", _or_auto(number(0, 1e9, "what it counts that all classes occur", closed=True))
    )
    batch_norm: str | None = checked(
        "auto", optional(choice("auto", "joint", "separate", "per_domain"))
    )
    pixel_norm: str = checked("weights", choice("weights", "per_domain"))
    dropout: float = checked(0.5, number(0, 0.99, "what is left out", closed=True))
    unlabeled: object = -1
    augmentation: object = None
    class_weight: dict[object, float] | str | None = None
    label_smoothing: float = checked(0.0, number(0, 1, "a probability", closed=True))
    early_stopping: bool = False
