"""What a comparison found: the table, the scores behind it, and the winner."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from sktransfer.standings import advised, score_of_record, ties

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike
    from sklearn.model_selection import GridSearchCV

    from sktransfer.advice.recommendation import Recommendation
    from sktransfer.plotting import StrategyComparisonDisplay

__all__ = ["StrategyComparison"]


@dataclass(frozen=True, eq=False, repr=False)
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
            "unlabelled" (features, and images without labels), "distilled" (from a better network, by
            such images), "largest class", or "other".
        ``best_params``
            The setting of its grid with the highest mean score, a dict; what follows is of this
            setting.
        ``score_mean``, ``score_std``
            Over the folds.
        ``score_low``, ``score_high``
            95 % interval of accuracy (Wilson) or balanced accuracy, from the predictions for images that
            were not seen; NaN for another scoring.
        ``p_value``
            Of the difference from the best, by the corrected paired t-test, adjusted for the number of
            candidates (Holm); NaN in the first row, for what was stopped or left out, and in all if
            `y_target` was scored on, which is the same in every fold. Of several with the highest
            mean, the largest p-value counts.
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
        ``note``
            Why the candidate was not fitted on every fold, or "": it could not reach the best any more
            (its figures are those of the folds that were done), or the time limit left it out.
        ``error``
            Why a fit of every setting failed, or "". Such candidates come last, with a score of NaN.
    fold_scores_ : DataFrame of shape (n_folds, n_candidates)
        Score of each candidate's best setting on each fold, NaN where it was not fitted; the columns are
        in the order of `results_`.
    fits_ : DataFrame, one row per candidate, setting and fold
        ``candidate``, ``params``, ``fold``, ``setting`` (its number in the grid), ``score``,
        ``fit_seconds``, ``predict_seconds``, ``wall_seconds``, ``peak_memory_bytes``,
        ``size_bytes``, and ``error``, why the fit failed, or "".
    best_estimator_ : estimator
        The winner with its best parameters, fitted on all images.
    searches_ : dict of str to GridSearchCV
        For each candidate the search over its grid, on the same folds; not fitted, because
        ``fits_`` holds what it would find. That of a candidate that learns from images without labels takes
        them too, with the label None.
    predictions_ : DataFrame, one row per fold and image of its test part
        ``fold``, ``image`` (row of `X`, or of the target if that was scored on), ``label``, and for each
        candidate the class that its best setting predicts without having seen the image, None where it was
        not fitted. Empty where the scoring is not of predicted classes.
    mistakes_ : DataFrame, one row per image that the winner gets wrong without having seen it
        ``image`` (row of `X`, or of the target), ``fold``, ``label``, ``predicted`` and ``confidence``,
        its probability or margin; surest first.
    optimism_ : float
        Expected excess of the highest mean over what the choice of candidate and setting by it is
        worth, by a bootstrap of the images (Tsamardinos et al., 2018; see
        `sktransfer.comparison.certainty.optimism_of`); NaN
        where the scoring is not of predicted classes.
    pass_seconds_ : float
        Time of the one pass of all images through the network; 0 if no candidate needed it.
    scoring_ : str, callable or None
        The scoring; None is the `score` of the candidates, as for masks.
    scoring_reason_ : str
        Sentence on why it is not accuracy, if the images decided that; or "".
    backbone_ : str, nn.Module, callable or BackboneSpec
        Network of the ready-made candidates.
    backbone_note_ : str
        Sentence on why it is not the default network; or "".
    unlabeled_note_ : str
        Sentence on whether the images without labels helped, or, where the target's labels score, whether
        adapting a network to it gained more than aligning stored features; or "" if there were none.

    See Also
    --------
    compare_strategies : Makes it.
    StrategyComparisonDisplay : Its plot.

    Notes
    -----
    The mean score is that of the best of several settings on the folds that chose it, and so a
    little optimistic, more so with few images and for candidates with many settings; ``optimism_``
    estimates by how much. For a figure to publish, score ``best_estimator_`` on images that took no part
    in the comparison.

    Examples
    --------
    >>> from sktransfer import compare_strategies
    >>> from sktransfer.datasets import load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> pixels = ["raw pixels + logistic regression"]
    >>> found = compare_strategies(X[:100], y[:100], candidates=pixels, cv=2, backbone="tiny")
    >>> type(found).__name__, found.best_candidate_
    ('StrategyComparison', 'raw pixels + logistic regression')
    """

    results_: pd.DataFrame
    fold_scores_: pd.DataFrame
    fits_: pd.DataFrame
    best_estimator_: Any
    searches_: dict[str, GridSearchCV]
    predictions_: pd.DataFrame
    mistakes_: pd.DataFrame
    optimism_: float
    pass_seconds_: float
    scoring_: str | Callable[..., float] | None = None
    scoring_reason_: str = ""
    backbone_: Any = ""
    backbone_note_: str = ""
    unlabeled_note_: str = ""

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

    @property
    def ties_(self) -> list[str]:
        """Names of the candidates that are not shown to be worse than the best, it first."""
        return ties(self.results_)

    @property
    def advised_candidate_(self) -> str:
        """Name of the tied candidate to take: the simplest of those as good as the best.

        As good is a mean score at most .01 lower; of classifiers on the same features one within a
        standard error, where the linear one comes first. Then the quickest.
        """
        return advised(self.results_)

    def __repr__(self) -> str:
        return (
            f"<StrategyComparison: {self.best_candidate_} is best of {len(self.results_)} candidates, "
            f"{score_of_record({str(key): value for key, value in self.results_.iloc[0].items()})}>"
        )

    def _repr_html_(self) -> str:
        """Show the answer and the table in a notebook."""
        shown = self.results_[["candidate", "score_mean", "p_value", "fit_seconds", "note"]].assign(
            score=[
                score_of_record({str(key): value for key, value in row.items()})
                if row["score_mean"] == row["score_mean"]
                else ""
                for row in self.results_.to_dict("records")
            ]
        )
        table = shown[["candidate", "score", "p_value", "fit_seconds", "note"]]
        html = table.to_html(index=False, na_rep="", float_format="{:.3f}".format)
        ties = ", ".join(self.ties_[1:])
        as_good = f" Not shown to be worse: {escape(ties)}." if ties else ""
        notes = [note for note in (self.backbone_note_, self.unlabeled_note_) if note]
        shown_notes = "".join(f"<p>{escape(note)}</p>" for note in notes)
        return f"<p><b>{escape(self.best_candidate_)}</b> is best.{as_good}</p>{shown_notes}{html}"

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
        X_unlabeled: Any = None,
        audit: pd.DataFrame | None = None,
        recommendation: Recommendation | None = None,
    ) -> Path:
        """Write what was found as one HTML file, which holds all that it shows.

        Parameters
        ----------
        path : str or path
            File to write; one that is there is replaced.
        X, y : images and array-like of shape (n_images,), or masks, default=None
            Those that were compared on; with them the report also shows what the winner gets right
            and wrong, where it looks, and what the features tell; or the best and worst masks.
        X_target : images, default=None
            Those of the target domain that were compared with: a winner that has adapted to them is
            shown at work only if they are given.
        y_target : array-like of shape (n_target_images,), default=None
            Their labels; the winner is then shown at work on the target.
        unlabeled : object, default=None
            The label of rows of `X` that are images of the target, in place of `X_target`.
        X_unlabeled : images, default=None
            Images without labels that were compared with: a winner that has learned from them is shown at
            work only if they are given.
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
            X_unlabeled=X_unlabeled,
            audit=audit,
            recommendation=recommendation,
        )
