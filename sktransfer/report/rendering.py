"""`render_report`: what a comparison found, put together and written."""

from __future__ import annotations

import datetime as dt
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone

from sktransfer.adaptation.target_rows import check_target_labels, split_target
from sktransfer.features.pipelines import split_pipeline
from sktransfer.formatting import counted
from sktransfer.labels import as_label_array
from sktransfer.plotting.scoring import folds_of, name_of_score
from sktransfer.readable import readable
from sktransfer.report.answer import answer_section, recommendation_section
from sktransfer.report.examples import examples_section, hold_out
from sktransfer.report.feature_plots import evidence_section
from sktransfer.report.findings import audit_section
from sktransfer.report.mask_examples import mask_examples_section
from sktransfer.report.mistakes import mistakes_section
from sktransfer.report.page import Section, make_page, or_sentence, paragraphs
from sktransfer.report.reproduction import code_of
from sktransfer.report.scores import plots_section, table_section
from sktransfer.segmentation.estimator import MaskEstimator
from sktransfer.segmentation.masks import stack_masks
from sktransfer.writing import check_writable, whole_file

if TYPE_CHECKING:
    import os

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

__all__ = ["render_report"]

_OF_UNLABELLED = ("unlabelled", "distilled")

# Images beside the labelled ones, without which a winner cannot be fitted again.
_NEEDS = {
    "adaptation": "X_target",
    "unlabelled": "X_unlabeled",
    "distilled": "X_unlabeled",
}


def render_report(
    comparison: Any,
    path: str | os.PathLike[str],
    *,
    X: object = None,
    y: ArrayLike | None = None,
    X_target: object = None,
    y_target: ArrayLike | None = None,
    unlabeled: object = None,
    X_unlabeled: object = None,
    audit: pd.DataFrame | None = None,
    recommendation: object = None,
    title: str = "Which strategy for these images?",
) -> Path:
    """Write a comparison as one HTML file that holds everything it shows.

    The file can be sent and opened anywhere: it loads nothing, runs no script, reads well on a phone
    and follows the reader's choice of light or dark.

    Parameters
    ----------
    comparison : StrategyComparison
        As :func:`~sktransfer.compare_strategies` returns it.
    path, X, y, X_target, y_target, unlabeled, X_unlabeled, audit, recommendation
        As in :meth:`~sktransfer.StrategyComparison.to_html`. With `X` and `y` the winner is fitted
        again, on all folds if that takes two minutes at most, otherwise on the first; one that has
        adapted to a target, or learned from images without labels, can only be fitted again with these.
    title : str, default="Which strategy for these images?"
        Heading of the page.

    Returns
    -------
    Path
        Path of the file.

    Raises
    ------
    ImportError, ValueError
        As from :meth:`~sktransfer.StrategyComparison.to_html`.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sktransfer import compare_strategies
    >>> from sktransfer.datasets import load_digit_images
    >>> from sktransfer.raw_pixels import PixelTransformer
    >>> X, y = load_digit_images(return_X_y=True)
    >>> dummy = make_pipeline(PixelTransformer(4), DummyClassifier())
    >>> comparison = compare_strategies(X[:60], y[:60], candidates={"dummy": dummy}, cv=2)
    >>> render_report(comparison, "report.html").read_text()[:15]
    '<!DOCTYPE html>'
    """
    check_writable("path", Path(path))
    results = comparison.results_
    finished = results[results["score_mean"].notna()]
    fold_scores = getattr(comparison, "fold_scores_", None)
    scoring = _scoring(comparison)
    of_masks = isinstance(comparison.best_estimator_, MaskEstimator)
    masks = _checked_masks(X, y) if of_masks else None
    labels = None if of_masks else _checked_labels(X, y)
    if labels is not None:
        X, labels, _, X_target = split_target(X, labels, None, X_target, unlabeled)
    target_labels = check_target_labels(X_target, y_target)
    score_name = _score_name(comparison, scoring, labels)
    n_folds = 0 if fold_scores is None else len(fold_scores)
    sections = [
        answer_section(
            finished,
            n_folds,
            score_name,
            getattr(comparison, "backbone_note_", ""),
            getattr(comparison, "scoring_reason_", ""),
            getattr(comparison, "unlabeled_note_", ""),
            optimism=float(getattr(comparison, "optimism_", np.nan)),
        ),
        or_sentence(
            "How good, and at what cost", lambda: plots_section(finished, fold_scores, score_name)
        ),
        table_section(results, score_name),
    ]
    if recommendation is not None:
        sections.append(recommendation_section(recommendation))
    if labels is not None:
        more = {"X_target": X_target, "y_target": target_labels, "X_unlabeled": X_unlabeled}
        sections += _of_images(comparison, X, labels, more, scoring)
    if masks is not None:
        sections.append(or_sentence("What it predicts", lambda: _of_masks(comparison, X, masks)))
    if audit is not None:
        shape = getattr(_first_step(comparison.best_estimator_), "image_shape", None)
        sections.append(
            or_sentence("The images themselves", lambda: audit_section(audit, X, image_shape=shape))
        )
    sections.append(or_sentence("The code", lambda: _code_section(comparison)))
    page = make_page(
        title,
        _subtitle(labels, masks, fold_scores, X_target, target_labels, X_unlabeled),
        sections,
        _footer(),
    )
    target = Path(path)
    with whole_file(target) as unfinished:
        unfinished.write_text(readable(page, keep="\n\t"), encoding="utf-8")
    return target


def _of_images(
    comparison: Any,
    X: Any,
    y: NDArray[np.generic],
    more: dict[str, Any],
    scoring: object,
) -> list[Section]:
    """Make the sections that need the images; `more` are those beside the labelled ones."""
    folds = _folds(comparison, y)
    winner = comparison.results_.iloc[0]
    sections = []

    def examples() -> Section:
        seconds = float(winner.get("fit_seconds", np.nan))
        held = hold_out(comparison.best_estimator_, X, y, folds, seconds, **more)
        return examples_section(str(winner["candidate"]), held)

    needed = _NEEDS.get(winner.get("strategy"))
    if needed is None or more[needed] is not None:
        sections.append(or_sentence("What it gets right and wrong", examples))
    mistakes = getattr(comparison, "mistakes_", None)
    if mistakes is not None and len(mistakes):
        scored = X if more["y_target"] is None else more["X_target"]
        shape = getattr(_first_step(comparison.best_estimator_), "image_shape", None)
        shown = partial(mistakes_section, mistakes, scored, image_shape=shape)
        sections.append(or_sentence("All its mistakes", shown))
    featured = _best_with_features(comparison)
    if featured is not None:
        made = partial(evidence_section, featured, X, y, folds, scoring)
        sections.append(or_sentence("What the features tell", made))
    return sections


def _of_masks(comparison: Any, X: Any, masks: NDArray[np.generic]) -> Section:
    """Show what the winner predicts of the images of the first fold."""
    fold = _folds(comparison, np.zeros(len(masks)))[0]
    name = str(comparison.results_["candidate"].iloc[0])
    return mask_examples_section(name, comparison.best_estimator_, X, masks, fold)


def _best_with_features(comparison: Any) -> object:
    """Find the best candidate that begins with features and needs no unlabelled images."""
    results = comparison.results_
    of_labelled = results.iloc[0].get("strategy") not in _OF_UNLABELLED
    if of_labelled and split_pipeline(comparison.best_estimator_)[0] is not None:
        return comparison.best_estimator_
    searches = getattr(comparison, "searches_", {})
    for record in results[results["score_mean"].notna()].to_dict("records"):
        search = searches.get(record["candidate"])
        if search is not None and record.get("strategy") not in _OF_UNLABELLED:
            estimator = clone(search.estimator).set_params(**record["best_params"])
            if split_pipeline(estimator)[0] is not None:
                return estimator
    return None


def _folds(
    comparison: Any, y: NDArray[np.generic]
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Take the folds that were compared on, or as many."""
    search = getattr(comparison, "searches_", {}).get(comparison.results_["candidate"].iloc[0])
    if search is not None and search.cv is not None:
        return folds_of(search.cv, y, 0)
    fold_scores = getattr(comparison, "fold_scores_", None)
    return folds_of(5 if fold_scores is None else len(fold_scores), y, 0)


def _scoring(comparison: object) -> object:
    searches = getattr(comparison, "searches_", {})
    return next((search.scoring for search in searches.values()), None)


def _score_name(comparison: Any, scoring: Any, y: NDArray[np.generic] | None) -> str:
    if scoring is None and isinstance(comparison.best_estimator_, MaskEstimator):
        return "Mean IoU"
    classes = getattr(comparison.best_estimator_, "classes_", None)
    known = y if y is not None else classes
    return "Score" if known is None else name_of_score(scoring, known)


def _checked_labels(X: Any, y: ArrayLike | None) -> NDArray[np.generic] | None:
    if X is None:
        return None
    if y is None:
        raise ValueError("X is given without y. Pass y=..., the labels of these images, too.")
    labels = as_label_array(y)
    if len(labels) != len(X):
        raise ValueError(
            f"X has {len(X)} images and y {len(labels)} labels. Pass those that were compared on."
        )
    return labels


def _checked_masks(X: Any, y: Any) -> NDArray[np.generic] | None:
    if X is None:
        return None
    if y is None or len(y) != len(X):
        n_masks = 0 if y is None else len(y)
        raise ValueError(
            f"X has {len(X)} images and y {n_masks} masks. Pass those that were compared on."
        )
    return stack_masks(list(y), as_one=False)


def _first_step(estimator: object) -> object:
    while hasattr(estimator, "steps"):
        estimator = estimator.steps[0][1]
    return estimator


def _code_section(comparison: Any) -> Section:
    name = str(comparison.results_["candidate"].iloc[0])
    lead = paragraphs(f"This makes {name} with the setting that was chosen, and fits it:")
    code = escape(code_of(comparison.best_estimator_))
    return Section(
        "The code that reproduces the winner",
        f'{lead}\n<pre tabindex="0" role="region" aria-label="Python code"><code>{code}</code></pre>',
    )


def _subtitle(
    y: NDArray[np.generic] | None,
    masks: NDArray[np.generic] | None,
    fold_scores: pd.DataFrame | None,
    X_target: Any,
    y_target: NDArray[np.generic] | None,
    X_unlabeled: Any,
) -> str:
    parts = []
    if masks is not None:
        parts.append(f"{counted(len(masks), 'image')} with masks")
    if y is not None:
        classes, counts = np.unique(y, return_counts=True)
        parts.append(counted(len(y), "image"))
        if len(classes) <= 4:
            parts.append(", ".join(f"{c}: {n:,}" for c, n in zip(classes, counts, strict=True)))
        else:
            parts.append(f"{len(classes)} classes of {counts.min():,} to {counts.max():,} images")
    if fold_scores is not None:
        parts.append(f"the same {counted(len(fold_scores), 'fold')} for all candidates")
    if X_target is not None:
        does = "unlabelled" if y_target is None else "only scored on"
        parts.append(f"{counted(len(X_target), 'image')} of a target, {does}")
    if X_unlabeled is not None:
        parts.append(f"{counted(len(X_unlabeled), 'image')} without labels")
    return " · ".join(parts)


def _footer() -> str:
    from sktransfer import __version__

    today = dt.datetime.now(tz=dt.timezone.utc).date()
    return f"Made by sktransfer {__version__} on {today:%d %B %Y}. This file loads nothing."
