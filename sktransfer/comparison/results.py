"""What a comparison found: the table, the scores behind it, and the winner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.dummy import DummyClassifier

from sktransfer.comparison.baseline import LARGEST_CLASS
from sktransfer.comparison.candidates import strategy_of
from sktransfer.comparison.grid_fit import best_setting
from sktransfer.comparison.significance import corrected_paired_ttest

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike
    from sklearn.model_selection import GridSearchCV

    from sktransfer.advice.recommendation import Recommendation
    from sktransfer.comparison.candidates import Candidate
    from sktransfer.comparison.grid_fit import Fit, Study
    from sktransfer.comparison.prefetch import Pass
    from sktransfer.plotting import StrategyComparisonDisplay

__all__ = ["StrategyComparison", "Tables", "tabulate"]


@dataclass(frozen=True, eq=False)
class StrategyComparison:
    """What :func:`~sktransfer.compare_strategies` found.

    Attributes
    ----------
    results_ : DataFrame, one row per candidate, best first
        The last row is "always the largest class", which wins over nothing and tells what a score
        is worth; it is left out where a scoring has no use for such an answer.
        ``candidate``
            Its name.
        ``strategy``
            "raw pixels", "features", "frozen", "partial", "full", "scratch", "adaptation",
            "largest class", or "other".
        ``best_params``
            The setting of its grid with the highest mean score, a dict; what follows is of this
            setting.
        ``score_mean``, ``score_std``
            Over the folds.
        ``p_value``
            Of the difference from the first row, by the corrected paired t-test; NaN in the first
            row, and in all if `y_target` was scored on, which is the same in every fold.
        ``n_settings``
            How many settings the grid held.
        ``fit_seconds``, ``predict_seconds``
            Mean time to fit on the training part of a fold and to score its test part, as if no
            feature had been in the store: the time that a stored feature once took is added.
        ``search_seconds``
            Time that all settings and folds took, added up over processes and interruptions, and
            without the one pass of all images through the network.
        ``peak_memory_bytes``
            The most that fitting and scoring on one fold, or the one pass through the network
            before, held beyond what the process held at its start; in main memory and on the GPU.
            A network that the process had loaded before is not in it. NaN where the system does
            not tell (all but Linux).
        ``size_bytes``
            Mean size of the pickle. Weights of a network that a pickle only refers to are not in
            it, and have to be where the model is used.
        ``error``
            Why a fit of every setting failed, or "". Such candidates come last, with a score of NaN.
    fold_scores_ : DataFrame of shape (n_folds, n_candidates)
        Score of each candidate's best setting on each fold; the columns are in the order of
        `results_`.
    fits_ : DataFrame, one row per candidate, setting and fold
        ``candidate``, ``params``, ``fold``, ``score``, ``fit_seconds``, ``predict_seconds``,
        ``wall_seconds``, ``peak_memory_bytes``, ``size_bytes``, and ``error``, why the fit failed,
        or "".
    best_estimator_ : estimator
        The winner with its best parameters, fitted on all images.
    searches_ : dict of str to GridSearchCV
        For each candidate the search over its grid, on the same folds; not fitted, because
        ``fits_`` holds what it would find.
    pass_seconds_ : float
        Time of the one pass of all images through the network; 0 if no candidate needed it.
    scoring_ : str, callable or None
        What was scored by; None is the `score` of the candidates, as for masks.
    scoring_reason_ : str
        Sentence on why it is not accuracy, if the images decided that; or "".

    Notes
    -----
    The mean score is that of the best of several settings on the folds that chose it, and so a
    little optimistic, more so with few images and for candidates with many settings. For a figure
    to publish, score ``best_estimator_`` on images that took no part in the comparison. The
    p-values are those of single tests against a winner that the same folds chose; with many
    candidates, some will be small by chance.

    Examples
    --------
    >>> from sktransfer import compare_strategies
    >>> from sktransfer.datasets import load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> pixels = ["raw pixels + logistic regression"]
    >>> found = compare_strategies(X[:100], y[:100], candidates=pixels, cv=2)
    >>> type(found).__name__, found.best_candidate_
    ('StrategyComparison', 'raw pixels + logistic regression')
    """

    results_: pd.DataFrame
    fold_scores_: pd.DataFrame
    fits_: pd.DataFrame
    best_estimator_: Any
    searches_: dict[str, GridSearchCV]
    pass_seconds_: float
    scoring_: str | Callable[..., float] | None = None
    scoring_reason_: str = ""

    @property
    def best_candidate_(self) -> str:
        """Name of the candidate with the highest mean score."""
        return str(self.results_["candidate"].iloc[0])

    @property
    def best_score_(self) -> float:
        """Mean score of the winner over the folds."""
        return float(self.results_["score_mean"].iloc[0])

    @property
    def best_params_(self) -> dict[str, object]:
        """Parameters of the winner that the grid chose."""
        return dict(self.results_["best_params"].iloc[0])

    def plot(self, ax: Axes | None = None) -> StrategyComparisonDisplay:
        """Draw the scores of all candidates, best first.

        Parameters
        ----------
        ax : Axes, default=None
            None makes a new figure.

        Returns
        -------
        StrategyComparisonDisplay
            With the figure in `figure_`.
        """
        from sktransfer.plotting import StrategyComparisonDisplay

        return StrategyComparisonDisplay.from_comparison(self, ax=ax)

    def to_html(
        self,
        path: str | os.PathLike[str],
        X: Any = None,
        y: ArrayLike | None = None,
        *,
        X_target: Any = None,
        y_target: ArrayLike | None = None,
        unlabeled: object = None,
        audit: pd.DataFrame | None = None,
        recommendation: Recommendation | None = None,
    ) -> Path:
        """Write what was found as one HTML file, which holds all that it shows.

        Parameters
        ----------
        path : str or path
            Of the file; one that is there is replaced.
        X, y : images and array-like of shape (n_images,), default=None
            Those that were compared on; with them the report also shows what the winner gets right
            and wrong, where it looks, and what the features tell.
        X_target : images, default=None
            Those of the target domain that were compared with: a winner that has adapted to them is
            shown at work only if they are given.
        y_target : array-like of shape (n_target_images,), default=None
            Their labels; the winner is then shown at work on the target.
        unlabeled : object, default=None
            The label of rows of `X` that are images of the target, in place of `X_target`.
        audit : DataFrame, default=None
            As :func:`~sktransfer.audit_images` returns it.
        recommendation : Recommendation, default=None
            As :func:`~sktransfer.recommend_strategy` returns it.

        Returns
        -------
        Path
            Of the file.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `X` is given without `y`, or they have different lengths; or as
            :func:`~sktransfer.compare_strategies` does, about the target.
        """
        from sktransfer.report import render_report

        return render_report(
            self,
            path,
            X=X,
            y=y,
            X_target=X_target,
            y_target=y_target,
            unlabeled=unlabeled,
            audit=audit,
            recommendation=recommendation,
        )


class Tables(NamedTuple):
    """The tables of a comparison, as in :class:`StrategyComparison`."""

    results: pd.DataFrame
    fold_scores: pd.DataFrame
    fits: pd.DataFrame


def tabulate(
    candidates: Mapping[str, Candidate],
    fits: Mapping[str, Sequence[Fit]],
    study: Study,
    passed: Pass,
) -> Tables:
    """Make the tables of a :class:`StrategyComparison`.

    Parameters
    ----------
    candidates : mapping of str to Candidate
        Candidates by their names.
    fits : mapping of str to sequence of Fit
        Fits of each, as `sktransfer.comparison.grid_fit.fit_grid` returns them.
    study : Study
        Images and folds on which they were made.
    passed : Pass
        Cost of the one pass, whose memory counts for those that use features.
    """
    import pandas as pd

    folds = study.folds
    best = {name: best_setting(of_one) for name, of_one in fits.items()}
    scores = {name: np.array([fit.score for fit in chosen]) for name, chosen in best.items()}
    # Stable: of equals, the first; those that failed are last.
    order = sorted(fits, key=lambda name: -np.nan_to_num(scores[name].mean(), nan=-np.inf))
    order = [name for name in order if not _is_blind(candidates, name)]
    order += [
        name for name in fits if _is_blind(candidates, name) and not np.isnan(scores[name].mean())
    ]
    n_train, n_test = (float(np.mean([len(fold[part]) for fold in folds])) for part in (0, 1))
    rows = []
    for name in order:
        chosen = best[name]
        difference = scores[order[0]] - scores[name]
        p_value = float("nan")
        if name != order[0] and study.y_target is None and not np.isnan(difference).any():
            p_value = corrected_paired_ttest(difference, n_train=n_train, n_test=n_test)
        params = dict(chosen[0].params)
        strategy = (
            "largest class"
            if _is_blind(candidates, name)
            else strategy_of(clone(candidates[name].estimator).set_params(**params))
        )
        peak = max(fit.peak_memory_bytes for fit in chosen)
        rows.append(
            {
                "candidate": name,
                "strategy": strategy,
                "best_params": params,
                "score_mean": float(scores[name].mean()),
                "score_std": float(scores[name].std()),
                "p_value": p_value,
                "n_settings": len(fits[name]) // len(folds),
                "fit_seconds": float(np.mean([fit.fit_seconds for fit in chosen])),
                "predict_seconds": float(np.mean([fit.predict_seconds for fit in chosen])),
                "search_seconds": float(np.nansum([fit.wall_seconds for fit in fits[name]])),
                "peak_memory_bytes": float(
                    max(peak, passed.peak_memory_bytes) if strategy == "features" else peak
                ),
                "size_bytes": float(np.mean([fit.size_bytes for fit in chosen])),
                "error": next((_said(fit) for fit in chosen if fit.error is not None), ""),
            }
        )
    fold_scores = pd.DataFrame(
        {name: scores[name] for name in order}, index=pd.RangeIndex(len(folds), name="fold")
    )
    every = [
        {"candidate": name, **vars(fit), "error": _said(fit)}
        for name in order
        for fit in fits[name]
    ]
    return Tables(pd.DataFrame(rows), fold_scores, pd.DataFrame(every))


def _is_blind(candidates: Mapping[str, Candidate], name: str) -> bool:
    return name == LARGEST_CLASS and isinstance(candidates[name].estimator, DummyClassifier)


def _said(fit: Fit) -> str:
    return "" if fit.error is None else f"{type(fit.error).__name__}: {fit.error}"
