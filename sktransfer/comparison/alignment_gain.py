"""What an adapted network gains over aligning stored vectors, in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sktransfer.adaptation import DomainAlignedClassifier
from sktransfer.adaptation.target_rows import last_step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sktransfer.comparison.candidates import Candidate
    from sktransfer.comparison.tables import Tables

__all__ = ["alignment_gain"]


def alignment_gain(tables: Tables, candidates: Mapping[str, Candidate]) -> str:
    """Say whether an adapted network beats the simple alternatives, which take seconds.

    Parameters
    ----------
    tables : Tables
        Of a comparison that was scored on labels of the target.
    candidates : mapping of str to Candidate
        What was compared.

    Returns
    -------
    str
        A sentence; "" unless candidates of both kinds were scored.
    """
    results = tables.results
    adapted = results[(results["strategy"] == "adaptation") & results["score_mean"].notna()]
    is_aligned = [
        isinstance(last_step(candidates[name].estimator), DomainAlignedClassifier)
        for name in adapted["candidate"]
    ]
    simple = adapted[is_aligned]
    networks = adapted[[not aligned for aligned in is_aligned]]
    if simple.empty or networks.empty:
        return ""
    line, network = simple.iloc[0], networks.iloc[0]
    gain = float(network["score_mean"] - line["score_mean"])
    if gain > 0:
        return (
            f"Adapting the network gained {gain:.3f} on the target: {network['candidate']} "
            f"({network['score_mean']:.3f}) against {line['candidate']} ({line['score_mean']:.3f}), the best that "
            "only aligns stored features."
        )
    equal = "as well as" if gain == 0 else "better than"
    return (
        f"The network need not adapt: {line['candidate']} ({line['score_mean']:.3f}), which only aligns stored "
        f"features and takes seconds, does {equal} {network['candidate']} ({network['score_mean']:.3f}) on the target."
    )
