"""What a comparison found: the table, the scores behind it, and the winner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone

from sktransfer.comparison.candidates import strategy_of
from sktransfer.comparison.grid_fit import MEASURES
from sktransfer.comparison.significance import corrected_paired_ttest

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray
    from sklearn.model_selection import GridSearchCV

    from sktransfer.advice.recommendation import Recommendation
    from sktransfer.comparison.grid_fit import Study
    from sktransfer.comparison.prefetch import Pass
    from sktransfer.plotting import StrategyComparisonDisplay

__all__ = ["StrategyComparison", "tabulate"]


@dataclass(frozen=True, eq=False)
class StrategyComparison:
    """What :func:`~sktransfer.compare_strategies` found.

    Attributes
    ----------
    results_ : DataFrame, one row per candidate, best first
        ``candidate``
            Its name.
        ``strategy``
            "raw pixels", "features", "frozen", "partial", "full", "scratch", "adaptation", or
            "other".
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
    fold_scores_ : DataFrame of shape (n_folds, n_candidates)
        Score of each candidate's best setting on each fold; the columns are in the order of
        `results_`.
    best_estimator_ : estimator
        The winner with its best parameters, fitted on all images.
    searches_ : dict of str to GridSearchCV
        Every search with its ``cv_results_``, which also hold each measure of each fold.
    pass_seconds_ : float
        Time of the one pass of all images through the network; 0 if no candidate needed it.

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
    best_estimator_: Any
    searches_: dict[str, GridSearchCV]
    pass_seconds_: float

    @property
    def best_candidate_(self) -> str:
        """Name of the candidate with the highest mean score."""
        return str(self.results_["candidate"].iloc[0])

    @property
    def best_score_(self) -> float:
        """Mean score of the winner over the folds."""
        return float(self.results_["score_mean"].iloc[0])

    @property
    def best_params_(self) -> dict[str, Any]:
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
        unlabeled: Any = None,
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


def tabulate(
    searches: Mapping[str, GridSearchCV], study: Study, passed: Pass
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make the two tables of a :class:`StrategyComparison` from its searches.

    Parameters
    ----------
    searches : mapping of str to GridSearchCV
        As returned by `sktransfer.comparison.grid_fit.search_grid`.
    study : Study
        On which they were made.
    passed : Pass
        Whose memory counts for those that use features.

    Returns
    -------
    results, fold_scores : DataFrame
    """
    import pandas as pd

    folds = study.folds
    measured = {name: _of_folds(search, len(folds)) for name, search in searches.items()}
    scores = {name: cell["score"] for name, cell in measured.items()}
    order = sorted(searches, key=lambda name: -scores[name].mean())  # stable: of equals, the first
    n_train, n_test = (float(np.mean([len(fold[part]) for fold in folds])) for part in (0, 1))
    rows = []
    for name in order:
        search, cells = searches[name], measured[name]
        difference = scores[order[0]] - scores[name]
        p_value = corrected_paired_ttest(difference, n_train=n_train, n_test=n_test)
        if name == order[0] or study.y_target is not None:
            p_value = float("nan")  # nothing to compare with; or folds that share their test images
        strategy = strategy_of(clone(search.estimator).set_params(**search.best_params_))
        peak = cells["peak_memory_bytes"].max()
        rows.append(
            {
                "candidate": name,
                "strategy": strategy,
                "best_params": search.best_params_,
                "score_mean": float(cells["score"].mean()),
                "score_std": float(cells["score"].std()),
                "p_value": p_value,
                "n_settings": len(search.cv_results_["params"]),
                "fit_seconds": float(cells["fit_seconds"].mean()),
                "predict_seconds": float(cells["predict_seconds"].mean()),
                "search_seconds": _total_seconds(search, len(folds)),
                "peak_memory_bytes": float(
                    max(peak, passed.peak_memory_bytes) if strategy == "features" else peak
                ),
                "size_bytes": float(cells["size_bytes"].mean()),
            }
        )
    fold_scores = pd.DataFrame(
        {name: scores[name] for name in order}, index=pd.RangeIndex(len(folds), name="fold")
    )
    return pd.DataFrame(rows), fold_scores


def _of_folds(search: GridSearchCV, n_folds: int) -> dict[str, NDArray[np.float64]]:
    """Collect what was measured of the best setting, fold by fold."""
    found, best = search.cv_results_, search.best_index_
    return {
        measure: np.array([found[f"split{fold}_test_{measure}"][best] for fold in range(n_folds)])
        for measure in MEASURES
    }


def _total_seconds(search: GridSearchCV, n_folds: int) -> float:
    found = search.cv_results_
    return float(sum(found[f"split{fold}_test_wall_seconds"].sum() for fold in range(n_folds)))
