"""`recommend_strategy`: the field's rule of thumb, size of the data x similarity, on measurements."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.model_selection import train_test_split

from sktransfer.advice.layer_probes import Probes, probe_layers
from sktransfer.advice.reasons import SIMILAR_GAIN, Verdict, reasons
from sktransfer.backbones import choose_backbone, get_backbone
from sktransfer.features.transformer import DeepFeatureTransformer
from sktransfer.images.indexing import take
from sktransfer.images.unreadable import every_image_is_needed
from sktransfer.labels import check_class_labels, stratified_folds
from sktransfer.parameters import check_integer
from sktransfer.raw_pixels import PixelTransformer

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from numpy.typing import ArrayLike, NDArray

    from sktransfer.features.device import Precision
    from sktransfer.images import ImageShape
    from sktransfer.training.freezing import Strategy

__all__ = ["Recommendation", "recommend_strategy"]

_SCRATCH_PARAMETERS_PER_IMAGE = 100


@dataclass(frozen=True, eq=False, repr=False)
class Recommendation:
    """What to do with some images, and the measurements that say so. ``print`` it.

    Attributes
    ----------
    strategy : {"frozen", "partial", "full", "scratch"}
        Recommended strategy.
    layers : tuple of str
        Stages whose features to take; for a strategy that trains the network, its last.
    pooling : {"avg", "max"}
        Pooling that suits these features better.
    n_trainable : int
        For "partial", how many of the last stages to train; all for "full" and "scratch"; else 0.
    size : {"few", "many"}
        Size of the data, for this network.
    similarity : {"similar", "different"}
        Similarity of the images to those that the network knows.
    figures : dict of str to float
        Measured figures: see `recommend_strategy`.
    probes : DataFrame, one row per stage and pooling
        Columns ``layer``, ``pooling``, ``accuracy``, ``std`` (over the folds), ``logme`` and
        ``within_error`` (not distinguishable from the best).
    reasons : tuple of str
        Sentences: size, similarity, strategy, layer, pooling.

    See Also
    --------
    recommend_strategy : Makes it.

    Examples
    --------
    >>> from sktransfer.datasets import load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> print(recommend_strategy(X[:150], y[:150], backbone="tiny"))
    Size: 150 images in 10 classes, 15 a class (smallest ...). That is less than 100 a class: few.
    Similarity: ...
    Strategy: 'frozen', because the images are few and ...
    Layer: ...
    Pooling: ...
    """

    strategy: Strategy
    layers: tuple[str, ...]
    pooling: Literal["avg", "max"]
    n_trainable: int
    size: str
    similarity: str
    figures: dict[str, float]
    probes: pd.DataFrame
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.reasons)

    def __repr__(self) -> str:
        return f"<Recommendation: {self.strategy}, features of {', '.join(self.layers)} pooled by {self.pooling}>"

    def _repr_html_(self) -> str:
        """Show the reasons in a notebook."""
        return "<ul>" + "".join(f"<li>{escape(reason)}</li>" for reason in self.reasons) + "</ul>"


@every_image_is_needed()
def recommend_strategy(
    X: Any,
    y: ArrayLike,
    *,
    backbone: Any = "auto",
    weights: str = "default",
    cv: int = 5,
    few_per_class: int = 100,
    parameters_per_image: int = 2000,
    max_images: int = 2000,
    image_shape: ImageShape = None,
    image_size: int | None = None,
    device: str | torch.device = "auto",
    precision: Precision = "auto",
    batch_size: int = 32,
    num_workers: int | str = "auto",
    cache: str | None = "memory",
    random_state: int | None = 0,
    verbose: int = 0,
) -> Recommendation:
    """Recommend what to train, and which layer and pooling to use; nothing but probes is trained.

    Few images and similar ones: frozen features. Few and different: features of earlier layers,
    if these do better. Many: train as many of the last stages as the images can pay for, "partial",
    or all of them, "full". Many and so different that pre-training does not help: "scratch".

    Parameters
    ----------
    X : images
        Any of the kinds that :class:`~sktransfer.DeepFeatureTransformer` takes.
    y : array-like of shape (n_images,)
        Labels of two or more classes.
    backbone, weights, image_shape, image_size, device, precision, batch_size, num_workers, cache
        As in :class:`~sktransfer.DeepFeatureTransformer`; "auto" is "resnet50" with its ImageNet weights,
        downloaded if need be, and without them what is here, with a warning and a reason that says so.
    cv : int, default=5
        Folds of the probes; fewer if the smallest class has fewer images.
    few_per_class : int, default=100
        Fewer images a class than this, on average, are few.
    parameters_per_image : int, default=2000
        Number of trained parameters that one image pays for: with this number, 5,600 images pay for all
        of ResNet-18 and 12,000 for all of ResNet-50. Images that do not pay for one stage are few.
    max_images : int, default=2000
        The probes are measured on at most so many images, drawn in the proportions of the classes;
        the size of the data is that of all.
    random_state : int or None, default=0
        Decides the folds, the images drawn and random weights.
    verbose : int, default=0
        1 shows progress on stderr.

    Returns
    -------
    Recommendation
        Its ``figures`` are ``n_images``, ``n_classes``, ``images_per_class``, ``smallest_class``,
        ``n_probed``; ``parameters`` of all stages, ``parameters_last_stage`` and ``head_parameters``;
        ``chance`` (share of the largest class), ``pixels_accuracy``, ``last_accuracy``,
        ``best_accuracy``, ``gain``, ``logme_last``, ``logme_best``.

    Raises
    ------
    ValueError
        If a class has a single image, or there is a single class.

    See Also
    --------
    compare_strategies : Trains and compares instead of recommending.

    Notes
    -----
    Similarity is ``gain``, the share of what a linear classifier on raw pixels gets wrong that one
    on the last stage gets right: at least .3 is similar, unless an earlier stage is better by more
    than the standard error of the difference over the folds, corrected as in [1]_. Only then
    is an earlier stage recommended for frozen features: of those that cannot be told from the best, the
    one with the highest LogME, which also chooses between the poolings of the last stage if both are
    among these. `few_per_class`, `parameters_per_image` and .3 are rules of thumb. Where training is
    recommended, compare it with frozen features on your images before you rely on it.

    References
    ----------
    .. [1] Nadeau, Bengio, "Inference for the generalization error", Machine Learning 52, 2003.

    Examples
    --------
    >>> from sktransfer.datasets import load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> advice = recommend_strategy(X[:150], y[:150], backbone="tiny")
    >>> advice.strategy, advice.size
    ('frozen', 'few')
    """
    classes, codes = check_class_labels(X, y)
    check_integer("cv", cv, 2, "folds")
    check_integer("few_per_class", few_per_class, 1, "images")
    check_integer("parameters_per_image", parameters_per_image, 1, "parameters")
    check_integer("max_images", max_images, 2 * len(classes), "images that are probed")
    network = choose_backbone(backbone, weights, stacklevel=4)
    features = DeepFeatureTransformer(
        network.backbone,
        weights=weights,
        image_shape=image_shape,
        image_size=image_size,
        device=device,
        precision=precision,
        batch_size=batch_size,
        num_workers=num_workers,
        cache=cache,
        random_state=random_state,
        verbose=verbose,
    )
    rows = _drawn(codes, max_images, random_state)
    n_folds = max(2, min(cv, int(np.bincount(codes[rows]).min())))
    folds = stratified_folds(n_folds, codes[rows], classes, random_state=random_state)
    images = X if len(rows) == len(X) else take(X, rows)
    pixels = PixelTransformer(32, image_shape=image_shape)
    probes = probe_layers(features, pixels, images, codes[rows], folds)

    sizes = _stage_sizes(features)
    figures = _figures(codes, len(rows), sizes, features.n_features_out_, probes)
    verdict = _verdict(figures, sizes, probes, few_per_class, parameters_per_image)
    return Recommendation(
        strategy=verdict.strategy,
        layers=(verdict.layer,),
        pooling=verdict.pooling,
        n_trainable=verdict.n_trainable,
        size=verdict.size,
        similarity=verdict.similarity,
        figures=figures,
        probes=probes.table,
        reasons=(
            *reasons(figures, verdict, probes, few_per_class, parameters_per_image),
            *filter(None, [network.note]),
        ),
    )


def _figures(
    codes: NDArray[np.intp], n_probed: int, sizes: list[int], width: int, probes: Probes
) -> dict[str, float]:
    """Gather what was counted and measured."""
    counts = np.bincount(codes)
    chance, pixels = float(counts.max() / len(codes)), float(probes.pixels.mean())
    base = max(pixels, chance)
    return {
        "n_images": len(codes),
        "n_classes": len(counts),
        "images_per_class": len(codes) / len(counts),
        "smallest_class": int(counts.min()),
        "n_probed": n_probed,
        "parameters": sum(sizes),
        "parameters_last_stage": sizes[-1],
        "head_parameters": (width + 1) * len(counts),
        "chance": chance,
        "pixels_accuracy": pixels,
        "last_accuracy": probes.last_accuracy,
        "best_accuracy": probes.best_accuracy,
        "gain": (probes.last_accuracy - base) / (1 - base) if base < 1 else 0.0,
        "logme_last": probes.logme_last,
        "logme_best": probes.logme_best,
    }


def _verdict(
    figures: dict[str, float],
    sizes: list[int],
    probes: Probes,
    few_per_class: int,
    parameters_per_image: int,
) -> Verdict:
    """Apply the rule of thumb."""
    n_images = int(figures["n_images"])
    budget = parameters_per_image * n_images
    paid = _stages_paid_for(sizes, int(figures["head_parameters"]), budget)
    few = figures["images_per_class"] < few_per_class or paid == 0
    similar = figures["gain"] >= SIMILAR_GAIN and probes.last_is_within_error
    strategy = _strategy(few, similar, not probes.beats_pixels, paid, sizes, n_images)
    layer, pooling = probes.choice if strategy == "frozen" else probes.last_choice
    return Verdict(strategy, layer, pooling, few, similar, paid, n_stages=len(sizes))


def _drawn(codes: NDArray[np.intp], max_images: int, random_state: int | None) -> NDArray[np.intp]:
    """Draw rows in the proportions of the classes; each class keeps two, if it has them."""
    rows = np.arange(len(codes))
    if len(codes) <= max_images:
        return rows
    first_two = np.concatenate([np.flatnonzero(codes == k)[:2] for k in np.unique(codes)])
    n_more = max_images - len(first_two)
    others = np.setdiff1d(rows, first_two)
    if n_more < len(np.unique(codes)):
        return np.sort(first_two)
    counts = np.bincount(codes[others])
    stratify = codes[others] if counts[counts > 0].min() > 1 else None
    drawn, _ = train_test_split(
        others, train_size=n_more, random_state=random_state, stratify=stratify
    )
    return np.sort(np.concatenate([first_two, drawn]))


def _stage_sizes(features: DeepFeatureTransformer) -> list[int]:
    """Count the parameters of each stage, from input to output."""
    module, spec = features.backbone_, get_backbone(features.backbone)
    return [
        sum(p.numel() for path in stage.modules for p in module.get_submodule(path).parameters())
        for stage in spec.stages
    ]


def _stages_paid_for(sizes: list[int], head: int, budget: int) -> int:
    """Count the last stages whose parameters, with those of the head, are within the budget."""
    sums = head + np.cumsum(sizes[::-1])
    return int((sums <= budget).sum())


def _strategy(
    few: bool, similar: bool, useless: bool, paid: int, sizes: list[int], n_images: int
) -> Strategy:
    if few:
        return "frozen"
    if not similar and useless and sum(sizes) <= _SCRATCH_PARAMETERS_PER_IMAGE * n_images:
        return "scratch"
    return "full" if paid == len(sizes) else "partial"
