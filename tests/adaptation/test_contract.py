"""The adaptation classifiers against scikit-learn's checks, and against our contract of parameters."""

import inspect
import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import check_estimator

from sktransfer import DANNClassifier, DeepCORALClassifier, MMDClassifier

CLASSES = [DANNClassifier, DeepCORALClassifier, MMDClassifier]
QUICK = {"bottleneck": 16, "lr": 0.02, "max_epochs": 20, "dropout": 0.0, "unlabeled": "none"}

# scikit-learn's checks know no target, and to fit without one is an error here, as it should be.
# So each class is checked with its own source as the target; all else is as users have it.
SKIPPED = {"check_array_api_input": "needs the environment variable SCIPY_ARRAY_API"}


class OnItsOwnSource:
    def fit(self, X, y):
        return super().fit(X, y, X_target=X)


class DANN(OnItsOwnSource, DANNClassifier):
    pass


class DeepCORAL(OnItsOwnSource, DeepCORALClassifier):
    pass


class MMD(OnItsOwnSource, MMDClassifier):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("cls", [DANN, DeepCORAL, MMD])
def test_scikit_learns_checks_pass_where_the_source_is_the_target_too(cls):
    small = {"domain_head": (16,)} if cls is DANN else {}
    estimator = cls(None, **QUICK, **small)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        results = check_estimator(estimator, on_fail=None)
    others = {r["check_name"]: repr(r["exception"]) for r in results if r["status"] != "passed"}
    assert set(others) <= set(SKIPPED), others
    assert len(results) > 40


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_parameters_after_the_first_are_keyword_only_and_kept_as_they_are(cls):
    first, *others = inspect.signature(cls).parameters.values()
    assert first.kind is first.POSITIONAL_OR_KEYWORD
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in others)
    for parameter in (first, *others):
        marker = object()
        assert getattr(cls(**{parameter.name: marker}), parameter.name) is marker


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_every_parameter_is_documented_with_the_default_it_has(cls):
    documentation = inspect.getdoc(cls)
    for parameter in inspect.signature(cls).parameters.values():
        lines = [
            line for line in documentation.splitlines() if line.split(" : ")[0] == parameter.name
        ]
        assert len(lines) == 1, parameter.name
        default = parameter.default
        shown = f'"{default}"' if isinstance(default, str) else repr(default)
        assert lines[0].endswith(f"default={shown}")


@pytest.mark.parametrize("kind", ["images", "colour", "list", "rows"])
def test_every_kind_of_x_keeps_its_rows(kind, digits):
    images, y = digits.X[:12], np.where(np.arange(12) < 8, digits.y[:12], -1)
    X = {
        "images": images,
        "colour": np.repeat(images[..., None], 3, axis=3),
        "list": list(images),
        "rows": images.reshape(12, -1),
    }[kind]
    model = DANNClassifier("tiny", strategy="frozen", max_epochs=1, domain_head=(8,), image_size=32)
    features = clone(model).fit(X, y).transform(X)
    assert features.shape == (12, 256)
    assert features.dtype == np.float32


def test_a_copy_predicts_the_same_and_knows_its_columns(digits):
    y = np.where(np.arange(12) < 8, digits.y[:12], -1)
    model = DANNClassifier("tiny", max_epochs=1, domain_head=(8,), image_size=32, random_state=0)
    model.fit(digits.X[:12], y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(digits.X[:12]), model.predict(digits.X[:12]))
    names = again.get_feature_names_out()
    np.testing.assert_array_equal(names, model.get_feature_names_out())
    assert len(names) == model.transform(digits.X[:3]).shape[1] == len(set(names))
