"""Labels and how sure a classifier is of them, with one pass of the images through its network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.pipeline import Pipeline

from sktransfer.adaptation import DomainAlignedClassifier
from sktransfer.adaptation.domains import SOURCE
from sktransfer.adaptation.estimator import AdaptedClassifier
from sktransfer.finetuning import FineTuneClassifier

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["predict_with_confidence"]


def predict_with_confidence(
    estimator: Any, X: Any, *, of_source: bool = False
) -> tuple[NDArray[np.generic], NDArray[np.float32] | None]:
    """Predict the labels of images as `predict` does, and tell how sure each is.

    Parameters
    ----------
    estimator : classifier
        Fitted.
    X : images
    of_source : bool, default=False
        Whether the images are of the source of an adaptation, which may treat each domain by itself;
        otherwise they are taken for the target's.

    Returns
    -------
    labels : ndarray of shape (n_images,)
    confidence : ndarray of shape (n_images,), dtype float32, or None
        Highest probability, or else the margin of the decision; None where there is neither.

    Raises
    ------
    ImageDecodeError
        If an image cannot be read, where `predict` raises it.
    """
    if isinstance(estimator, Pipeline) and len(estimator.steps) > 1:
        vectors = estimator[:-1].transform(X)
        return predict_with_confidence(estimator.steps[-1][1], vectors, of_source=of_source)
    domain: dict[str, Any] = {}
    if of_source and isinstance(estimator, AdaptedClassifier | DomainAlignedClassifier):
        domain = {"sample_domain": np.full(len(X), SOURCE)}
    if isinstance(estimator, FineTuneClassifier | AdaptedClassifier):
        probabilities = estimator.predict_proba(X, **domain)
        if np.isfinite(probabilities).all():  # otherwise `predict` says which image it was
            labels = estimator.classes_[probabilities.argmax(axis=1)]
            return labels, probabilities.max(axis=1).astype(np.float32)
    return np.asarray(estimator.predict(X, **domain)), _confidence(estimator, X, domain)


def _confidence(estimator: Any, X: Any, domain: dict[str, Any]) -> NDArray[np.float32] | None:
    if hasattr(estimator, "predict_proba"):
        probabilities = estimator.predict_proba(X, **domain)
        highest: NDArray[np.float32] = probabilities.max(axis=1).astype(np.float32)
        return highest
    if not hasattr(estimator, "decision_function"):
        return None
    decision = np.asarray(estimator.decision_function(X, **domain), dtype=np.float32)
    if decision.ndim == 1:
        return np.abs(decision)
    two = np.partition(decision, -2, axis=1)[:, -2:]
    margin: NDArray[np.float32] = two[:, 1] - two[:, 0]
    return margin
