"""A comparison in the terminal: a table of 80 columns, and below it what it means; or JSON."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any, cast

from sktransfer.cli.output import as_json, as_table, format_params
from sktransfer.formatting import as_p_value
from sktransfer.readable import readable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    import pandas as pd

    from sktransfer.cli.score import Scored
    from sktransfer.comparison import StrategyComparison

__all__ = ["json_of_comparison", "table_of", "text_of_comparison"]

_WIDTH = 80
_N_MISTAKES = 5


def text_of_comparison(
    comparison: StrategyComparison, *, target: str = "", names: Sequence[str] | None = None
) -> list[str]:
    """Write the table of a comparison and the sentences that belong to it.

    Parameters
    ----------
    comparison : StrategyComparison
        The comparison.
    target : str, default=""
        The images that were scored, if they are those of a target.
    names : sequence of str or None, default=None
        Names of the images that were scored.
    """
    results = comparison.results_
    where = f", on the images in {target}" if target else ""
    notes = [
        comparison.backbone_note_,
        f"score: mean over the folds{where}; * of the folds that were done.",
        "interval: 95 %, from the images that were held out."
        if results["score_low"].notna().any()
        else "",
        "p: not tested, for all folds were scored on the same images."
        if target
        else "p: of the difference from the best, by a t-test corrected for folds that overlap and for the "
        "number of candidates.",
        "fit, predict: seconds a fold, as if no feature had been kept.",
        f"All images went through the network once, in {comparison.pass_seconds_:.1f} s.",
        comparison.scoring_reason_,
        comparison.unlabeled_note_,
    ]
    return [
        table_of(results),
        "",
        *_settings(results),
        "",
        *_wrapped([note for note in notes if note]),
        *_wrapped(_unfinished(results)),
        "",
        *_wrapped(_verdict(comparison)),
        *_mistakes(comparison, names),
    ]


def table_of(results: pd.DataFrame) -> str:
    """Lay out the rows of a comparison."""
    return as_table([_row(row) for row in _records(results)], left=("candidate",))


def _row(row: Any) -> dict[str, str]:
    return {
        "candidate": row.candidate,
        "score": _score(row),
        "interval": ""
        if math.isnan(row.score_low)
        else f"{row.score_low:.3f}-{row.score_high:.3f}",
        "p": "" if math.isnan(row.p_value) else as_p_value(row.p_value),
        "fit": _seconds(row.fit_seconds),
        "predict": _seconds(row.predict_seconds),
    }


def _score(row: Any) -> str:
    if row.error:
        return "failed"
    if math.isnan(row.score_mean):
        return "left out"
    return f"{row.score_mean:.3f}" + ("*" if row.note else "")


def _seconds(seconds: float) -> str:
    return "" if math.isnan(seconds) else f"{seconds:.2f}" if seconds < 100 else f"{seconds:.0f}"


def _settings(results: pd.DataFrame) -> list[str]:
    """Name the best setting of each candidate, below the table, where there is room."""
    rows = [(row.candidate, format_params(row.best_params)) for row in _records(results)]
    return [readable(f"{name}: {setting}") for name, setting in rows if setting]


def _unfinished(results: pd.DataFrame) -> list[str]:
    """Say why candidates have no score, or one of fewer folds."""
    rows = _records(results)
    failed = [f"{row.candidate} failed: {row.error}" for row in rows if row.error]
    return failed + [f"{row.candidate}: {row.note}." for row in rows if row.note]


def _verdict(comparison: StrategyComparison) -> list[str]:
    """Say what is best, what is as good, what to take, and how far to trust the score."""
    best, ties = comparison.best_candidate_, comparison.ties_[1:]
    lines = [f"Best: {best} ({format_params(comparison.best_params_)})"]
    if ties:
        lines.append(f"Not shown to be worse: {', '.join(ties)}.")
    if comparison.advised_candidate_ != best:
        lines.append(f"As good within the error, and simpler: {comparison.advised_candidate_}.")
    if comparison.optimism_ >= 0.0005:
        lines.append(
            f"The best score is about {comparison.optimism_:.3f} too high, because the best was chosen by it; "
            "sktransfer score MODEL FOLDER measures it on images that took no part."
        )
    return lines


def _mistakes(comparison: StrategyComparison, names: Sequence[str] | None) -> list[str]:
    """Show the surest mistakes of the best on images that it had not seen."""
    mistakes = comparison.mistakes_
    if names is None or not len(comparison.predictions_):
        return []
    n_scored = len(comparison.predictions_)
    if not len(mistakes):
        return [f"It labels all {n_scored} held-out images rightly."]
    lines = [f"It labels {len(mistakes)} of {n_scored} held-out images wrongly, the surest first:"]
    for row in _records(mistakes.head(_N_MISTAKES)):
        sure = "" if math.isnan(row.confidence) else f", {row.confidence:.2f}"
        lines.append(
            readable(f"  {names[int(row.image)]}: {row.predicted}{sure} (label {row.label})")
        )
    return lines


def _records(table: pd.DataFrame) -> list[Any]:
    return list(cast("Any", table).itertuples())


def _wrapped(lines: Sequence[str]) -> list[str]:
    return [
        part
        for line in lines
        for part in textwrap.wrap(readable(line), _WIDTH, subsequent_indent="  ") or [""]
    ]


def json_of_comparison(
    comparison: StrategyComparison,
    predictions: list[dict[str, object]],
    scored: Scored | None,
    options: argparse.Namespace,
) -> str:
    """Write a comparison, with predictions of the saved winner and its score on other images, as JSON."""
    return as_json(
        {
            "results": comparison.results_.to_dict(orient="records"),
            "fold_scores": comparison.fold_scores_.to_dict(orient="list"),
            "pass_seconds": comparison.pass_seconds_,
            "scoring": comparison.scoring_,
            "network": comparison.backbone_,
            "network_note": comparison.backbone_note_,
            "unlabeled_note": comparison.unlabeled_note_,
            "scored_on_target": options.score_target,
            "best": comparison.best_candidate_,
            "ties": comparison.ties_,
            "advised": comparison.advised_candidate_,
            "optimism": comparison.optimism_,
            "model": options.out,
            "report": options.report,
            "predictions": predictions,
            "mistakes": comparison.mistakes_.to_dict(orient="records"),
            "test": None if scored is None else scored.as_dict(),
        }
    )
