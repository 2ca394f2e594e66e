"""Decisions: what an estimator gives for each class, and which of it a map is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["classes_of", "decide", "target_columns"]


def classes_of(estimator: object) -> NDArray[np.generic] | None:
    """The classes of a classifier; None of a regressor."""
    classes = getattr(estimator, "classes_", None)
    return None if classes is None else np.asarray(classes)


def decide(estimator: object, X: object) -> NDArray[np.float64]:
    """Compute one column for each class, or for each output of a regressor.

    Parameters
    ----------
    estimator : estimator
        Fitted. Decision values if it has such, with one column for each class; otherwise
        probabilities, otherwise what it predicts.
    X : images or features
        Whatever `estimator` takes.

    Returns
    -------
    ndarray of shape (n_images, n_outputs), dtype float64
        A single decision value d becomes two columns, -d and d.

    Raises
    ------
    TypeError
        If it can do none of these.
    """
    classes = classes_of(estimator)
    if classes is None:
        return _columns(_method(estimator, "predict")(X))
    if hasattr(estimator, "decision_function"):
        values = _columns(estimator.decision_function(X))
        if values.shape[1] == 1 and len(classes) == 2:
            return np.hstack([-values, values])
        if values.shape[1] == len(classes):
            return values
    return _columns(_method(estimator, "predict_proba")(X))


def target_columns(
    target: object, classes: NDArray[np.generic] | None, values: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Find the column of `values` that each image's map is about.

    Parameters
    ----------
    target : label, array-like of labels or None
        None is the column of the largest value. Of a regressor it is the number of an output.
    classes : ndarray of shape (n_outputs,) or None
        Classes of a classifier.
    values : ndarray of shape (n_images, n_outputs)
        See `decide`.

    Raises
    ------
    ValueError
        If it is no class, or has another length than there are images.
    """
    n_images, n_outputs = values.shape
    if target is None:
        return values.argmax(1) if classes is not None else np.zeros(n_images, np.intp)
    known = np.arange(n_outputs) if classes is None else classes
    wanted = np.asarray(target)
    if wanted.ndim not in (0, 1) or (wanted.ndim == 1 and len(wanted) != n_images):
        raise ValueError(
            f"target has the shape {wanted.shape}, and there are {n_images} images. Pass one label, "
            "or one for each image."
        )
    labels = np.broadcast_to(wanted, n_images)
    columns = [np.flatnonzero(known == label) for label in labels]
    for label, found in zip(labels, columns, strict=True):
        if len(found) != 1:
            possible = ", ".join(map(repr, known.tolist()[:20]))
            raise ValueError(
                f"target={label!s} is no class of the estimator. Choose one of: {possible}."
            )
    return np.array([found[0] for found in columns], np.intp)


def _method(estimator: object, name: str) -> Any:
    if not hasattr(estimator, name):
        raise TypeError(
            f"estimator is a {type(estimator).__name__} without {name}, so that there is no decision "
            "to explain. Pass a fitted classifier or regressor of images."
        )
    return getattr(estimator, name)


def _columns(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    return array[:, None] if array.ndim == 1 else array
