"""Whether a network had to adapt, in a sentence."""

from types import SimpleNamespace

import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline

from sktransfer import DANNClassifier, DomainAlignedClassifier
from sktransfer.comparison import Candidate
from sktransfer.comparison.alignment_gain import alignment_gain
from sktransfer.raw_pixels import PixelTransformer

CANDIDATES = {
    "network": Candidate(DANNClassifier("tiny")),
    "vectors": Candidate(make_pipeline(PixelTransformer(4), DomainAlignedClassifier())),
    "guess": Candidate(DummyClassifier()),
}


def sentence(**scores):
    rows = [
        {
            "candidate": name,
            "score_mean": score,
            "strategy": "other" if name == "guess" else "adaptation",
        }
        for name, score in sorted(scores.items(), key=lambda item: -item[1])
    ]
    return alignment_gain(SimpleNamespace(results=pd.DataFrame(rows)), CANDIDATES)


@pytest.mark.parametrize(
    ("network", "vectors", "words"),
    [
        (0.8, 0.7, "adapting the network gained 0.100: network (0.800) against vectors (0.700)"),
        (0.6, 0.7, "need not adapt: vectors (0.700)"),
        (0.6, 0.7, "does better than network (0.600)"),
        (0.7, 0.7, "does as well as network (0.700)"),
    ],
)
def test_the_better_one_is_named_with_both_scores(network, vectors, words):
    said = sentence(network=network, vectors=vectors, guess=0.9)
    assert words in said
    assert "there is no test" in said


def test_nothing_is_said_where_there_is_nothing_to_compare():
    assert sentence(network=0.8, guess=0.5) == ""
    assert sentence(vectors=0.8, guess=0.5) == ""
