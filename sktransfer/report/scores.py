"""The scores: two plots and the table of all candidates."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from sktransfer.formatting import as_bytes, as_p_value, as_seconds
from sktransfer.plotting import StrategyComparisonDisplay
from sktransfer.report.page import Section
from sktransfer.report.pictures import plot_figure
from sktransfer.standings import score_of_record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd

__all__ = ["plots_section", "table_section"]

# What a column is called, and how a value of it is written.
_COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = {
    "p_value": ("p against best", as_p_value),
    "fit_seconds": ("Fit", as_seconds),
    "predict_seconds": ("Predict", as_seconds),
    "search_seconds": ("Search", as_seconds),
    "peak_memory_bytes": ("Memory", as_bytes),
    "size_bytes": ("Model file", as_bytes),
}


def plots_section(
    results: pd.DataFrame, fold_scores: pd.DataFrame | None, score_name: str
) -> Section:
    """Draw how good each candidate is and what it costs."""
    display = StrategyComparisonDisplay(results, fold_scores=fold_scores, score_name=score_name)
    in_words = "; ".join(
        f"{row['candidate']} {score_of_record(_named(row))}" for row in results.to_dict("records")
    )
    plots = [
        plot_figure(
            display.plot,
            f"{score_name} of each candidate, best first: {in_words}.",
            "Mean, 95 % interval where there is one, else standard deviation, and a dot for each fold.",
        )
    ]
    if "fit_seconds" in results.columns:
        in_words = "; ".join(
            f"{row['candidate']} {as_seconds(row['fit_seconds'])}"
            for row in results.to_dict("records")
        )
        plots.append(
            plot_figure(
                lambda: display.plot(kind="cost"),
                f"{score_name} over the seconds of a fit: {in_words}.",
                "Up is better, left is faster.",
            )
        )
    return Section("How good, and at what cost", f'<div class="plots">{"".join(plots)}</div>')


def table_section(results: pd.DataFrame, score_name: str) -> Section:
    """Make the table of all candidates, best first; on a phone, a card for each."""
    shown = [name for name in _COLUMNS if name in results.columns]
    heads = ["Candidate", score_name, *(_COLUMNS[name][0] for name in shown)]
    head = "".join(f'<th scope="col" role="columnheader">{escape(text)}</th>' for text in heads)
    rows = [
        _row(record, shown, score_name, best=i == 0)
        for i, record in enumerate(results.to_dict("records"))
    ]
    caption = (
        "Best first; below each name, the setting that its grid chose. Fit, predict: mean time on "
        "one fold. Search: all settings and folds. Memory: the most it held. Sizes in powers of 1000."
    )
    return Section(
        "All candidates",
        f'<table role="table"><caption>{caption}</caption>\n'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>\n'
        f'<tbody role="rowgroup">\n{"".join(rows)}</tbody></table>',
    )


def _row(record: dict[object, Any], shown: list[str], score_name: str, *, best: bool) -> str:
    name = escape(str(record["candidate"]))
    settings = escape(_setting(record.get("best_params") or {}))
    below = f'<span class="settings">{settings}</span>' if settings else ""
    score = score_of_record(_named(record))
    why = record.get("error") or record.get("note")
    if why:
        below = f'<span class="settings">{escape(str(why))}</span>'
    if record["score_mean"] != record["score_mean"]:
        score = "failed" if record.get("error") else "left out"
    cells = [(score_name, score)]
    cells += [(_COLUMNS[key][0], _COLUMNS[key][1](float(record[key]))) for key in shown]
    kind = ' class="best"' if best else ""
    return (
        f'<tr role="row"{kind}><th scope="row" role="rowheader">{name}{below}</th>'
        + "".join(
            f'<td role="cell" data-label="{escape(label)}">{escape(text)}</td>'
            for label, text in cells
        )
        + "</tr>\n"
    )


def _named(record: Mapping[object, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in record.items()}


def _setting(params: dict[str, object]) -> str:
    """Write a setting of a grid, without the names of the steps."""
    return ", ".join(
        f"{name.rpartition('__')[2]} = {_short(value)}" for name, value in params.items()
    )


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
