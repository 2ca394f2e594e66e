import functools
import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback
from torch import nn

from sktransfer import DANNClassifier, DeepCORALClassifier, MMDClassifier, UnsupervisedScorer
from sktransfer.datasets import load_digit_domains
from sktransfer.exceptions import TrainingError, TrainingWarning

SMALL = {
    "bottleneck": 16,
    "domain_head": (16,),
    "lr": 0.01,
    "max_epochs": 8,
    "random_state": 0,
}


def two_blobs(n_rows=120, seed=0, shift=6.0):
    """Two classes side by side; in the target both lie `shift` higher."""
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=2 * n_rows)
    X = rng.normal(size=(2 * n_rows, 2)) + np.stack([6 * y - 3, np.zeros(2 * n_rows)], axis=1)
    X[n_rows:, 1] += shift
    domain = np.repeat([1, -2], n_rows)
    return X, y, domain


@pytest.fixture(scope="module")
def blobs():
    X, y, domain = two_blobs()
    return sklearn.utils.Bunch(X=X, true=y, domain=domain, y=np.where(domain > 0, y, -1))


@pytest.fixture(scope="module")
def fitted(blobs):
    return DANNClassifier(None, **SMALL).fit(blobs.X, blobs.y)


class Steps(Callback):
    """Keeps what goes into each step, and the state after it."""

    def on_train_begin(self, net, **_):
        self.start, self.batches, self.states = pickle.loads(pickle.dumps(net.module_)), [], []
        self.lambdas = []

    def on_batch_begin(self, net, batch=None, training=False, **_):
        self.batches.append(batch)

    def on_batch_end(self, net, training=False, **_):
        self.states.append({k: v.clone() for k, v in net.module_.state_dict().items()})
        self.lambdas.append(net.seen_[-1]["lambda"])


class Poison(Callback):
    """Spoils the weights at some steps."""

    def __init__(self, steps, value=float("nan"), what=lambda module: module.head.bottleneck):
        self.steps, self.value, self.what = steps, value, what

    def on_batch_end(self, net, **_):
        if net.step_ in self.steps and not net.plan.detector.has_given_up:
            with torch.no_grad():
                for parameter in self.what(net.module_).parameters():
                    parameter.fill_(self.value)


def test_the_three_ways_to_name_the_target_are_one(blobs, fitted):
    expected = fitted.predict_proba(blobs.X)
    by_number = clone(fitted).fit(blobs.X, blobs.true, sample_domain=blobs.domain)
    source = blobs.domain > 0
    beside = clone(fitted).fit(blobs.X[source], blobs.true[source], X_target=blobs.X[~source])
    np.testing.assert_array_equal(by_number.predict_proba(blobs.X), expected)
    np.testing.assert_array_equal(beside.predict_proba(blobs.X), expected)


def test_labels_of_the_target_are_never_looked_at(blobs, fitted):
    poisoned = np.where(blobs.domain > 0, blobs.true, 77)
    model = clone(fitted).fit(blobs.X, poisoned, sample_domain=blobs.domain)
    assert list(model.classes_) == [0, 1]
    np.testing.assert_array_equal(model.predict(blobs.X), fitted.predict(blobs.X))


@pytest.mark.parametrize("algorithm", ["reversal", "alternating"])
def test_adaptation_carries_the_classes_over_where_the_source_alone_does_not(algorithm):
    # The first column tells the class best, but in the source only; in the target it is constant
    # and so tells the domain. Features that hide the domain have to use the second column.
    rng = np.random.default_rng(1)
    y = rng.integers(2, size=200)
    noise, sign, target = rng.normal(size=(200, 2)), 2 * y - 1, np.arange(200) >= 100
    X = np.stack([np.where(target, 10, 4 * sign) + noise[:, 0], 2 * sign + 0.7 * noise[:, 1]], 1)
    scores = {}
    for lambda_max in (0.0, 1.0):
        model = DANNClassifier(
            None,
            algorithm=algorithm,
            lambda_max=lambda_max,
            bottleneck=16,
            domain_head=(32,),
            batch_norm="joint",
            lr=0.01,
            max_epochs=40,
            random_state=1,
        ).fit(X, np.where(target, -1, y))
        scores[lambda_max] = model.score(X[target], y[target])
    assert scores[0.0] < 0.8
    assert scores[1.0] > 0.9


def test_domain_head_tells_domains_apart_when_reversal_is_off(blobs):
    # With lambda 0 the features stay apart, so a head that learns must separate them;
    # a head with a dead gradient would stay at 0.5 and still let the source loss fall.
    model = DANNClassifier(None, **SMALL, lambda_max=0.0, batch_norm="joint").fit(blobs.X, blobs.y)
    assert np.mean(model.predict_domain(blobs.X) == blobs.domain) > 0.95
    assert model.history_[-1]["domain_accuracy"] > 0.9


def test_alternating_is_the_form_that_saves_and_restores(blobs):
    def domain_head(n_in, n_out):  # with a BatchNorm, whose statistics have to be restored too
        return nn.Sequential(nn.Linear(n_in, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, n_out))

    steps = Steps()
    DANNClassifier(
        None,
        algorithm="alternating",
        bottleneck=6,
        domain_head=domain_head,
        batch_norm="joint",
        dropout=0.0,
        max_epochs=2,
        schedule="constant",
        max_grad_norm=None,
        weight_decay=0.0,
        optimizer="sgd",
        lr=0.05,
        callbacks=[steps],
        random_state=0,
    ).fit(blobs.X, blobs.y)

    network = steps.start.train()
    head, bce = network.head, nn.functional.binary_cross_entropy_with_logits
    sgd = functools.partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True)
    first = sgd([*head.bottleneck.parameters(), *head.domain.parameters()])
    second = sgd(head.parameters())

    def domains(hidden, domain):
        logits, half = head.domain(hidden)[:, 0], len(domain) // 2
        losses = bce(logits, domain.float(), reduction="none")
        return losses[:half].mean() + losses[half:].mean()

    assert len(steps.batches) == 8
    for (inputs, target), state, strength in zip(
        steps.batches, steps.states, steps.lambdas, strict=True
    ):
        x, half = network.standardize(inputs["inputs"]), len(target) // 2
        # First features and domain head on the domains; then the features are restored.
        saved = {k: v.clone() for k, v in head.bottleneck.state_dict().items()}
        first.zero_grad()
        domains(head.hidden(x), inputs["domain"]).backward()
        first.step()
        head.bottleneck.load_state_dict(saved)
        # Then features and class head on labels and exchanged domains; the domain head is restored.
        saved = {k: v.clone() for k, v in head.domain.state_dict().items()}
        second.zero_grad()
        hidden = head.hidden(x)
        loss = bce(head.label(hidden)[:half], target[:half])
        (loss + strength * domains(hidden, 1 - inputs["domain"])).backward()
        second.step()
        head.domain.load_state_dict(saved)
        for name, value in network.state_dict().items():
            torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("cls", [DANNClassifier, MMDClassifier])
def test_a_bottleneck_can_do_without_batchnorm(cls, blobs):
    kinds = {}
    for batch_norm in (None, "joint"):
        model = cls(None, bottleneck=16, max_epochs=1, random_state=0, batch_norm=batch_norm)
        model.fit(blobs.X, blobs.y)
        kinds[batch_norm] = {type(part) for part in model.net_.module_.head.bottleneck}
    assert nn.BatchNorm1d not in kinds[None]
    assert nn.BatchNorm1d in kinds["joint"]


def test_a_weight_of_the_entropy_makes_the_target_certain_without_its_labels(blobs):
    certain = DANNClassifier(None, **SMALL, entropy_weight=1.0).fit(blobs.X, blobs.y)
    plain = DANNClassifier(None, **SMALL).fit(blobs.X, blobs.y)
    target = blobs.X[blobs.domain < 0]
    margins = [np.abs(model.predict_proba(target)[:, 0] - 0.5).mean() for model in (plain, certain)]
    assert margins[1] > margins[0]
    entropies = [epoch["target_entropy"] for epoch in certain.history_]
    assert entropies[-1] < entropies[0]
    assert "target_entropy" not in plain.history_[0]
    alone = DANNClassifier(None, **SMALL, lambda_max=0.0)
    both = [clone(alone).set_params(entropy_weight=w).fit(blobs.X, blobs.y) for w in (0.0, 1.0)]
    np.testing.assert_array_equal(*(model.predict_proba(target) for model in both))


@pytest.mark.parametrize("algorithm", ["reversal", "alternating"])
def test_a_conditional_domain_head_sees_the_prediction(algorithm, blobs):
    model = DANNClassifier(None, **SMALL, algorithm=algorithm, conditional=True).fit(
        blobs.X, blobs.y
    )
    head = model.net_.module_.head
    assert head.domain[0].in_features == 2 * SMALL["bottleneck"]
    assert set(model.predict_domain(blobs.X)) <= {1, -2}
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.predict_domain(blobs.X), model.predict_domain(blobs.X))
    hidden = torch.from_numpy(model.transform(blobs.X))
    logits = head.domain(head.joined(hidden, head.label(hidden)))[:, 0]
    expected = model.domains_[(logits > 0).long().numpy()]
    assert np.mean(expected == model.predict_domain(blobs.X)) > 0.98


def test_lambda_follows_the_steps_of_the_whole_run(blobs):
    steps = Steps()
    DANNClassifier(None, **SMALL, callbacks=[steps]).fit(blobs.X, blobs.y)
    progress = np.arange(len(steps.lambdas)) / len(steps.lambdas)
    np.testing.assert_allclose(steps.lambdas, 2 / (1 + np.exp(-10 * progress)) - 1)


def test_two_fits_with_one_seed_are_equal_and_torchs_random_numbers_stay(blobs, fitted):
    before = torch.get_rng_state()
    again = clone(fitted).fit(blobs.X, blobs.y)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(again.predict_proba(blobs.X), fitted.predict_proba(blobs.X))
    other = clone(fitted).set_params(random_state=1).fit(blobs.X, blobs.y)
    assert (other.predict_proba(blobs.X) != fitted.predict_proba(blobs.X)).any()


@pytest.mark.parametrize(("n_source", "n_target"), [(200, 9), (9, 200), (5, 3)])
def test_any_ratio_of_sizes_trains(n_source, n_target, blobs):
    rows = np.r_[0:n_source, 0:n_target]
    X = np.tile(blobs.X, (2, 1))[rows]
    y = np.r_[np.arange(n_source) % 2, np.full(n_target, -1)]
    model = DANNClassifier(None, **{**SMALL, "max_epochs": 2}).fit(X, y)
    assert model.n_iter_ == 2
    assert np.isfinite(model.history_[-1]["domain_loss"])


@pytest.mark.parametrize(
    ("names", "unlabeled"),
    [
        (np.array(["ant", "bee", "?"]), "?"),
        (np.array([7, 30, 0]), 0),
        (np.array([0.0, 2.0, np.nan]), np.nan),
        (np.array(["ant", "bee", None], dtype=object), None),
        (np.array([True, False, -1], dtype=object), -1),
    ],
)
def test_labels_of_any_type_with_any_sentinel(names, unlabeled, blobs):
    y = names[blobs.y]  # -1 is the last one
    model = DANNClassifier(None, **SMALL, unlabeled=unlabeled).fit(blobs.X, y)
    assert len(model.classes_) == 2
    assert set(model.predict(blobs.X).tolist()) <= set(names[:2].tolist())
    assert model.score(blobs.X, y) > 0.95


def test_score_leaves_out_rows_without_a_label_and_needs_one(blobs, fitted):
    source = blobs.domain > 0
    assert fitted.score(blobs.X, blobs.y) == fitted.score(blobs.X[source], blobs.true[source])
    with pytest.raises(ValueError, match=r"y has no label: all 3 rows are unlabeled=-1\. Pass the"):
        fitted.score(blobs.X[:3], [-1, -1, -1])


def test_several_sources_and_targets_keep_their_numbers(blobs):
    domain = np.where(blobs.domain > 0, np.arange(240) % 2 * 3, -1 - np.arange(240) % 2)
    model = DANNClassifier(None, **SMALL).fit(blobs.X, blobs.true, sample_domain=domain)
    assert list(model.domains_) == [0, 3, -2, -1]
    assert set(model.predict_domain(blobs.X)) <= {0, 3, -2, -1}
    assert model.score(blobs.X, blobs.y) > 0.95


def test_statistics_of_each_domain_are_used_for_rows_of_a_known_domain(blobs):
    model = DANNClassifier(None, **SMALL, batch_norm="per_domain").fit(blobs.X, blobs.y)
    source = blobs.domain > 0
    told = model.predict_proba(blobs.X, sample_domain=blobs.domain)
    plain = model.predict_proba(blobs.X)
    np.testing.assert_array_equal(told[~source], plain[~source])
    assert (told[source] != plain[source]).any()
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(blobs.X, sample_domain=blobs.domain), told)


@pytest.mark.parametrize("in_pipeline", [False, True])
def test_the_scorer_lets_rows_of_the_source_be_normalised_as_the_source(in_pipeline, blobs):
    model = DANNClassifier(None, **SMALL, batch_norm="per_domain")
    # Far away, so that the statistics of the target put all rows of the source into one class.
    X = np.where((blobs.domain < 0)[:, None], blobs.X + np.array((40, 0)), blobs.X)
    whole = make_pipeline(StandardScaler(), model) if in_pipeline else model
    whole.fit(X, blobs.y)
    assert whole.score(X, blobs.y) < 0.8
    assert UnsupervisedScorer("source_accuracy")(whole, X, blobs.y) > 0.95


def test_a_pickle_holds_no_tensor_and_predicts_the_same(blobs, fitted):
    data = pickle.dumps(fitted)
    assert b"torch._utils" not in data
    again = pickle.loads(data)
    np.testing.assert_array_equal(again.predict_proba(blobs.X), fitted.predict_proba(blobs.X))
    np.testing.assert_array_equal(again.predict_domain(blobs.X), fitted.predict_domain(blobs.X))
    assert again.net_.module_.head.width == 16


def test_features_are_what_both_heads_read(blobs, fitted):
    features = fitted.transform(blobs.X)
    assert features.shape == (240, 16)
    assert features.dtype == np.float32
    assert list(fitted.get_feature_names_out()[:1]) == ["dannclassifier0"]


def test_something_must_be_able_to_adapt(blobs):
    with pytest.raises(ValueError, match=r"bottleneck=None and backbone=None leave nothing before"):
        DANNClassifier(None, bottleneck=None).fit(blobs.X, blobs.y)


def test_history_tells_what_each_epoch_gave(fitted):
    assert len(fitted.history_) == fitted.n_iter_ == 8
    assert {"epoch", "label_loss", "domain_loss", "domain_accuracy", "lambda", "lr"} <= set(
        fitted.history_[0]
    )
    lambdas = [row["lambda"] for row in fitted.history_]
    assert lambdas == sorted(lambdas)
    assert fitted.history_[-1]["label_loss"] < fitted.history_[0]["label_loss"]


# ---- in searches


def test_folds_of_a_plain_search_hold_both_domains(blobs):
    pipeline = make_pipeline(StandardScaler(), DANNClassifier(None, **{**SMALL, "max_epochs": 3}))
    search = GridSearchCV(
        pipeline,
        {"dannclassifier__lambda_max": [0, 1.0]},
        scoring=UnsupervisedScorer(),
        cv=StratifiedKFold(2),
    ).fit(blobs.X, blobs.y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(blobs.X).shape == (240,)


@pytest.mark.parametrize("routing", [True, False])
def test_domains_reach_fit_through_a_search_with_routing_and_without(routing, blobs):
    with sklearn.config_context(enable_metadata_routing=routing):
        model = DANNClassifier(None, **{**SMALL, "max_epochs": 2})
        search = GridSearchCV(
            model, {"lambda_max": [0, 1.0]}, cv=StratifiedKFold(2, shuffle=True), error_score="raise",
            scoring=UnsupervisedScorer() if routing else None,
        )  # fmt: skip
        search.fit(blobs.X, blobs.true, sample_domain=blobs.domain)
    assert list(search.best_estimator_.domains_) == [1, -2]


class OwnsItsTarget(ClassifierMixin, BaseEstimator):
    """A user's class that holds the images of the target, and so needs no marks in a search."""

    def __init__(self, target=None, lr=0.01):
        self.target, self.lr = target, lr

    def fit(self, X, y):
        self.model_ = DANNClassifier(None, **{**SMALL, "lr": self.lr})
        self.model_.fit(X, y, X_target=self.target)
        self.classes_ = self.model_.classes_
        return self

    def predict(self, X):
        return self.model_.predict(X)


def test_a_class_that_owns_its_target_can_be_searched(blobs):
    source = blobs.domain > 0
    model = OwnsItsTarget(blobs.X[~source])
    search = GridSearchCV(model, {"lr": [0.01, 0.02]}, cv=2, error_score="raise")
    search.fit(blobs.X[source], blobs.true[source])
    assert search.best_score_ > 0.8


def test_a_scorer_that_counts_missing_labels_as_errors_is_named(blobs):
    model = DANNClassifier(None, **SMALL)
    with pytest.warns(TrainingWarning, match=r"unlabeled=-1 as errors .* leave scoring=None"):
        cross_val_score(model, blobs.X, blobs.y, cv=2, scoring="accuracy")
    # No warning, which would be an error, where rows without a label are left out or domains told.
    assert cross_val_score(model, blobs.X, blobs.y, cv=2).min() > 0.8
    cross_val_score(model, blobs.X, blobs.y, cv=2, scoring=UnsupervisedScorer())
    assert get_scorer("accuracy")(model.fit(blobs.X, blobs.y), blobs.X, blobs.true) > 0.5


def test_a_domain_is_not_named_for_an_image_that_cannot_be_read(fitted, blobs):
    X = blobs.X.copy()
    with pytest.raises(ValueError, match="NaN"):
        fitted.predict_domain(np.where(np.arange(len(X))[:, None] == 3, np.nan, X))


@pytest.mark.parametrize("unlabeled", [None, np.nan, pd.NA])
@pytest.mark.parametrize("dtype", ["object", "string", "Int64", "category"])
def test_missing_labels_of_any_container_mark_the_target(unlabeled, dtype, blobs):
    words = {0: "ant", 1: "bee"} if dtype in ("object", "string", "category") else {0: 0, 1: 1}
    labels = [words[label] if label >= 0 else None for label in blobs.y]
    y = pd.Series(labels, dtype=dtype)
    model = DANNClassifier(None, **{**SMALL, "max_epochs": 1}, unlabeled=unlabeled)
    model.fit(blobs.X, y)
    assert model.classes_.tolist() == list(words.values())
    assert model.fit(blobs.X, labels).classes_.tolist() == list(words.values())


def test_cross_val_predict_labels_every_row(blobs):
    told = cross_val_predict(DANNClassifier(None, **SMALL), blobs.X, blobs.y, cv=2)
    assert set(told) == {0, 1}


# ---- when it cannot work


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": [0, 1, 0, 1]}, r"y has no target row among 4: none is labelled -1"),
        ({"y": [-1] * 4}, r"y has no source row among 4"),
        ({"y": [0, 0, -1, -1]}, r"1 class|one class"),
        ({"y": [0, 1, -1]}, r"X and y have different lengths: 4 rows and 3 labels"),
        ({"sample_domain": [1, 1, 1, 1]}, r"sample_domain has no target row"),
        (
            {"batch_norm": "none"},
            r"batch_norm='none' is not possible\. Choose one of: 'auto', 'joint'",
        ),
        ({"algorithm": "gan"}, r"algorithm='gan' is not possible\. Choose one of: 'reversal'"),
        ({"lambda_max": -1}, r"lambda_max=-1 must be at least 0"),
        ({"bottleneck": 0}, r"bottleneck=0 must be at least 1"),
        ({"domain_head": (0,)}, r"domain_head=0 must be at least 1"),
        ({"dropout": 1}, r"dropout=1 must be at least 0 and at most 0\.99"),
    ],
)
def test_what_is_not_possible_is_refused(change, message):
    X = np.arange(8.0).reshape(4, 2)
    given = {"y": [0, 1, -1, -1]} | change
    y, domain = given.pop("y"), given.pop("sample_domain", None)
    with pytest.raises(ValueError, match=message):
        DANNClassifier(None, **(SMALL | given)).fit(X, y, sample_domain=domain)


def test_a_domain_head_that_is_neither_widths_nor_a_function_is_refused(blobs):
    with pytest.raises(TypeError, match=r"domain_head='mlp' is of type str\. Pass the widths"):
        DANNClassifier(None, domain_head="mlp").fit(blobs.X, blobs.y)


def test_a_domain_head_without_a_gradient_is_an_error_and_not_idling(blobs):
    def softmax_over_one(n_in, n_out):
        return nn.Sequential(nn.Linear(n_in, n_out), nn.Softmax(dim=1))

    model = DANNClassifier(None, **{**SMALL, "domain_head": softmax_over_one})
    with pytest.raises(
        TrainingError, match=r"passes no gradient on to the features.* must give logits"
    ):
        model.fit(blobs.X, blobs.y)


# ---- collapse


@pytest.mark.parametrize("algorithm", ["reversal", "alternating"])
@pytest.mark.parametrize(
    ("poison", "reason"),
    [
        (Poison({12}), "the loss became nan"),
        (Poison({12}, 0.0), "the features became the same for all rows"),
    ],
)
def test_a_collapse_is_noticed_undone_and_told(algorithm, poison, reason, blobs):
    model = DANNClassifier(None, **SMALL, algorithm=algorithm, callbacks=[poison])
    with pytest.warns(TrainingWarning, match=rf"{reason} at step 12 of 32: the training went back"):
        model.fit(blobs.X, blobs.y)
    assert [row["epoch"] for row in model.history_ if row.get("collapsed")] == [4]
    assert reason in model.history_[3]["collapsed"]
    assert model.history_[-1]["lambda"] == pytest.approx(0.5, abs=0.01)
    assert model.score(blobs.X, blobs.y) > 0.95


def test_a_label_head_that_goes_back_to_chance_is_a_collapse(blobs):
    model = DANNClassifier(None, **{**SMALL, "max_epochs": 40, "dropout": 0.0})
    forget = Poison(set(range(60, 160)), 0.0, lambda module: module.head.label)
    model.set_params(callbacks=[forget])
    with pytest.warns(TrainingWarning, match=r"the label loss went back to chance at step"):
        model.fit(blobs.X, blobs.y)


def test_a_training_that_collapses_again_and_again_ends_in_its_last_good_state(blobs):
    model = DANNClassifier(None, **SMALL, callbacks=[Poison(set(range(16, 40)))])
    with pytest.warns(TrainingWarning, match=r"went back to its last good state") as caught:
        model.fit(blobs.X, blobs.y)
    assert "so the training ends there" in str(caught[-1].message)
    assert model.n_iter_ < 8
    assert np.isfinite(model.predict_proba(blobs.X)).all()
    assert model.score(blobs.X, blobs.y) > 0.9


# ---- images


@pytest.fixture(scope="module")
def digits():
    domains = load_digit_domains()
    rows = np.r_[0:60, 898 : 898 + 40]
    return sklearn.utils.Bunch(
        X=domains.X[rows], y=domains.y[rows], domain=domains.sample_domain[rows]
    )


@pytest.mark.parametrize("strategy", ["frozen", "partial", "full", "scratch"])
def test_each_strategy_adapts_images(strategy, digits):
    model = DANNClassifier(
        "tiny", strategy=strategy, image_size=32, max_epochs=1, domain_head=(16,), random_state=0
    ).fit(digits.X, digits.y)
    assert model.predict_proba(digits.X).shape == (100, 10)
    np.testing.assert_allclose(model.predict_proba(digits.X).sum(1), 1)
    assert model.trunk_ == {"frozen": "vectors", "partial": "maps"}.get(strategy, "pixels")


def test_images_can_be_normalised_by_domain(digits):
    model = DANNClassifier(
        "digits28", strategy="scratch", pooling="flatten", pixel_norm="per_domain",
        batch_norm="per_domain", max_epochs=2, domain_head=(16,), random_state=0,
    ).fit(digits.X, digits.y)  # fmt: skip
    source = digits.domain > 0
    told = model.predict_proba(digits.X, sample_domain=digits.domain)
    plain = model.predict_proba(digits.X)
    np.testing.assert_allclose(told[~source], plain[~source])
    assert np.abs(told[source] - plain[source]).max() > 1e-3
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_allclose(again.predict_proba(digits.X, sample_domain=digits.domain), told)


def test_frozen_stages_and_pixels_by_domain_exclude_each_other(digits):
    with pytest.raises(
        ValueError, match=r"pixel_norm='per_domain' is not possible with strategy='p"
    ):
        DANNClassifier("tiny", strategy="partial", pixel_norm="per_domain").fit(digits.X, digits.y)


def test_the_target_may_come_as_another_kind_of_images(digits):
    source = digits.domain > 0
    model = DANNClassifier("tiny", strategy="frozen", max_epochs=1, domain_head=(8,))
    model.fit(digits.X[source], digits.y[source], X_target=list(digits.X[~source]))
    assert list(model.domains_) == [1, -2]


# ---- without a domain head


@pytest.mark.parametrize("cls", [DeepCORALClassifier, MMDClassifier])
def test_a_discrepancy_becomes_smaller_by_its_weight(cls, blobs):
    distances = []
    for weight in (0.0, 10.0):
        model = cls(
            None,
            lambda_max=weight,
            bottleneck=8,
            max_epochs=20,
            batch_norm="joint",
            dropout=0.0,
            lr=0.01,
            random_state=0,
        )
        model.fit(blobs.X, blobs.y)
        distances.append(model.history_[-1]["domain_loss"])
        assert model.score(blobs.X, blobs.y) > 0.9
    assert distances[1] < 0.5 * distances[0]
    assert not hasattr(model, "predict_domain")


# ---- beside skada


def test_skadas_scorers_and_splitters_take_the_estimator(blobs):
    with sklearn.config_context():  # which undoes that importing skada switches routing on for good
        metrics = pytest.importorskip("skada.metrics")
        from skada.model_selection import SourceTargetShuffleSplit

    with sklearn.config_context(enable_metadata_routing=True):
        for scorer in (metrics.PredictionEntropyScorer(), metrics.SoftNeighborhoodDensity()):
            scores = sklearn.model_selection.cross_val_score(
                DANNClassifier(None, **{**SMALL, "max_epochs": 2}),
                blobs.X,
                blobs.true,
                params={"sample_domain": blobs.domain},
                scoring=scorer,
                cv=SourceTargetShuffleSplit(n_splits=1, random_state=0),
                error_score="raise",
            )
            assert np.isfinite(scores).all()
