"""The loop: what callbacks see, and parameters of skorch that have an effect or are refused."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, EpochScoring

from sktransfer import DANNClassifier, FineTuneClassifier, FineTuneRegressor
from sktransfer.datasets import load_digit_domains

QUICK = {"strategy": "frozen", "max_epochs": 3, "random_state": 0}


@pytest.fixture(scope="module")
def few(digits):
    return digits.X[:120], digits.y[:120] % 3


def _fitted(few, **options):
    return FineTuneClassifier("tiny", **(QUICK | options)).fit(*few)


@pytest.mark.parametrize(
    ("scoring", "labels"),
    [
        ("accuracy", {0: 0, 1: 1, 2: 2}),
        ("accuracy", {0: "ant", 1: "bee", 2: "cat"}),
        ("f1_macro", {0: "ant", 1: "bee", 2: "bee"}),
        ("roc_auc_ovr", {0: 0, 1: 1, 2: 2}),
        ("neg_log_loss", {0: 0, 1: 1, 2: 2}),
    ],
)
def test_callbacks_that_score_see_the_labels_of_the_user(scoring, labels, few):
    X, y = few[0], np.array([labels[label] for label in few[1]])
    seen = EpochScoring(scoring, lower_is_better=False, name="seen")
    model = _fitted((X, y), callbacks=[seen])
    scores = model.net_.history[:, "seen"]
    assert len(scores) == model.n_iter_
    if scoring == "accuracy":
        assert scores == pytest.approx([row["valid_score"] for row in model.history_])


def test_callbacks_that_score_see_numbers_in_the_units_of_the_user(few):
    X, y = few[0], 1000.0 + few[1]
    seen = EpochScoring("neg_mean_absolute_error", lower_is_better=False, name="seen")
    model = FineTuneRegressor("tiny", callbacks=[seen], **QUICK).fit(X, y)
    assert -3 < model.net_.history[-1, "seen"] < 0


def test_callbacks_that_score_work_in_an_adaptation():
    bunch = load_digit_domains()
    rows = np.r_[:100, -100:0]
    seen = EpochScoring("accuracy", lower_is_better=False, name="seen")
    model = DANNClassifier(
        "tiny", early_stopping=True, callbacks=[seen], domain_head=(8,), bottleneck=8,
        **{**QUICK, "max_epochs": 2},
    ).fit(bunch.X[rows], bunch.y[rows])  # fmt: skip
    assert all(0 <= score <= 1 for score in model.net_.history[:, "seen"])


@pytest.mark.parametrize(
    "net_params",
    [
        {"lr": 0.1},
        {"optimizer__lr": 0.1},
        {"optimizer__weight_decay": 10.0},
        {"optimizer__betas": (0.5, 0.5)},
        {"max_epochs": 1},
        {"batch_size": 7},
        {"optimizer": torch.optim.SGD},
        {"criterion": torch.nn.CrossEntropyLoss(label_smoothing=0.5)},
        {"iterator_train__shuffle": False},
    ],
    ids=lambda given: next(iter(given)),
)
def test_parameters_of_skorch_have_an_effect(net_params, few):
    plain, other = _fitted(few), _fitted(few, net_params=net_params)
    assert not np.array_equal(plain.predict_proba(few[0]), other.predict_proba(few[0]))


@pytest.mark.parametrize("name", ["module", "module__head", "train_split", "predict_nonlinearity"])
def test_parameters_of_skorch_that_could_have_no_effect_are_refused(name, few):
    with pytest.raises(ValueError, match=rf"net_params={{'{name}': ...}} could have no effect"):
        _fitted(few, net_params={name: None})


def test_the_net_predicts_as_the_estimator_does(few):
    X, y = few[0], np.array(["ant", "bee", "cat"])[few[1]]
    model = _fitted((X, y), precision="float32")
    features = model.transform(X)
    assert (model.net_.predict(features) == model.predict(X)).all()
    np.testing.assert_allclose(
        model.net_.predict_proba(features), model.predict_proba(X), atol=1e-5
    )


def test_rates_of_later_calls_are_those_of_the_parameters(few):
    model = _fitted(few)
    model.set_params(lr=0.02).partial_fit(*few)
    assert model.history_[-1]["lr"] == pytest.approx(0.02)
    assert model.n_iter_ == 4


def test_the_moments_of_the_optimiser_go_on_from_call_to_call(few):
    class Moments(Callback):
        steps = ()

        def on_train_begin(self, net, **_):
            state = net.optimizer_.state_dict()["state"]
            self.steps = (*self.steps, *(float(s["step"]) for s in list(state.values())[:1]))

    moments = Moments()
    model = FineTuneClassifier("tiny", callbacks=[moments], **QUICK)
    for _ in range(3):
        model.partial_fit(*few)
    assert moments.steps == (4.0, 8.0)
