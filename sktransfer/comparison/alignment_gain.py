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
        Tables of a comparison that was scored on labels of the target.
    candidates : mapping of str to Candidate
        All its candidates, by their names.

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
    adapts = f"{network['candidate']} ({network['score_mean']:.3f})"
    aligns = f"{line['candidate']} ({line['score_mean']:.3f})"
    if gain > 0:
        verdict = (
            f"On this target, adapting the network gained {gain:.3f}: {adapts} against {aligns}, the best that only "
            "aligns stored features"
        )
    else:
        verdict = (
            f"On this target, the network need not adapt: {aligns}, which only aligns stored features and takes "
            f"seconds, does {'as well as' if gain == 0 else 'better than'} {adapts}"
        )
    return f"{verdict}. One set of images has shown it, so there is no test."
