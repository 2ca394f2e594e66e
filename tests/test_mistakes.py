"""Mistakes that users make: each message says what was given and what to do, and comes before any work."""

import re

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from torch import nn

import sktransfer as st

X = np.arange(20 * 8 * 8, dtype=np.uint8).reshape(20, 8, 8)
Y = np.arange(20) % 2
VECTORS = np.random.default_rng(0).normal(size=(20, 3))
PARTLY = np.r_[Y[:10], [-1] * 10]


def features(X=X, **parameters):
    st.DeepFeatureTransformer(**{"backbone": "tiny", **parameters}).fit_transform(X)


def tuned(y=Y, **parameters):
    st.FineTuneClassifier("tiny", strategy="frozen", max_epochs=1, **parameters).fit(X, y)


def compared(y=Y, **parameters):
    pixels = ["raw pixels + logistic regression"]
    st.compare_strategies(X, y, **{"backbone": "tiny", "candidates": pixels, "cv": 2, **parameters})


def adapted(domains):
    st.DANNClassifier("tiny").fit(X, Y, sample_domain=domains)


MISTAKES = {
    "no images": (lambda: features(None), "of type NoneType", "Put the images in a list"),
    "numbers in a list": (lambda: features([1, 2, 3]), "the shape (3,), and holds numbers", "(n, H, W)"),
    "complex numbers": (lambda: features(X.astype(complex)), "the dtype complex128", "Convert X"),
    "an address": (lambda: features(["https://a.org/b.jpg"]), "is a web address", "Download it"),
    "a class": (lambda: features(backbone=nn.Linear), "backbone=Linear", "Pass the nn.Module"),
    "a folder of weights": (lambda: features(weights="."), ". is a folder", "path of the .safetensors"),
    "text and numbers": (lambda: tuned([1] * 10 + ["a"] * 10), "row 10 is 'a', and row 0 is 1", "one kind"),
    "a narrow head": (
        lambda: tuned(head=lambda n_in, n_out: nn.Linear(n_in + 1, n_out)), "(2, 256)", "have 256 inputs",
    ),
    "a head of one width": (lambda: tuned(head=lambda _: nn.Identity()), "in_features=256", "two widths"),
    "a callback's name": (lambda: tuned(callbacks="early"), "callbacks='early'", "must be a list"),
    "no callback": (lambda: tuned(callbacks=[3]), "callbacks holds 3", "callbacks of skorch"),
    "misspelt for skorch": (
        lambda: tuned(net_params={"optimiser": 1}), "{'optimiser': ...}", "Nearest: 'optimizer'",
    ),
    "domains by name": (lambda: adapted(["s", "t"] * 10), "holds 's', 't', 's', ...", "whole numbers"),
    "no domains": (lambda: adapted([np.nan] * 20), "holds nan, nan, nan, ...", "whole numbers"),
    "few domains": (lambda: adapted([0, -1]), "y has 20 and sample_domain 2", "as many of each"),
    "few labels": (lambda: compared(Y[:9]), "X has 20 and y 9", "Pass as many of each"),
    "few groups": (lambda: compared(groups=[0, 1]), "y has 20 and groups 2", "Pass as many of each"),
    "a misspelt score": (lambda: compared(scoring="acuracy"), "scoring='acuracy'", "Nearest: 'accuracy'"),
    "time as text": (lambda: compared(time_limit="5m"), "time_limit='5m'", "number of seconds"),
    "no pixels": (lambda: compared(pixel_size=0), "pixel_size=0", "at least 1"),
    "a misspelt grid": (
        lambda: compared(candidates={"own": (make_pipeline(SVC()), {"svc__c": [1]})}),
        "the grid of candidates['own']: Invalid parameter 'c'", "Valid parameters are: ['C'",
    ),
    "other labels in the target": (
        lambda: compared(X_target=X, y_target=Y + 5), "y_target holds no label of y: 5", "the same names",
    ),
    "a single fold": (lambda: st.recommend_strategy(X, Y, backbone="tiny", cv=1), "cv=1", "at least 2"),
    "a classifier's name": (
        lambda: st.LabeledClassifier("svm").fit(VECTORS, PARTLY), "estimator='svm'", "such as SVC()",
    ),
    "no label": (lambda: st.LabeledClassifier().fit(VECTORS, [-1] * 20), "all 20 rows", "some rows"),
    "an estimator for a file": (lambda: st.BatchPredictor(SVC()), "model is a SVC", "path of a file"),
    "no model": (lambda: st.BatchPredictor("no.joblib"), "'no.joblib' does not exist", "Check the path"),
    "colours of other images": (
        lambda: st.EmbeddingDisplay.from_features(VECTORS, Y[:4]), "features has 20 and y 4", "as many",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_message_says_what_was_given_and_what_to_do(mistake):
    make, given, advice = MISTAKES[mistake]
    with pytest.raises((ValueError, TypeError, OSError)) as caught:
        make()
    message = str(caught.value)
    assert given in message
    assert advice in message
    assert re.search(r"[.\]]$", message), "a sentence ends with a full stop"


def test_a_broken_image_is_named_by_its_row_among_all():
    images = [*X[:11], b"no image"]
    with pytest.raises(st.exceptions.ImageDecodeError, match="image 11 of 12 is not an image"):
        st.compare_strategies(
            images, Y[:12], cv=2, candidates=["raw pixels + logistic regression"], n_jobs=1
        )
