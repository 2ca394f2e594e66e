"""Rows without labels beside labelled ones, of a target or not: set apart, checked, and passed to `fit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from sktransfer.adaptation.domains import as_labels
from sktransfer.images.indexing import join, take
from sktransfer.labels import check_lengths, is_unlabeled

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["check_target_labels", "fit_on", "last_step", "learns_from_unlabelled", "split_target"]


def split_target(
    X: object, y: object, groups: object, X_target: object, unlabeled: object
) -> tuple[Any, Any, Any, Any]:
    """Set rows apart whose label says that there is none.

    Parameters
    ----------
    X, y, groups : images, and array-like of shape (n_images,); `groups` may be None
    X_target : images or None
        Returned as they are if `unlabeled` is None.
    unlabeled : object or None
        The label.

    Returns
    -------
    X, y, groups, X_target
        Labelled rows, and the images of the others.

    Raises
    ------
    ValueError
        If both `X_target` and `unlabeled` are given, or no row has this label.

    Examples
    --------
    >>> split_target(["a.png", "b.png", "c.png"], [1, -1, 0], None, None, -1)
    (['a.png', 'c.png'], array([1, 0]), None, ['b.png'])
    """
    if unlabeled is None:
        return X, y, groups, X_target
    if X_target is not None:
        raise ValueError(
            f"X_target and unlabeled={unlabeled!r} are both given. Give the images of the target "
            "one way or the other."
        )
    labels = as_labels(y)
    is_target = is_unlabeled(labels, unlabeled)
    if not is_target.any():
        raise ValueError(
            f"unlabeled={unlabeled!r} is the label of no row of y. Give the label that marks images "
            "of the target, or None if there are none."
        )
    labelled, target = np.flatnonzero(~is_target), np.flatnonzero(is_target)
    groups = None if groups is None else np.asarray(groups)[labelled]
    return take(X, labelled), labels[labelled], groups, take(X, target)


def check_target_labels(
    X_target: object, y_target: ArrayLike | None, classes: NDArray[np.generic] | None = None
) -> NDArray[np.generic] | None:
    """Return the labels of the target, which only score, as an array; None if there are none.

    Raises
    ------
    ValueError
        If there are labels and no images, or not as many, or none is of the classes of the source.
    """
    if y_target is None:
        return None
    if X_target is None:
        raise ValueError("y_target is given without images. Pass X_target, or unlabeled, too.")
    labels: NDArray[np.generic] = as_labels(y_target)
    check_lengths(X_target=X_target, y_target=labels)
    if classes is not None and not set(labels.tolist()) & set(classes.tolist()):
        raise ValueError(
            f"y_target holds no label of y: {labels.tolist()[0]!r}, for example, while y has the classes "
            f"{', '.join(map(repr, classes.tolist()[:5]))}{', ...' if len(classes) > 5 else ''}. Label "
            "both domains by the same names."
        )
    return labels


def fit_on(
    estimator: Any, X: Any, y: NDArray[np.generic], X_target: Any, X_unlabeled: Any = None
) -> object:
    """Fit an estimator, on images without labels too if it takes them.

    Parameters
    ----------
    estimator : estimator
        Is fitted.
    X, y : images and ndarray of shape (n_images,)
        Labelled images.
    X_target : images or None
        Unlabelled images of a target domain, for one whose `fit` takes domains.
    X_unlabeled : images or None
        Unlabelled images like the labelled ones, for one that `learns_from_unlabelled`.

    Raises
    ------
    ValueError
        If the label by which it knows unlabelled rows is that of a class.
    """
    if X_unlabeled is not None and learns_from_unlabelled(estimator):
        marker = last_step(estimator).unlabeled
        if is_unlabeled(y, marker).any():
            raise ValueError(
                f"unlabeled={marker!r} is the label of labelled images. Set unlabeled=None, or to "
                "another label that no class has."
            )
        labels = np.concatenate([y.astype(object), np.full(len(X_unlabeled), marker, object)])
        return estimator.fit(join(X, X_unlabeled), labels)
    parameter = _domain_parameter(estimator)
    if X_target is None or parameter is None:
        return estimator.fit(X, y)
    n_target = len(X_target)
    domains = np.repeat([0, -1], [len(y), n_target])
    labels = np.concatenate([y, np.repeat(y[:1], n_target)])  # the target's are not looked at
    return estimator.fit(join(X, X_target), labels, **{parameter: domains})


def _domain_parameter(estimator: Any) -> str | None:
    """Name the parameter by which `fit` is told the domains, of the last step of a pipeline too."""
    prefix = ""
    while isinstance(estimator, Pipeline):
        name, estimator = estimator.steps[-1]
        prefix += f"{name}__"
    return f"{prefix}sample_domain" if has_fit_parameter(estimator, "sample_domain") else None


def learns_from_unlabelled(estimator: Any) -> bool:
    """Tell whether an estimator, or the last step of a pipeline, takes rows without labels in its `fit`.

    Adaptations take them for another domain, and are not meant.

    Examples
    --------
    >>> from sklearn.svm import SVC
    >>> learns_from_unlabelled(SVC())
    False
    """
    last = last_step(estimator)
    return hasattr(last, "unlabeled") and not has_fit_parameter(last, "sample_domain")


def last_step(estimator: Any) -> Any:
    """Return the last step of a pipeline, also a nested one; anything else as it is."""
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    return estimator
