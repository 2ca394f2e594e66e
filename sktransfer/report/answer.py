"""The answer in words: what is best, what is as good, what transfer is worth, and how sure that is."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from sktransfer.report.formatting import as_p_value, as_seconds, counted
from sktransfer.report.page import Section, paragraphs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["answer_section", "recommendation_section"]

_SIGNIFICANT = 0.05
_BLIND = "largest class"
_WITHOUT_TRANSFER = ("raw pixels", "scratch")


def answer_section(
    results: pd.DataFrame, n_folds: int, score_name: str, reason: str = ""
) -> Section:
    """Say what the table means.

    Parameters
    ----------
    results : DataFrame
        Of a comparison, best first.
    n_folds : int
        Over which scores are averaged; 0 if unknown.
    score_name : str
        What the scores are.
    reason : str, default=""
        Why they are not accuracy.
    """
    best = results.iloc[0]
    over = f", mean and standard deviation over {counted(n_folds, 'fold')}" if n_folds else ""
    first = (
        f"<p><strong>{escape(str(best['candidate']))}</strong> is best: {escape(score_name.lower())} "
        f"{best['score_mean']:.3f} ± {best['score_std']:.3f}{over}.</p>"
    )
    others = paragraphs(_ties(results), _gain(results), reason, _caveat(best))
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
    if others["p_value"].isna().all():
        return (
            "Whether the others are worse was not tested: that takes several folds, each with test "
            "images of its own."
        )
    tied = others[~(others["p_value"] < _SIGNIFICANT)]
    if tied.empty:
        nearest = others.iloc[0]
        return (
            f"All others are worse; the nearest is {nearest['candidate']} "
            f"({nearest['score_mean']:.3f}, p {_of(nearest['p_value'])})."
        )
    names = _listed([str(name) for name in tied["candidate"]])
    verb = "is" if len(tied) == 1 else "are"
    text = f"{names[0].upper()}{names[1:]} {verb} not shown to be worse (p ≥ {_SIGNIFICANT:g})."
    if "fit_seconds" in results.columns:
        best = results.iloc[0]["fit_seconds"]
        quick = tied[
            (tied["fit_seconds"] < 0.5 * best) & (tied["candidate"] != f"always the {_BLIND}")
        ]
        if len(quick):
            quickest = quick.sort_values("fit_seconds").iloc[0]
            text += (
                f" Of these, {quickest['candidate']} fits in {as_seconds(quickest['fit_seconds'])} "
                f"instead of {as_seconds(best)}."
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
    if p_value < _SIGNIFICANT:
        verdict = "Transfer pays" if change > 0 else "Transfer does not pay here"
    else:
        why = "" if p_value != p_value else f" (p {_of(p_value)})"
        verdict = f"Whether transfer pays is not shown{why}"
    return (
        f"{verdict}: {most['candidate']} scores {_signed(change)} against the best that "
        f"knows nothing beforehand, {least['candidate']} ({least['score_mean']:.3f})."
    )


def _caveat(best: pd.Series) -> str:
    n_settings = int(best["n_settings"]) if "n_settings" in best.index else 1
    if n_settings < 2:
        return ""
    return (
        f"Its setting was chosen from {n_settings} on the same folds, so the score is a little "
        "optimistic. For a figure to publish, score it on images that took no part."
    )


def _of(p_value: float) -> str:
    shown = as_p_value(p_value)
    return shown if shown.startswith("<") else f"= {shown}"


def _signed(change: float) -> str:
    return f"{change:+.3f}".replace("-", "−")


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
