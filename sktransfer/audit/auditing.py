"""`audit_images`: what is wrong with a set of images, one row of a table for each."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold

from sktransfer.audit.duplicates import nearest_images, same_content, united
from sktransfer.audit.inspection import described, inspect_images, text_column
from sktransfer.audit.label_errors import confident_disagreement, out_of_fold_probabilities
from sktransfer.backbones import choose_backbone, get_backbone
from sktransfer.features.transformer import DeepFeatureTransformer
from sktransfer.images import as_image_sequence
from sktransfer.labels import check_class_labels
from sktransfer.parameters import check_integer

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from numpy.typing import ArrayLike, NDArray

    from sktransfer.features.device import Precision
    from sktransfer.images import ImageShape

__all__ = ["audit_images"]

_LEAST_SKILL = 0.5  # share of the way from always the largest class to always the right one


def audit_images(
    X: object,
    y: ArrayLike | None = None,
    *,
    backbone: Any = "auto",
    weights: str = "default",
    near_threshold: float | None = None,
    cv: int | Any = 5,
    image_shape: ImageShape = None,
    image_size: int | None = None,
    device: str | torch.device = "auto",
    precision: Precision = "auto",
    batch_size: int = 32,
    num_workers: int | str = "auto",
    cache: str | None = "memory",
    random_state: int | None = 0,
    verbose: int = 0,
) -> pd.DataFrame:
    """Look for duplicates, labels that seem wrong, unreadable files and odd sizes and modes.

    Parameters
    ----------
    X : images
        Any of the kinds that :class:`~sktransfer.DeepFeatureTransformer` takes. Images that cannot
        be read are reported, not raised.
    y : array-like of shape (n_images,) or None, default=None
        Labels; None leaves the columns about labels empty.
    backbone, weights, image_shape, image_size, device, precision, batch_size, num_workers, cache
        As in :class:`~sktransfer.DeepFeatureTransformer`; "auto" is "resnet50" with its ImageNet weights,
        downloaded if need be, and without them what is here, with a warning. "tiny" finds copies, but
        cannot judge the labels of photographs.
    near_threshold : float or None, default=None
        Cosine, at most 1, of standardised features of the last two stages, average and maximum, from
        which two images are near duplicates. None chooses it from the images: seven spreads above
        the median similarity of an image to its third nearest.
    cv : int or splitter, default=5
        Folds across which duplicates might leak. An int means shuffled ones, stratified if there
        are labels; also how many folds judge the labels.
    random_state : int or None, default=0
        Decides the folds.
    verbose : int, default=0
        1 shows progress on stderr.

    Returns
    -------
    DataFrame, one row per image, in the order of `X`; a notebook shows what was found
        ``path`` (None if it has none); ``label``; ``problem``, why it cannot be read, or "";
        ``width``, ``height``, upright, in pixels; ``mode`` and ``format`` of the file;
        ``odd_size`` and ``odd_mode``, unlike most others;
        ``nearest``, the row of the most similar other image (-1: none), and ``similarity``, the
        cosine to it;
        ``exact_group`` and ``near_group``, the first row of those with the same pixels or nearly
        so (-1: no other has);
        ``group``, the same with every lone image in a group of its own: pass it as `groups` to
        GroupKFold or StratifiedGroupKFold;
        ``leaks``, a duplicate lies in another fold of `cv`; ``label_conflict``, a duplicate has
        another label;
        ``suspect_label``, a classifier that saw neither the image nor its duplicates confidently
        disagrees with its label; ``suggested_label``; ``label_probability`` and
        ``suggested_probability``.
        ``attrs["near_threshold"]`` is the cosine that was used, ``attrs["label_accuracy"]`` the
        share of labels that the classifier would have given (NaN without labels), and
        ``attrs["suspects_withheld"]`` is True where that is too low for its suspicions to mean
        anything, so that no label is suspected: less than halfway from always naming the largest
        class to naming the right one.

    Warns
    -----
    WeightsWarning
        If "auto" is not "resnet50".

    Raises
    ------
    ValueError
        If `y` has another length or a single class, or `near_threshold` is not in (0, 1].

    See Also
    --------
    compare_strategies : Takes its groups, so that copies share a fold.

    Notes
    -----
    Suspected labels come from confident learning ([1]_, see `sktransfer.audit.label_errors`).
    Look at them before you change any: hard and ambiguous images are among them.

    References
    ----------
    .. [1] Northcutt, Jiang, Chuang, "Confident learning: estimating uncertainty in dataset labels",
       Journal of Artificial Intelligence Research 70, 2021.

    Examples
    --------
    >>> from sktransfer.datasets import load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> X, y = X[:100].copy(), y[:100].copy()
    >>> X[40] = X[7]  # a copy, under another label
    >>> audit = audit_images(X, y, backbone="tiny")
    >>> audit.loc[[7, 40], ["exact_group", "group", "label_conflict"]]
        exact_group  group  label_conflict
    7             7      7            True
    40            7      7            True
    """
    if near_threshold is not None and not 0 < near_threshold <= 1:
        raise ValueError(f"near_threshold={near_threshold!r} must be in (0, 1]: it is a cosine.")
    backbone = choose_backbone(backbone, weights, stacklevel=3).backbone
    images = as_image_sequence(X, image_shape=image_shape)
    classes, codes = (None, None) if y is None else check_class_labels(images, y)
    looks = inspect_images(images, num_workers)
    features = DeepFeatureTransformer(
        backbone,
        weights=weights,
        layers=list(get_backbone(backbone).layer_names[-2:]),
        pooling="avgmax",
        image_shape=image_shape,
        image_size=image_size,
        device=device,
        precision=precision,
        batch_size=batch_size,
        num_workers=num_workers,
        cache=cache,
        on_error="nan",
        random_state=random_state,
        verbose=verbose,
    )
    values = features.fit(X).transform(X)
    good = np.flatnonzero(np.isfinite(values).all(1))
    n = len(images)
    table = described(X, looks)
    label = None if classes is None or codes is None else text_column(classes[codes])
    table.insert(1, "label", label)

    exact = same_content([look.digest for look in looks])
    near = nearest_images(values[good], near_threshold)
    table["nearest"], table["similarity"] = -1, np.nan
    if len(good) > 1:
        table.loc[good, "nearest"] = good[near.nearest]
        table.loc[good, "similarity"] = near.similarity
    groups = united(n, np.vstack([exact, np.column_stack([good, good[near.groups]])]))
    table["exact_group"] = _only_shared(united(n, exact))
    table["near_group"] = _only_shared(groups)
    table["group"] = groups
    table["leaks"] = _leaks(groups, codes, cv, random_state)
    table["label_conflict"] = _conflicts(groups, codes)

    if codes is None or classes is None:
        judged, accuracy, withheld = _unjudged(n), float("nan"), False
    else:
        last = values[:, _last_average(features)]
        n_folds = cv if isinstance(cv, int) else 5
        judged, accuracy = _judged(last, good, codes, classes, groups, n_folds, random_state)
        withheld = _is_poor(accuracy, codes)
        if withheld:
            judged |= {name: _unjudged(n)[name] for name in ("suspect_label", "suggested_label")}
    from sktransfer.audit.table import AuditTable  # pandas takes a while to import

    audit = AuditTable(
        table.assign(**{name: text_column(values) for name, values in judged.items()})
    )
    audit.attrs["near_threshold"] = near.threshold
    audit.attrs["label_accuracy"] = accuracy
    audit.attrs["suspects_withheld"] = bool(withheld)
    return audit


def _unjudged(n: int) -> dict[str, NDArray[np.generic]]:
    return {
        "suspect_label": np.zeros(n, bool),
        "suggested_label": np.full(n, None, object),
        "label_probability": np.full(n, np.nan),
        "suggested_probability": np.full(n, np.nan),
    }


def _judged(
    features: NDArray[np.float32],
    good: NDArray[np.intp],
    codes: NDArray[np.intp],
    classes: NDArray[np.generic],
    groups: NDArray[np.intp],
    cv: int,
    random_state: int | None,
) -> tuple[dict[str, NDArray[np.generic]], float]:
    """Fill the columns about labels, of images that can be read, and tell the accuracy."""
    columns = _unjudged(len(codes))
    probabilities = np.full((len(codes), len(classes)), np.nan)
    if len(good):
        probabilities[good] = out_of_fold_probabilities(
            features[good],
            codes[good],
            groups[good],
            n_classes=len(classes),
            cv=cv,
            random_state=random_state,
        )
    found = confident_disagreement(probabilities, codes)
    columns["suspect_label"] = found.suspect
    columns["suggested_label"][found.suspect] = classes[found.suggested[found.suspect]]
    columns["label_probability"] = found.given_probability
    columns["suggested_probability"] = found.suggested_probability
    seen = np.isfinite(probabilities).all(1)
    right = probabilities[seen].argmax(1) == codes[seen]
    return columns, float(right.mean()) if len(right) else float("nan")


def _is_poor(accuracy: float, codes: NDArray[np.intp]) -> bool:
    """Tell whether a classifier knows too little to judge labels; not if nothing was judged."""
    guessed = float(np.bincount(codes).max() / len(codes))
    return accuracy - guessed < _LEAST_SKILL * (1 - guessed)


def _only_shared(groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """Mark lone images by -1."""
    shared: NDArray[np.intp] = np.where(np.bincount(groups)[groups] > 1, groups, -1)
    return shared


def _leaks(
    groups: NDArray[np.intp], codes: NDArray[np.intp] | None, cv: Any, random_state: int | None
) -> NDArray[np.bool_]:
    """Tell images that are tested in a fold in which a duplicate of theirs is trained on."""
    n = len(groups)
    leaks = np.zeros(n, bool)
    if isinstance(cv, int):
        check_integer("cv", cv, 2, "folds")
        if n < cv:
            return leaks
        stratified = codes is not None and np.bincount(codes).max() >= cv
        cv = (StratifiedKFold if stratified else KFold)(cv, shuffle=True, random_state=random_state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes with fewer images than folds
        for train, test in cv.split(np.zeros((n, 1)), codes):
            leaks[test] |= np.isin(groups[test], groups[train])
    return leaks


def _conflicts(groups: NDArray[np.intp], codes: NDArray[np.intp] | None) -> NDArray[np.bool_]:
    if codes is None:
        return np.zeros(len(groups), bool)
    lowest, highest = np.full(len(groups), len(codes)), np.full(len(groups), -1)
    np.minimum.at(lowest, groups, codes)
    np.maximum.at(highest, groups, codes)
    conflicts: NDArray[np.bool_] = (lowest < highest)[groups]
    return conflicts


def _last_average(features: DeepFeatureTransformer) -> slice:
    """Find the columns of the average of the last stage."""
    plan = features.plan_
    return next(
        columns
        for slot, columns in plan.columns.items()
        if slot.layer == plan.layers[-1] and slot.pooling == "avg"
    )
