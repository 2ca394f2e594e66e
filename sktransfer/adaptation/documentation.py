"""What all adaptation classifiers have in common, documented once."""

from __future__ import annotations

import inspect
import textwrap
from typing import Final, TypeVar

__all__ = ["documented"]

_Class = TypeVar("_Class", bound=type)

PARAMETERS: Final = """\
    entropy_weight : float, default=0.0
        What the mean entropy of the predictions for target rows, in nats, counts times lambda. Above
        zero the boundary of the classes keeps away from rows of the target; 0.1 to 1 is usual.
    batch_norm : {"joint", "separate", "per_domain"} or None, default="separate"
        What BatchNorm, where it trains, does with the two halves of a batch: it normalises them as
        one; or each by itself, and predicts with running statistics of both; or the same, and
        predicts with those of the target (of the source, for rows that `predict` is told are of
        the source). None leaves it out of the bottleneck; that of a backbone is then "joint".
        On images the last two do alike, and better than "joint"; on rows of numbers whose domains
        lie far apart, "per_domain" predicts the target best, and "joint" both.
    pixel_norm : {"weights", "per_domain"}, default="weights"
        Whether pixels are normalised as the weights were trained, or each domain by its own mean
        and deviation. The second needs a strategy under which all stages train.
    dropout : float, default=0.5
        Part of what the class head reads that is left out in training.
    unlabeled : object, default=-1
        The label that marks rows of the target, of the labels' own type; None and NaN are possible.
    weights : str or path, default="default"
        As in :class:`~sktransfer.FineTuneClassifier`.
    strategy : {"scratch", "full", "frozen", "partial"}, default="partial"
        As in :class:`~sktransfer.FineTuneClassifier`: what trains of the backbone. With "frozen" only
        the bottleneck can adapt.
    n_trainable : int, default=1
        With "partial", how many stages train, counted from the last.
    head : {"linear", "mlp"} or callable, default="linear"
        Of the classes; it reads the bottleneck.
    pooling : {"avg", "max", "avgmax", "gem", "flatten"}, default="avg"
        How the last map becomes a vector.
    warmup_epochs : int, default=0
        Epochs at the start in which the heads train alone.
    max_epochs : int, default=20
        Passes over the larger of the two domains.
    lr : float, default=0.001
        Rate of bottleneck and heads.
    backbone_lr : float or None, default=None
        Rate of the backbone. None is a tenth of `lr`, with "scratch" `lr`.
    optimizer : {"adamw", "adam", "sgd"} or class, default="adamw"
        The optimiser.
    weight_decay : float, default=0.0001
        Of the optimiser; biases and norms have none.
    batch_size : int, default=32
        Rows of each domain in a step.
    augmentation : {"auto", "light", "strong"}, None or callable, default=None
        As in :class:`~sktransfer.FineTuneClassifier`, for both domains alike.
    freeze_batchnorm : bool, default=True
        Whether BatchNorm of a pre-trained backbone keeps its statistics in stages that train.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes of the source.
    label_smoothing : float, default=0.0
        Part of the probability that is spread over all classes while training.
    early_stopping : bool, default=False
        Whether a part of the source is held back, and the weights with the smallest loss on it are
        kept. It knows nothing of the target, and favours the first epochs, in which nothing has
        been adapted.
    validation_fraction : float, default=0.1
        The part held back.
    patience : int, default=5
        Epochs without a smaller validation loss.
    callbacks : list or None, default=None
        Callbacks for the skorch net, after its own.
    net_params : dict or None, default=None
        Parameters of skorch's NeuralNet. They win over what the estimator sets.
    image_shape : tuple of int, "row" or None, default=None
        Layout of flattened rows, as in :class:`~sktransfer.DeepFeatureTransformer`.
    image_size : int or None, default=None
        Side of the network's input in pixels; None is what the weights were trained with.
    device : str or torch.device, default="auto"
        "auto" is the first of CUDA, MPS and CPU that is there.
    precision : {"auto", "float32", "bfloat16", "float16"}, default="auto"
        As in :class:`~sktransfer.FineTuneClassifier`.
    num_workers : int or "auto", default="auto"
        Threads that read and decode images; 0 means none but the calling one.
    cache : "memory", path of a folder or None, default="memory"
        As in :class:`~sktransfer.FineTuneClassifier`.
    on_error : {"raise", "warn", "nan"}, default="raise"
        As in :class:`~sktransfer.FineTuneClassifier`.
    random_state : int, RandomState or None, default=None
        Seed of everything random. Two fits with one int are equal on one machine.
    verbose : int, default=0
        1 shows a progress bar of frozen work and a line for each epoch.
    schedule : {"cosine", "constant"}, default="cosine"
        Rates rise for a twentieth of the steps and then fall to zero, or stay.
    layer_decay : float or None, default=None
        What the rate is multiplied with for each stage that lies behind.
    max_grad_norm : float or None, default=1.0
        Longer gradients are scaled down to this length; those of the domain head by themselves.
    n_views : int or None, default=None
        As in :class:`~sktransfer.FineTuneClassifier`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels of the source, sorted; `unlabeled` is not among them.
    domains_ : ndarray of shape (n_domains,), dtype int64
        The numbers of the domains, sources first; 1 and -2 where none were given.
    history_ : list of dict
        What each epoch gave: epoch, phase, label_loss, domain_loss, domain_accuracy (of the domain
        head, where there is one), target_entropy (with an `entropy_weight`), lambda, lr, backbone_lr,
        seconds, and "collapsed", in words, where the training had to go back.
    n_iter_ : int
        Epochs that were run.
    net_ : skorch.NeuralNet
        The net; its `module_` maps inputs to scores.
    trunk_, trunk_reason_ : str
        What was stored of each image before the first epoch, and why.
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


def documented(cls: _Class) -> _Class:
    """Put the shared parameters and attributes where the docstring says ``{shared}``."""
    if cls.__doc__ is not None:  # Python may have been told to drop docstrings
        shared = textwrap.dedent(PARAMETERS).strip()
        cls.__doc__ = inspect.cleandoc(cls.__doc__).replace("{shared}", shared)
    return cls
