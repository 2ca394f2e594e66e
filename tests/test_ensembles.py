"""`layer_ensemble`: its members, how they are combined, and that the network runs once."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.svm import SVC, LinearSVC

from sktransfer import DeepFeatureTransformer, layer_ensemble
from sktransfer.exceptions import UnknownLayerError


@pytest.mark.parametrize("combine", ["vote", "stack"])
def test_each_image_passes_the_network_once_for_all_layers_and_folds(combine, digits, batches_run):
    # images that no other test has put into the store
    X = digits.X[:60] // 3 + {"vote": 100, "stack": 120}[combine]
    ensemble = layer_ensemble("tiny", [-3, -2, -1], combine=combine, cv=2)
    cross_val_score(ensemble, X, digits.y[:60], cv=3)
    assert sum(batches_run) == 60


def test_votes_are_the_mean_of_the_layers_probabilities(digits):
    X, y = digits.X[:120], digits.y[:120]
    ensemble = layer_ensemble("tiny", ["layer2", "layer4"]).fit(X, y)
    members = [
        layer_ensemble("tiny", [layer]).fit(X, y).predict_proba(digits.X[120:150])
        for layer in ("layer2", "layer4")
    ]
    np.testing.assert_allclose(
        ensemble.predict_proba(digits.X[120:150]), np.mean(members, axis=0), rtol=1e-6
    )
    assert np.abs(members[0] - members[1]).max() > 0.1  # they do not agree anyway


def test_members_are_pipelines_of_features_scaler_and_head(digits):
    svm, forest = SVC(C=7), RandomForestClassifier(5, random_state=0)
    ensemble = layer_ensemble(
        "tiny", [["layer1", -1], "layer3"], [svm, forest], pooling=["avg", "max"]
    )
    (name, first), (_, second) = ensemble.estimators
    assert name == "layer1+layer4"
    assert list(first.named_steps) == ["features", "scale", "head"]
    assert first["head"].C == 7
    assert first["head"] is not svm
    assert second["features"].get_params()["pooling"] == "max"
    wide = first["features"].fit_transform(digits.X[:2])
    assert wide.shape == (2, 32 + 256)


def test_heads_without_probabilities_count_votes(digits):
    ensemble = layer_ensemble("tiny", [-2, -1], LinearSVC())
    assert (type(ensemble), ensemble.voting) == (VotingClassifier, "hard")
    names = np.array([f"digit {k}" for k in digits.y[:100]])
    assert ensemble.fit(digits.X[:100], names).score(digits.X[:100], names) > 0.95
    assert layer_ensemble("tiny", [-1], LogisticRegression()).voting == "soft"


def test_a_stack_learns_not_to_trust_a_layer_that_says_nothing(digits):
    X, y = digits.X[:200], digits.y[:200]
    guess = DummyClassifier(strategy="stratified", random_state=0)  # sure of itself, and wrong
    heads = [guess, guess, LogisticRegression(C=0.01, max_iter=2000)]
    scores = {
        combine: cross_val_score(
            layer_ensemble("tiny", [-5, -4, -1], heads, combine=combine, cv=3), X, y, cv=3
        ).mean()
        for combine in ("vote", "stack")
    }
    assert scores["stack"] > scores["vote"] + 0.03


def test_a_search_sets_parameters_by_the_names_of_the_layers(digits):
    ensemble = layer_ensemble("tiny", [-2, -1])
    grid = {"layer4__head__C": [1e-6, 0.01], "weights": [None, [0, 1]]}
    search = GridSearchCV(ensemble, grid, cv=2).fit(digits.X[:100], digits.y[:100])
    assert search.best_params_["layer4__head__C"] == 0.01


def test_parameters_reach_the_transformers_and_copies_keep_them(tmp_path):
    ensemble = layer_ensemble(
        "tiny", [-2, -1], combine="stack", weights="random", random_state=3, image_size=32,
        cache=str(tmp_path), batch_size=7,
    )  # fmt: skip
    assert isinstance(ensemble, StackingClassifier)
    for _, member in clone(ensemble).estimators:
        found = member["features"].get_params()
        expected = DeepFeatureTransformer(
            "tiny", weights="random", random_state=3, image_size=32, cache=str(tmp_path),
            batch_size=7, layers=found["layers"],
        ).get_params()  # fmt: skip
        assert found == expected


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (
            {"layers": "layer4"},
            TypeError,
            r"layers='layer4' must be a list .* Pass layers=\['layer4'\]",
        ),
        ({"layers": []}, ValueError, r"layers=\[\] is empty"),
        ({"layers": [-1, "layer4"]}, ValueError, "names a layer twice"),
        ({"heads": [SVC()]}, ValueError, r"has 1 entries for 2 layers \(layer3, layer4\)"),
        ({"pooling": ["avg"]}, ValueError, r"pooling=\['avg'\] has 1 entries for 2 layers"),
        ({"combine": "mean"}, ValueError, "combine='mean' is not possible"),
    ],
)
def test_what_cannot_be_built_is_refused(change, error, match):
    with pytest.raises(error, match=match):
        layer_ensemble("tiny", **{"layers": [-2, -1], **change})


def test_an_unknown_layer_is_named_by_fit(digits):
    ensemble = layer_ensemble("tiny", ["layer9", "layer4"])
    with pytest.raises(UnknownLayerError, match="asks for 'layer9', which tiny does not have"):
        ensemble.fit(digits.X[:30], digits.y[:30])
