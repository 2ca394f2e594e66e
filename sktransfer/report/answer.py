"""The answer in words: what is best, what is as good, what transfer is worth, and how sure that is."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from sktransfer.formatting import as_p_value, as_seconds, counted
from sktransfer.report.page import Section, paragraphs
from sktransfer.standings import SIGNIFICANT, advised, score_of_record, ties

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["answer_section", "recommendation_section"]

_BLIND = "largest class"
_WITHOUT_TRANSFER = ("raw pixels", "scratch")


def answer_section(
    results: pd.DataFrame,
    n_folds: int,
    score_name: str,
    *remarks: str,
    optimism: float = float("nan"),
) -> Section:
    """Say what the table means.

    Parameters
    ----------
    results : DataFrame
        Results of a comparison, best first.
    n_folds : int
        Over which scores are averaged; 0 if unknown.
    score_name : str
        Name of the scores.
    remarks : str
        Sentences on the network or the score that have to be read with the answer; empty ones are left out.
    optimism : float, default=NaN
        Expected excess of the best score over what the choice by it is worth.
    """
    best = results.iloc[0]
    sure = (
        "with its 95 % interval" if best.get("score_low", float("nan")) >= 0 else "and its spread"
    )
    over = f", mean {sure} over {counted(n_folds, 'fold')}" if n_folds else ""
    named = score_name[:1].lower() + score_name[1:]
    first = (
        f"<p><strong>{escape(str(best['candidate']))}</strong> is best: {escape(named)} "
        f"{score_of_record({str(name): value for name, value in best.items()})}{over}.</p>"
    )
    others = paragraphs(*remarks, _ties(results), _gain(results), _caveat(best, optimism))
    return Section("", f'<div class="answer">{first}\n{others}</div>')


def recommendation_section(recommendation: Any) -> Section:
    """Show what the rule of thumb advises, with the measurements that it rests on.

    Parameters
    ----------
    recommendation : Recommendation
        As :func:`~sktransfer.recommend_strategy` returns it; its `reasons` are sentences.
    """
    advised = {
        "frozen": "keep the network as it is and train a classifier on its features",
        "partial": "train the last stages of the network, and keep the rest as it is",
        "full": "train the whole network, from its pre-trained weights",
        "scratch": "train the whole network, from random weights",
    }[recommendation.strategy]
    layers = ", ".join(recommendation.layers)
    lead = (
        f"<p><strong>{escape(recommendation.strategy.capitalize())}</strong>: {escape(advised)}. "
        f"Features of <code>{escape(layers)}</code>, pooled by "
        f"<code>{escape(recommendation.pooling)}</code>.</p>"
    )
    note = "A rule of thumb on a few measurements; where the table says otherwise, trust the table."
    reasons = [_reason(text) for text in recommendation.reasons]
    body = "\n".join([lead, "<ul>", *reasons, "</ul>", paragraphs(note, kind="soft")])
    return Section("What the rule of thumb advises", body)


def _reason(text: str) -> str:
    head, colon, rest = text.partition(": ")
    if not colon or len(head) > 24:
        return f"<li>{escape(text)}</li>"
    return f"<li><strong>{escape(head)}:</strong> {escape(rest)}</li>"


def _ties(results: pd.DataFrame) -> str:
    """Name what is not shown to be worse, and the cheapest of it."""
    if "p_value" not in results.columns or len(results) < 2:
        return ""
    others = results.iloc[1:]
    tested = others[others["p_value"].notna()]
    if tested.empty and "note" in others.columns and (others["note"] != "").all():
        return "All others were stopped, because they could not reach it."
    if tested.empty:
        return (
            "Whether the others are worse was not tested: that takes several folds, each with test "
            "images of its own."
        )
    tied = ties(results)[1:]
    if not tied:
        nearest = tested.iloc[0]
        return (
            f"All others are worse; the nearest is {nearest['candidate']} "
            f"({nearest['score_mean']:.3f}, p {_of(nearest['p_value'])})."
        )
    names = _listed(tied)
    verb = "is" if len(tied) == 1 else "are"
    text = (
        f"{names[0].upper()}{names[1:]} {verb} not shown to be worse (p ≥ {SIGNIFICANT:g}, corrected for the "
        "number of candidates)."
    )
    choice = advised(results)
    if choice != results["candidate"].iloc[0]:
        row: Any = results.set_index("candidate").loc[choice]
        seconds, of_best = row["fit_seconds"], results["fit_seconds"].iloc[0]
        quicker = f" and fits in {as_seconds(seconds)} instead of {as_seconds(of_best)}"
        text += (
            f" Take {choice}: it is as good within the error ({row['score_mean']:.3f}), simpler"
            f"{quicker if seconds < of_best else ''}."
        )
    return text


def _gain(results: pd.DataFrame) -> str:
    """Say what pre-training is worth, if something without it was compared."""
    if "strategy" not in results.columns:
        return ""
    without = results[results["strategy"].isin(_WITHOUT_TRANSFER)]
    with_it = results[~results["strategy"].isin([*_WITHOUT_TRANSFER, _BLIND, "other"])]
    if without.empty or with_it.empty:
        return ""
    most, least = with_it.iloc[0], without.iloc[0]
    change = most["score_mean"] - least["score_mean"]
    # A p-value tests the difference from the best, so one of the two has to be the best.
    best = results["candidate"].iloc[0]
    other: Any = {most["candidate"]: least, least["candidate"]: most}.get(best, {})
    p_value = float(other.get("p_value", float("nan")))
    if p_value < SIGNIFICANT:
        verdict = "Transfer pays" if change > 0 else "Transfer does not pay here"
    else:
        why = "" if p_value != p_value else f" (p {_of(p_value)})"
        verdict = f"Whether transfer pays is not shown{why}"
    return (
        f"{verdict}: {most['candidate']} scores {_signed(change)} against the best that "
        f"knows nothing beforehand, {least['candidate']} ({least['score_mean']:.3f})."
    )


def _caveat(best: pd.Series, optimism: float) -> str:
    n_settings = int(best["n_settings"]) if "n_settings" in best.index else 1
    if n_settings < 2 and not optimism > 0:
        return ""
    by = f" by about {optimism:.3f}" if optimism == optimism else ""
    return (
        f"Candidate and setting were chosen on the same folds, so the score is optimistic{by}. For a figure "
        "to publish, score the model on images that took no part: sktransfer score MODEL FOLDER."
    )


def _of(p_value: float) -> str:
    shown = as_p_value(p_value)
    return shown if shown.startswith("<") else f"= {shown}"


def _signed(change: float) -> str:
    return f"{change:+.3f}".replace("-", "−")


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
