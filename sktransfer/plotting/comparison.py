"""`StrategyComparisonDisplay`: how good each candidate is, how sure that is, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.docstrings import documented
from sktransfer.parameters import check_choice
from sktransfer.plotting.canvas import ACCENT, MUTED, RELATED, axes_for, plain_text
from sktransfer.plotting.display import Display
from sktransfer.standings import interval_of_record, score_of_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["StrategyComparisonDisplay"]

_SIGNIFICANT = 0.05
_NEEDED = ("candidate", "score_mean", "score_std")
_BEST, _TIE, _WORSE = "best", "not shown to be worse (p ≥ 0.05)", "worse"


@documented
class StrategyComparisonDisplay(Display):
    """Candidates of a comparison, best first, with the score of each fold.

    Make it with :meth:`from_comparison`; draw it again with :meth:`plot`.

    Parameters
    ----------
    results : DataFrame
        One row for each candidate, best first, with the columns ``candidate``, ``score_mean`` and
        ``score_std``, and if there are such ``score_low``, ``score_high``, ``p_value`` and
        ``fit_seconds``. Candidates without a score are not drawn.
    fold_scores : DataFrame, default=None
        One row for each fold and one column for each candidate.
    score_name : str, default="Score"
        Name of the scores.

    See Also
    --------
    compare_strategies : Makes the comparison that is drawn.

    Examples
    --------
    >>> import pandas as pd
    >>> results = pd.DataFrame(
    ...     {"candidate": ["frozen", "scratch"], "score_mean": [0.9, 0.6], "score_std": [0.02, 0.1]}
    ... )
    >>> display = StrategyComparisonDisplay(results, score_name="accuracy").plot()
    >>> display.ax_.get_xlabel()
    'accuracy'
    """

    def __init__(
        self,
        results: pd.DataFrame,
        *,
        fold_scores: pd.DataFrame | None = None,
        score_name: str = "Score",
    ) -> None:
        self.results = results
        self.fold_scores = fold_scores
        self.score_name = score_name

    @classmethod
    def from_comparison(
        cls,
        comparison: Any,
        *,
        score_name: str = "Score",
        kind: str = "scores",
        ax: Axes | None = None,
    ) -> StrategyComparisonDisplay:
        """Draw what a comparison found; candidates that failed are left out.

        Parameters
        ----------
        comparison : StrategyComparison
            With ``results_``, and ``fold_scores_`` if it has such.
        score_name : str, default="Score"
            Name of the scores.
        kind : {"scores", "cost"}, default="scores"
            As in `plot`.
        ax : Axes, default=None
            None makes a new figure.

        Returns
        -------
        StrategyComparisonDisplay
        """
        folds = getattr(comparison, "fold_scores_", None)
        results = comparison.results_
        finished = results[results["score_mean"].notna()]
        display = cls(finished, fold_scores=folds, score_name=score_name)
        return display.plot(ax, kind=kind)

    def plot(self, ax: Axes | None = None, *, kind: str = "scores") -> StrategyComparisonDisplay:
        """Draw the scores of the candidates, or their scores against what they cost.

        Parameters
        ----------
        ax : Axes, default=None
            None makes a new figure.
        kind : {"scores", "cost"}, default="scores"
            "scores" is one line for each candidate: mean, its 95 % interval or else the standard
            deviation, and a dot for each fold. "cost" puts the mean over the seconds of a fit, in powers of ten.

        Returns
        -------
        StrategyComparisonDisplay
            Itself.

        Raises
        ------
        ValueError
            If `results` lacks a column, or `kind` is unknown.
        """
        check_choice("kind", kind, ("scores", "cost"))
        needed = (*_NEEDED, "fit_seconds") if kind == "cost" else _NEEDED
        missing = [name for name in needed if name not in self.results.columns]
        if missing or not len(self.results):
            problem = f"lacks {', '.join(map(repr, missing))}" if missing else "has no rows"
            raise ValueError(
                f"results {problem}. Pass the results_ of a comparison, with the columns "
                f"{', '.join(map(repr, needed))}."
            )
        n_rows = len(self._scored())
        height = 1.0 + 0.55 * n_rows if kind == "scores" else 3.2 + 0.2 * n_rows
        self.figure_, self.ax_ = axes_for(ax, height=height)
        if kind == "scores":
            self._plot_scores(self.ax_)
        else:
            self._plot_cost(self.ax_)
        return self

    def _plot_scores(self, ax: Axes) -> None:
        standings = self._standings()
        scored = self._scored()
        for row, (record, standing) in enumerate(zip(_records(scored), standings, strict=True)):
            mean, color = record["score_mean"], _COLORS[standing]
            low, high = interval_of_record(record)
            folds = self._folds(record["candidate"])
            ax.plot([low, high], [row, row], color=color, lw=1.5, solid_capstyle="round")
            ax.plot(folds, np.full(len(folds), row), "o", color=color, ms=4, mew=0)
            ax.plot([mean], [row], "D" if standing == _BEST else "o", color=color, ms=8, mew=0)
            strong = "bold" if standing == _BEST else "normal"
            self._write_above(ax, row, plain_text(record["candidate"]), "left", strong)
            self._write_above(ax, row, score_of_record(record), "right", strong)
        ax.set_ylim(len(scored) - 0.6, -0.75)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        ax.grid(axis="x", alpha=0.25)
        ax.margins(x=0.04)
        ax.set_xlabel(plain_text(self.score_name))
        self._add_legend(ax, standings)

    def _write_above(self, ax: Axes, row: int, text: str, side: str, weight: str) -> None:
        """Write on a candidate's line rather than beside it, where a phone has no room."""
        ax.annotate(
            text,
            (0.0 if side == "left" else 1.0, row),
            (0, 6),
            xycoords=ax.get_yaxis_transform(),
            textcoords="offset points",
            ha=side,
            va="bottom",
            weight=weight,
            annotation_clip=False,
        )

    def _plot_cost(self, ax: Axes) -> None:
        """Mark candidates by their rank, because names would cover each other where points do."""
        from matplotlib.ticker import LogLocator

        scored = self._scored()
        seconds = scored["fit_seconds"].clip(lower=1e-3)
        rows = zip(_records(scored), self._standings(), seconds, strict=True)
        for rank, (record, standing, x) in enumerate(rows, 1):
            mean, color = record["score_mean"], _COLORS[standing]
            ax.vlines(x, *interval_of_record(record), color=color, lw=1.5)
            name = f"{rank}  {plain_text(record['candidate'])}"
            ax.plot([x], [mean], "o", color=color, ms=13, mew=0)
            ink = _INKS[standing]
            number: dict[str, Any] = {"marker": f"${rank}$", "color": ink, "mec": ink, "mew": 0}
            ax.plot([x], [mean], ms=6 if rank < 10 else 9, zorder=4, **number)
            ax.plot([], [], " ", label=name)
        ax.set_xscale("log")
        low, high = ax.get_xlim()
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 3) if high < 1000 * low else (1,)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter("")
        ax.margins(x=0.1, y=0.1)
        ax.grid(alpha=0.25)
        ax.set_xlabel("Seconds to fit")
        ax.set_ylabel(plain_text(self.score_name))
        longest = max(len(str(name)) for name in self.results["candidate"])
        _legend_below(ax, ncols=2 if longest < 20 else 1, pad=4.2, handlelength=0)

    def _standings(self) -> list[str]:
        """Say of each candidate whether it is the best, tells itself apart from it, or neither."""
        if not self._is_tested():
            return [_BEST] + [_WORSE] * (len(self._scored()) - 1)
        apart = [
            record["p_value"] < _SIGNIFICANT or bool(record.get("note"))
            for record in _records(self._scored().iloc[1:])
        ]
        return [_BEST, *(_WORSE if worse else _TIE for worse in apart)]

    def _scored(self) -> pd.DataFrame:
        """Leave out what failed or was left out, which has nothing to show."""
        return self.results[self.results["score_mean"].notna()]

    def _is_tested(self) -> bool:
        return "p_value" in self.results.columns and bool(self.results["p_value"].notna().any())

    def _folds(self, candidate: str) -> Any:
        if self.fold_scores is None or candidate not in self.fold_scores.columns:
            return np.empty(0)
        return self.fold_scores[candidate].to_numpy()

    def _add_legend(self, ax: Axes, standings: Sequence[str]) -> None:
        if not self._is_tested():
            return
        for name, color in _COLORS.items():
            if name in standings:
                ax.plot([], [], "D" if name == _BEST else "o", color=color, mew=0, label=name)
        _legend_below(ax, ncols=3, pad=3.6, handletextpad=0.1, columnspacing=1)


_COLORS = {_BEST: ACCENT, _TIE: RELATED, _WORSE: MUTED}
_INKS = {_BEST: "white", _TIE: "black", _WORSE: "black"}  # of numbers on these


def _records(results: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in results.to_dict("records")]


def _legend_below(ax: Axes, *, ncols: int, pad: float, **options: object) -> None:
    ax.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        borderaxespad=pad,
        ncols=ncols,
        frameon=False,
        fontsize="small",
        **options,
    )
