"""Masks that the winner predicts of images that it has not seen: IoU of each label, worst and best."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone

from sktransfer.formatting import counted
from sktransfer.images.indexing import take
from sktransfer.plotting.segmentation import SegmentationDisplay
from sktransfer.report.page import Section, paragraphs
from sktransfer.report.pictures import name_of, plot_figure
from sktransfer.segmentation.scorer import MaskScorer

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["mask_examples_section"]

_MOST = 3  # images with the lowest, and as many with the highest score


def mask_examples_section(
    name: str,
    estimator: Any,
    X: Any,
    masks: NDArray[np.generic],
    fold: tuple[NDArray[np.intp], NDArray[np.intp]],
) -> Section:
    """Fit the winner to the training part of a fold, and show what it predicts of the other part.

    Parameters
    ----------
    name : str
        Name of the candidate.
    estimator : estimator of masks
        The winner; stays as it is.
    X : images
        Those that were compared on.
    masks : ndarray of shape (n_images,), dtype object
        Their masks.
    fold : (ndarray, ndarray)
        Rows of both parts.
    """
    train, test = fold
    model = clone(estimator).fit(take(X, train), masks[train])
    shown = take(X, test)
    predicted = model.predict(shown)
    scorer = MaskScorer(unlabeled=estimator.unlabeled)
    alone = np.array(
        [_score_alone(scorer, masks[row], mask) for row, mask in zip(test, predicted, strict=True)]
    )
    order = np.argsort(alone)[: np.isfinite(alone).sum()]
    parts = []
    for what, some in (("lowest", order[:_MOST]), ("highest", order[_MOST:][::-1][:_MOST])):
        if len(some):
            parts.append(_figure(what, some, alone, shown, predicted, masks[test], estimator))
    lead = (
        f"{counted(len(test), 'image')} of one fold, to which {name} was not fitted: the masks with the "
        "lowest and with the highest mean IoU, each beside the true one."
    )
    table = _table(scorer.scores_by_label(list(masks[test]), list(predicted)))
    plots = f'<div class="plots">{"".join(parts)}</div>'
    body = "\n".join([paragraphs(lead), plots, table])
    return Section("What it predicts", body)


def _score_alone(scorer: MaskScorer, true: Any, predicted: NDArray[np.generic]) -> float:
    """Score one mask; NaN if nothing in it counts."""
    try:
        return scorer.measure([true], [predicted])
    except ValueError:
        return float("nan")


def _figure(
    what: str,
    some: NDArray[np.intp],
    alone: NDArray[np.float64],
    X: Any,
    predicted: Any,
    true: NDArray[np.generic],
    estimator: Any,
) -> str:
    scores = ", ".join(f"{name_of(X, int(row))}: {alone[row]:.2f}" for row in some)
    return plot_figure(
        lambda: SegmentationDisplay.from_predictions(
            take(X, some),
            [predicted[row] for row in some],
            list(true[some]),
            unlabeled=estimator.unlabeled,
        ),
        f"Images with the {what} mean IoU, with predicted and true masks: {scores}.",
        f"The {what} mean IoU. {scores}.",
    )


def _table(scores: dict[object, float]) -> str:
    """Lay out the IoU of each label."""
    rows = "".join(
        f'<tr role="row"><th scope="row" role="rowheader">{escape(str(label))}</th>'
        f'<td role="cell" data-label="IoU">{score:.3f}</td></tr>\n'
        for label, score in scores.items()
    )
    heads = "".join(f'<th scope="col" role="columnheader">{text}</th>' for text in ("Label", "IoU"))
    return (
        '<table role="table"><caption>Over all of these images.</caption>'
        f'<thead role="rowgroup"><tr role="row">{heads}</tr></thead>'
        f'<tbody role="rowgroup">{rows}</tbody></table>'
    )
