"""Changing any parameter of any estimator changes something that a user can see, or is refused."""

import contextlib
import inspect
import io
import pickle
import threading
from collections import Counter
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from skorch.callbacks import Callback
from torch import nn

import sktransfer
from sktransfer import DeepFeatureTransformer
from sktransfer.datasets import load_digit_images, load_digit_masks
from sktransfer.exceptions import DeviceError, ImageDecodeError
from sktransfer.images.sequences import ImageSequence

# ------------------------------------------------------------------------------- what is observed


class Counting(nn.Module):
    """A network that notes how many images come in each of its steps."""

    steps: list[int] = []  # noqa: RUF012 - of the class, because estimators copy the network

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=4)
        self.last = nn.Conv2d(4, 6, 3, stride=2)

    def forward(self, x):
        Counting.steps.append(len(x))
        return self.last(torch.relu(self.stem(x))).mean((2, 3))


class Noting(Callback):
    """A callback that notes that an epoch has begun."""

    begun: list[str] = []  # noqa: RUF012 - of the class, because skorch copies callbacks

    def on_epoch_begin(self, net, **kwargs):
        Noting.begun.append("epoch")


def outputs(estimator, data):
    """What the fitted estimator gives for the last eight images."""
    return outputs_of_fitted(estimator.fit(*data), data)


def outputs_of_fitted(model, data):
    give = getattr(model, "predict_proba", None) or getattr(model, "predict", model.transform)
    return np.concatenate([np.ravel(row) for row in give(data[0][-8:])])


def validation_losses(estimator, data):
    return [record.get("valid_loss") for record in estimator.fit(*data).history_]


def attribute(name):
    return lambda estimator, data: getattr(estimator.fit(*data), name)


def steps_of_the_network(estimator, data):
    Counting.steps.clear()
    estimator.set_params(backbone=Counting()).fit(*data)
    outputs(estimator, data)
    return Counter(Counting.steps)


def hits_of_a_second_fit(estimator, data):
    store = DeepFeatureTransformer(cache="memory")
    outputs(estimator, data)
    before = store.cache_info().hits
    outputs(estimator, data)
    return store.cache_info().hits > before


def threads_that_decode(estimator, data):
    threads = set()
    decode = ImageSequence.decode

    def noted(self, *args, **kwargs):
        threads.add(threading.current_thread() is threading.main_thread())
        return decode(self, *args, **kwargs)

    X, *y = data
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageSequence, "decode", noted)
        outputs(estimator, ([encoded(image) for image in X], *y))
    return threads


def encoded(image):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def outcome(estimator, data):
    """The kind of error, if it fails."""
    try:
        return outputs(estimator, data)
    except (ValueError, TypeError, RuntimeError) as exc:
        return type(exc).__name__


def message_of_the_error(estimator, data):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - any message is an observation
        estimator.fit(*data)
    return str(error.value)


def rows_that_fail(estimator, data):
    X, *y = data
    images = list(X)
    images[3] = b"no image"
    try:
        model = estimator.fit(images, *y)
        if not y:
            model.transform(images)
    except ImageDecodeError:
        return "an error"
    return model.failed_


def lines_written(estimator, data):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        outputs(estimator, data)
    return bool(out.getvalue())


def outputs_after_two_fits(estimator, data):
    estimator.fit(*data)
    return outputs(estimator, data)


def epochs_noted(estimator, data):
    Noting.begun.clear()
    estimator.fit(*data)
    return len(Noting.begun)


def bytes_pickled(estimator, data):
    return len(pickle.dumps(estimator.fit(*data)))


def of_rows_of_numbers(estimator, data):
    X, *y = data
    return outcome(estimator, (np.reshape(X, (len(X), -1)), *y))


# ------------------------------------------------------------------- how each parameter is changed


@dataclass(frozen=True)
class Change:
    """A value other than the usual one, the parameters under which its effect is seen, and where."""

    value: object
    under: dict = field(default_factory=dict)
    seen: object = outputs


RUN = {
    "batch_size": Change(3, seen=steps_of_the_network),
    "image_shape": Change((4, 16), seen=of_rows_of_numbers),
    "image_size": Change(48),
    "device": Change("cuda", seen=outcome),
    "precision": Change("bfloat16"),
    "num_workers": Change(2, {"num_workers": 0, "cache": None}, threads_that_decode),
    "cache": Change(None, seen=hits_of_a_second_fit),
    "on_error": Change("nan", seen=rows_that_fail),
    "random_state": Change(1),
    "verbose": Change(1, seen=lines_written),
}
NETWORK = {"backbone": Change(Counting()), "weights": Change("random", {"random_state": 0})}
LOOP = {
    "strategy": Change("frozen"),
    "n_trainable": Change(2, {"strategy": "partial"}),
    "head": Change("mlp"),
    "warmup_epochs": Change(1),
    "max_epochs": Change(3),
    "lr": Change(0.03),
    "backbone_lr": Change(0.02),
    "optimizer": Change("sgd"),
    "weight_decay": Change(0.5),
    "augmentation": Change("light"),
    "freeze_batchnorm": Change(False),
    "early_stopping": Change(False, {"validation_fraction": 0.4}, validation_losses),
    "validation_fraction": Change(0.5, {"validation_fraction": 0.4}, validation_losses),
    "patience": Change(
        2,
        {"lr": 1e-30, "max_epochs": 3, "patience": 1, "validation_fraction": 0.4},
        attribute("n_iter_"),
    ),
    "callbacks": Change([Noting()], seen=epochs_noted),
    "net_params": Change({"optimizer__betas": (0.5, 0.6)}),
    "schedule": Change("constant", {"batch_size": 8}),
    "layer_decay": Change(0.1, {"n_trainable": 2}),
    "max_grad_norm": Change(0.001),
    "n_views": Change(1, {"augmentation": "light"}, outcome),
}
STOPS_ONLY_IF_ASKED = {
    "early_stopping": Change(True, {"validation_fraction": 0.4}, validation_losses),
    "validation_fraction": Change(
        0.5, {"validation_fraction": 0.4, "early_stopping": True}, validation_losses
    ),
    "patience": Change(2, LOOP["patience"].under | {"early_stopping": True}, attribute("n_iter_")),
}
CLASSES = {"class_weight": Change({0: 9.0}), "label_smoothing": Change(0.3)}
FINE_TUNED = {"mixup": Change(1.0), "warm_start": Change(True, seen=outputs_after_two_fits)}
POOLED = {"pooling": Change("max")}
ADAPTED = {
    "lambda_max": Change(0.0),
    "lambda_gamma": Change(1.0),
    "bottleneck": Change(8),
    "entropy_weight": Change(1.0),
    "diversity_weight": Change(1.0),
    "batch_norm": Change("joint"),
    "pixel_norm": Change("per_domain", {"strategy": "full"}),
    "dropout": Change(0.1),
    "unlabeled": Change(0, seen=attribute("classes_")),
}

SMALL = {"backbone": "tiny", "random_state": 0, "image_size": 32}
TRAINED = {**SMALL, "max_epochs": 2, "lr": 0.01, "precision": "float32"}


@cache
def labelled():
    digits = load_digit_images()
    rows = np.flatnonzero(digits.y < 3)[:24]
    return digits.X[rows], digits.y[rows]


@cache
def adapted():
    """Twenty-four images of the source, and as many of the target."""
    digits = load_digit_images()
    rows = np.flatnonzero(digits.y < 3)[:48]
    return digits.X[rows], np.where(np.arange(48) % 2, -1, digits.y[rows])


@cache
def masked():
    masks = load_digit_masks()
    return masks.X[:24, :48, :48], np.minimum(masks.y[:24, :48, :48], 2)


ESTIMATORS = {
    "DeepFeatureTransformer": (
        SMALL | {"precision": "float32"},
        lambda: (labelled()[0][:24],),
        RUN
        | NETWORK
        | POOLED
        | {
            "random_state": Change(1, {"weights": "random"}),
            "layers": Change([-2, -1]),
            "store_weights": Change(True, seen=bytes_pickled),
        },
    ),
    "FineTuneClassifier": (
        TRAINED,
        labelled,
        RUN | NETWORK | LOOP | POOLED | FINE_TUNED | CLASSES,
    ),
    "FineTuneRegressor": (TRAINED, labelled, RUN | NETWORK | LOOP | POOLED | FINE_TUNED),
    "DANNClassifier": (
        TRAINED | {"bottleneck": 16, "domain_head": (16,)},
        adapted,
        RUN
        | NETWORK
        | LOOP
        | POOLED
        | CLASSES
        | ADAPTED
        | {
            "algorithm": Change("alternating"),
            "domain_head": Change((8, 8)),
            "conditional": Change(True),
            **STOPS_ONLY_IF_ASKED,
        },
    ),
    "DeepCORALClassifier": (
        TRAINED | {"bottleneck": 16},
        adapted,
        ADAPTED,
    ),
    "MMDClassifier": (
        TRAINED | {"bottleneck": 16},
        adapted,
        ADAPTED,
    ),
    "FineTuneSegmenter": (
        TRAINED | {"image_size": None, "validation_fraction": 0.4},
        masked,
        RUN
        | NETWORK
        | LOOP
        | CLASSES
        | {
            "head": Change("fcn8s"),
            "loss": Change("ce"),
            "unlabeled": Change(0, seen=attribute("classes_")),
            "image_shape": Change((48, 48, 3), seen=of_rows_of_numbers),
            "image_size": Change(40),
        },
    ),
    "DistilledFeatureTransformer": (
        TRAINED | {"teacher": "tiny", "batch_size": 8, "check_teacher": False},
        labelled,
        RUN
        | NETWORK
        | LOOP
        | POOLED
        | {
            **STOPS_ONLY_IF_ASKED,
            "strategy": Change("full"),
            "freeze_batchnorm": Change(True),
            "max_epochs": Change("auto"),
            "teacher": Change(DeepFeatureTransformer("tiny", layers=-2)),
            "teacher_weights": Change("random"),
            "mix": Change(0.5),
            "check_teacher": Change(True, seen=outcome),
            "unlabeled": Change(0, {"check_teacher": True}, message_of_the_error),
        },
    ),
    "PixelClassifier": (
        SMALL | {"image_size": None, "precision": "float32", "n_pixels": 50},
        masked,
        RUN
        | NETWORK
        | {
            "estimator": Change(RandomForestClassifier(5, random_state=0)),
            "layers": Change([-1]),
            "n_pixels": Change(20, seen=attribute("n_pixels_")),
            "unlabeled": Change(0, seen=attribute("classes_")),
            "image_shape": Change((48, 48, 3), seen=of_rows_of_numbers),
            "image_size": Change(40),
        },
    ),
}


@cache
def vectors():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 20)
    X = rng.normal(size=(60, 6)) + 2 * np.eye(6)[y]
    return X, np.where(np.arange(60) % 20 < 3, y, -1)


ESTIMATORS |= {
    "DomainAlignedClassifier": (
        {"method": "subspaces"},
        vectors,
        {
            "estimator": Change(RandomForestClassifier(5, random_state=0)),
            "method": Change("coral"),
            "n_components": Change(2),
            "unlabeled": Change(0, seen=attribute("classes_")),
        },
    ),
    "NeighborSmoother": (
        {},
        lambda: vectors()[:1],
        {"n_neighbors": Change(3), "weight": Change(0.9)},
    ),
    "LabeledClassifier": (
        {},
        vectors,
        {
            "estimator": Change(RandomForestClassifier(5, random_state=0)),
            "unlabeled": Change(0, seen=attribute("classes_")),
        },
    ),
    "NeighborSelfTrainingClassifier": (
        {},
        vectors,
        {
            "estimator": Change(RandomForestClassifier(5, random_state=0)),
            "n_neighbors": Change(3),
            "unlabeled": Change(0, seen=attribute("classes_")),
            "weight": Change(1.0),
        },
    ),
}


def estimators_of_the_package():
    for name in sktransfer.__all__:
        value = getattr(sktransfer, name)
        if inspect.isclass(value) and issubclass(value, BaseEstimator) and hasattr(value, "fit"):
            yield name, value


# What else they have, they have from the class that they share with DANNClassifier, which tries it.
SIBLINGS = {"DeepCORALClassifier", "MMDClassifier"}


def test_every_parameter_of_every_estimator_is_tried():
    for name, cls in estimators_of_the_package():
        tried = set(ESTIMATORS[name][2])
        if name in SIBLINGS:
            tried |= set(ESTIMATORS["DANNClassifier"][2]) & set(inspect.signature(cls).parameters)
        assert tried == set(inspect.signature(cls).parameters), name


def observed(name, change, parameters):
    usual, data, _ = ESTIMATORS[name]
    cls = getattr(sktransfer, name)
    return change.seen(cls(**usual | change.under | parameters), data())


@cache
def usual_outputs(name):
    return observed(name, Change(None), {})


@pytest.mark.parametrize(
    ("name", "parameter"),
    [(name, parameter) for name, (_, _, changes) in ESTIMATORS.items() for parameter in changes],
)
def test_changing_a_parameter_changes_what_is_seen(name, parameter):
    change = ESTIMATORS[name][2][parameter]
    if parameter == "device" and torch.cuda.is_available():
        pytest.skip("a GPU computes nearly the same")
    plain = change.seen is outputs and not change.under
    before = usual_outputs(name) if plain else observed(name, change, {})
    after = observed(name, change, {parameter: change.value})
    assert not same(before, after)
    if parameter == "device":
        assert after == DeviceError.__name__


@pytest.mark.parametrize("name", ESTIMATORS)
def test_nothing_changes_by_itself(name):
    assert same(usual_outputs(name), observed(name, Change(None), {}))


def same(one, other):
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other, equal_nan=True)
    return type(one) is type(other) and one == other
