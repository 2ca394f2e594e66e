"""Examples: images that the winner has not seen, what it says of them, and where it looks."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.metrics import ConfusionMatrixDisplay

from sktransfer.adaptation.target_rows import fit_on
from sktransfer.formatting import counted
from sktransfer.images.indexing import take
from sktransfer.plotting.canvas import import_matplotlib, plain_text
from sktransfer.plotting.overlay import overlays
from sktransfer.proportions import wilson_interval
from sktransfer.report.page import Section, paragraphs
from sktransfer.report.pictures import image_tag, name_of, plot_figure
from sktransfer.saliency import saliency_maps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["HeldOut", "examples_section", "hold_out"]

_MOST = 4  # examples that are right, and as many that are wrong
_AFFORDABLE_SECONDS = 120.0
_FEW = 10  # images of a class, below which its recall is no verdict
_MANY_CLASSES = 20  # from which on a confusion matrix is unreadable

_HOW = {
    "cam": "Orange speaks for the class that the model decided for, blue against it; together they "
    "add up to the decision value.",
    "grad_cam": "Orange speaks for the class that the model decided for (Grad-CAM).",
    "occlusion": "Orange: covering this place makes the decision weaker; blue: stronger.",
}


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What copies of the winner say of images whose labels they were not given.

    Parameters
    ----------
    X, y : images and ndarray of shape (n_images,)
        Images and labels of the target if it has labels, otherwise those that were compared on.
    of_target : bool
        Whether they are the target's.
    model : estimator
        Fitted on the training part of the first fold.
    first : ndarray of int
        Rows of `X` that this model predicted: all of the target, or the test part of the fold.
    rows : ndarray of int
        Rows of all that was predicted.
    predicted : ndarray
        Labels of `rows`.
    """

    X: object
    y: NDArray[np.generic]
    of_target: bool
    model: object
    first: NDArray[np.intp]
    rows: NDArray[np.intp]
    predicted: NDArray[np.generic]


def hold_out(
    estimator: object,
    X: object,
    y: NDArray[np.generic],
    folds: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]],
    fit_seconds: float,
    *,
    X_target: object = None,
    y_target: NDArray[np.generic] | None = None,
    X_unlabeled: object = None,
) -> HeldOut:
    """Fit copies of an estimator on folds and predict what each has not seen.

    Parameters
    ----------
    estimator : estimator
        Stays as it is.
    X, y : images and ndarray of shape (n_images,)
        Labelled images.
    folds : sequence of (train, test)
        All of them are used if that takes two minutes at most, otherwise the first.
    fit_seconds : float
        Seconds of one fit; NaN if unknown, which counts as long.
    X_target : images or None
        Unlabelled images of a target domain, for an estimator that adapts to it.
    y_target : ndarray of shape (n_target_images,) or None
        Labels of these: then they are predicted, by the copy of the first fold.
    X_unlabeled : images or None
        Images without labels, for an estimator that learns from them.
    """

    def fitted(rows: NDArray[np.intp]) -> Any:
        return fit_on(clone(estimator), take(X, rows), y[rows], X_target, X_unlabeled)

    if y_target is not None:
        model, rows = fitted(folds[0][0]), np.arange(len(y_target))
        said = np.asarray(model.predict(X_target))
        return HeldOut(X_target, y_target, True, model, rows, rows, said)
    affordable = fit_seconds * len(folds) <= _AFFORDABLE_SECONDS
    used = list(folds) if affordable else list(folds[:1])
    models: list[Any] = []
    predicted = []
    for train, test in used:
        model = fitted(train)
        predicted.append(np.asarray(model.predict(take(X, test))))
        models = models or [model]
    rows = np.concatenate([test for _, test in used])
    return HeldOut(X, y, False, models[0], used[0][1], rows, np.concatenate(predicted))


def examples_section(name: str, held: HeldOut) -> Section:
    """Show what is taken for what, and images of the first fold, or of the target, with saliency.

    Parameters
    ----------
    name : str
        Name of the candidate.
    held : HeldOut
        Its predictions of images whose labels it was not given.
    """
    X, y = held.X, held.y
    said = held.predicted[: len(held.first)]
    wrong = held.first[said != y[held.first]]
    right = held.first[said == y[held.first]]
    chosen = np.concatenate([wrong[:_MOST], _one_of_each(right, y)[:_MOST]])
    found = saliency_maps(held.model, take(X, chosen))
    shown = overlays(found)
    items = [
        _example(X, int(row), y[row], found.targets[i], found.pixels[i], shown[i])
        for i, row in enumerate(chosen)
    ]
    share = counted(len(wrong), "mistake")
    which = (
        f"of the target, whose labels {name} was not given"
        if held.of_target
        else f"of one fold, to which {name} was not fitted"
    )
    lead = (
        f"{share[0].upper()}{share[1:]} on {counted(len(held.first), 'image')} {which}. "
        "Above, what it saw; below, where it looked."
    )
    samples = f'<ul class="samples">{"".join(items)}</ul>'
    body = [
        _confusion_plot(held),
        _recall_table(held),
        "<h3>Where it looks</h3>",
        paragraphs(lead, _HOW[found.method]),
        samples,
    ]
    return Section("What it gets right and wrong", "\n".join(body))


def _confusion_plot(held: HeldOut) -> str:
    """Draw which classes are taken for which; empty if there are too many classes to read it."""
    classes = np.unique(np.concatenate([held.y, held.predicted]))
    if len(classes) > _MANY_CLASSES:
        return ""
    true = held.y[held.rows]
    plt = import_matplotlib()
    side = max(3.4, min(6.0, 0.42 * len(classes) + 1.6))

    def draw() -> object:
        _, ax = plt.subplots(figsize=(side, side), layout="constrained")
        shown = ConfusionMatrixDisplay.from_predictions(
            true,
            held.predicted,
            labels=classes,
            display_labels=[plain_text(label) for label in classes],
            cmap="Blues",
            colorbar=False,
            ax=ax,
        )
        if max(len(str(label)) for label in classes) > 2:  # long names end below their columns
            plt.setp(ax.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
        return shown

    which = "of the target" if held.of_target else "that were held out"
    n_right = int((true == held.predicted).sum())
    often = _most_confused(true, held.predicted)
    return plot_figure(
        draw,
        f"Confusion matrix: {n_right} of {len(true)} images on the diagonal. {often}",
        f"{n_right} of {counted(len(true), 'image')} {which} are right. {often}",
    )


def _recall_table(held: HeldOut) -> str:
    """Tell of each class how many of its images are right, and of which too few were tested."""
    true = held.y[held.rows]
    rows = []
    for label in np.unique(true):
        of_class = true == label
        n, hits = int(of_class.sum()), int((held.predicted[of_class] == label).sum())
        low, high = wilson_interval(hits, n)
        text = f"{hits / n:.2f} ({low:.2f} to {high:.2f})"
        if n < _FEW:
            text = f"{hits} of {n}: too few images for a verdict"
        rows.append((hits / n, escape(str(label)), f"{n:,}", text))
    rows = sorted(rows)[:_MANY_CLASSES]  # stable for equals: by name
    body = "".join(
        f'<tr role="row"><th scope="row" role="rowheader">{label}</th>'
        f'<td role="cell" data-label="Images">{n}</td>'
        f'<td role="cell" data-label="Found (recall)">{text}</td></tr>\n'
        for _, label, n, text in rows
    )
    head = "".join(
        f'<th scope="col" role="columnheader">{text}</th>'
        for text in ("Class", "Images", "Found (recall)")
    )
    caption = (
        "Worst class first: the share of its images that are called what they are, with the "
        "interval of 95 %."
    )
    return (
        f'<table role="table"><caption>{caption}</caption><thead role="rowgroup">'
        f'<tr role="row">{head}</tr></thead><tbody role="rowgroup">{body}</tbody></table>'
    )


def _example(
    X: object,
    row: int,
    label: object,
    said: object,
    pixels: NDArray[np.uint8],
    shown: NDArray[np.uint8],
) -> str:
    name = name_of(X, row)
    verdict = f"{said}" if said == label else f"said {said}, labelled {label}"
    kind = "" if said == label else ' class="wrong"'
    return (
        f"<li><figure>{image_tag(pixels, f'{name}, labelled {label}, as the model saw it')}"
        f"{image_tag(shown, f'The same with what speaks for {said} in orange')}"
        f"<figcaption><span{kind}>{escape(verdict)}</span><br>{escape(name)}</figcaption></figure></li>"
    )


def _one_of_each(rows: NDArray[np.intp], y: NDArray[np.generic]) -> NDArray[np.intp]:
    """Order rows so that the first ones are of different classes."""
    seen: dict[object, int] = {}
    rank = []
    for label in y[rows].tolist():
        seen[label] = seen.get(label, 0) + 1
        rank.append(seen[label])
    return rows[np.argsort(rank, kind="stable")]


def _most_confused(true: NDArray[np.generic], said: NDArray[np.generic]) -> str:
    pairs: dict[tuple[str, str], int] = {}
    for one, other in zip(true[true != said].tolist(), said[true != said].tolist(), strict=True):
        pairs[str(one), str(other)] = pairs.get((str(one), str(other)), 0) + 1
    if not pairs:
        return ""
    (one, other), times = max(pairs.items(), key=lambda pair: pair[1])
    return f"Most often, {one} is taken for {other} ({counted(times, 'time')})."
