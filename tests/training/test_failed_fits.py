"""A fit that fails, or is ended by Ctrl-C, leaves every estimator as it was."""

import signal
import time

import numpy as np
import pytest
from sklearn.base import clone
from skorch.callbacks import Callback, EarlyStopping

from sktransfer import (
    DANNClassifier,
    DeepCORALClassifier,
    DeepFeatureTransformer,
    FineTuneClassifier,
    FineTuneRegressor,
    MMDClassifier,
)
from sktransfer.exceptions import TrainingError
from sktransfer.raw_pixels import PixelTransformer

SMALL = {"max_epochs": 2, "random_state": 0, "image_size": 32}
TRAINED = [
    FineTuneClassifier("tiny", strategy="frozen", warm_start=True, **SMALL),
    FineTuneClassifier("tiny", strategy="partial", warm_start=True, **SMALL),
    FineTuneRegressor("tiny", strategy="partial", warm_start=True, **SMALL),
    DANNClassifier("tiny", domain_head=(8,), bottleneck=8, **SMALL),
    DeepCORALClassifier("tiny", bottleneck=8, **SMALL),
    MMDClassifier("tiny", bottleneck=8, **SMALL),
]


class Interrupt(Callback):
    """Presses Ctrl-C at the end of the second epoch."""

    def on_epoch_end(self, net, **_):
        if len(net.history) % 2 == 0:
            signal.raise_signal(signal.SIGINT)


class Fail(Callback):
    def on_epoch_end(self, net, **_):
        raise TrainingError("the loss became nan")


def _targets(model, y):
    return np.where(np.arange(len(y)) < 20, y, -1) if hasattr(model, "unlabeled") else y


def _answers(model, X):
    ask = getattr(model, "predict_proba", None) or model.predict
    return ask(X), model.transform(X)


@pytest.mark.parametrize("model", TRAINED, ids=lambda model: type(model).__name__)
@pytest.mark.parametrize(
    ("callback", "error"), [(Interrupt, KeyboardInterrupt), (Fail, TrainingError)]
)
def test_a_failed_fit_leaves_a_fitted_estimator_as_it_was(model, callback, error, digits):
    X, y = digits.X[:40], digits.y[:40] % 2
    fitted = clone(model).fit(X, _targets(model, y))
    before, attributes = _answers(fitted, X), dict(vars(fitted))
    fitted.set_params(callbacks=[callback()], lr=0.1)
    colour = np.repeat(X[..., None], 3, axis=3)
    with pytest.raises(error):
        fitted.fit(colour, _targets(model, y))
    fitted.set_params(callbacks=attributes["callbacks"], lr=attributes["lr"])
    assert vars(fitted).keys() == attributes.keys()
    for now, then in zip(_answers(fitted, X), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("kind", [FineTuneClassifier, FineTuneRegressor])
def test_a_partial_fit_that_diverges_leaves_the_model_as_it_was(kind, digits):
    X, y = digits.X[:40], digits.y[:40] % 3
    model = kind("tiny", strategy="partial", **SMALL).partial_fit(X, y).partial_fit(X, y)
    before = _answers(model, X)
    model.set_params(lr=1e30, backbone_lr=1e30, max_grad_norm=None, batch_size=8)
    with pytest.raises(TrainingError, match="the loss became"):
        model.partial_fit(X, y)
    for now, then in zip(_answers(model, X), before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert np.isfinite(before[0]).all()


@pytest.mark.parametrize(
    "model",
    [DeepFeatureTransformer("tiny"), PixelTransformer(8)],
    ids=lambda model: type(model).__name__,
)
def test_a_transformer_that_refuses_images_is_as_it_was(model, digits):
    before = model.fit(digits.X[:3]).transform(digits.X[:3])
    with pytest.raises(ValueError, match=r"."):
        model.fit(["no such image.png"]).transform(["no such image.png"])
    np.testing.assert_array_equal(model.transform(digits.X[:3]), before)


def test_an_interrupt_in_a_callback_of_skorch_is_an_interrupt(digits):
    # The clock of skorch's own callbacks is where the key was pressed.
    class Clock(Callback):
        def on_epoch_end(self, net, **_):
            if len(net.history) == 3:
                signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
                signal.setitimer(signal.ITIMER_REAL, 1e-6)
                time.sleep(0.01)

    model = FineTuneClassifier("tiny", strategy="frozen", callbacks=[Clock()], random_state=0)
    try:
        with pytest.raises(KeyboardInterrupt):
            model.fit(digits.X[:40], digits.y[:40] % 2)
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert not hasattr(model, "n_iter_")


def test_early_stopping_of_skorch_ends_a_training_as_planned(digits):
    stop = EarlyStopping(patience=2, monitor="train_loss", threshold=1e9, threshold_mode="abs")
    model = FineTuneClassifier(
        "tiny", strategy="frozen", early_stopping=False, callbacks=[stop], random_state=0
    ).fit(digits.X[:40], digits.y[:40] % 2)
    assert model.n_iter_ == 3
    assert np.isfinite(model.predict_proba(digits.X[:4])).all()
