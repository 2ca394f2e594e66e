"""What the benchmark of advice counts as regret and as covered."""

import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def advice():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import advice
    finally:
        sys.path.remove(str(BENCHMARKS))
    return advice


def candidate(name, strategy, score, test, p_value):
    return {
        "candidate": name, "strategy": strategy, "score_mean": score, "score_low": score - 0.05,
        "score_high": score + 0.05, "p_value": p_value, "fit_seconds": 1.0, "note": "", "error": "",
        "test": test,
    }  # fmt: skip


def draw_of(number, plain, tuned, recommended):
    rows = [
        candidate("tuned", "partial", 0.9, tuned, np.nan),
        candidate("plain", "features", 0.895, plain, 0.9),
    ]
    return {
        "set": "photos", "per_class": 10, "draw": number, "n_test": 2000, "candidates": rows,
        "recommended": {"test": recommended},
    }  # fmt: skip


def test_regret_is_what_the_advised_candidate_lacks_on_images_that_took_no_part(advice):
    # In both draws "plain" is advised, because it is as good as the best by the folds, and simpler.
    draws = [draw_of(0, 0.88, 0.92, 0.90), draw_of(1, 0.93, 0.91, 0.95)]
    lost = advice.regrets(draws).set_index("who")
    assert lost.loc["compare", "regret"].round(3).tolist() == [0.04, 0.0]
    assert lost.loc["compare", "leader"].tolist() == ["tuned", "tuned"]
    assert lost.loc["compare", "on average"].round(3).tolist() == [0.04, -0.02]
    assert lost.loc["recommend", "regret"].round(3).tolist() == [0.02, 0.0]


def test_an_interval_covers_what_a_candidate_reaches_on_other_images(advice):
    intervals = advice.coverage([draw_of(0, 0.80, 0.92, 0.9)])
    assert intervals["covers"].tolist() == [True, False]
    assert intervals["above"].tolist() == [False, True]
    assert intervals["advised"].tolist() == [False, True]


def test_images_to_learn_from_are_never_among_those_that_are_scored(advice):
    y = np.repeat(["ant", "bee"], 30)
    task = advice.Task("photos", np.arange(60), y, None, {})
    draw = advice.drawn(task, 20, 0)
    assert sorted([*draw.X, *draw.X_test]) == list(range(60))
    assert np.unique(draw.y, return_counts=True)[1].tolist() == [20, 20]
    assert advice.drawn(task, 25, 0) is None
