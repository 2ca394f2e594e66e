"""Every estimator against scikit-learn's own checks and one contract of our own."""

import inspect
import pickle
import warnings

import numpy as np
import pytest
import timm
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import SkipTestWarning
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_estimator

import sktransfer
from sktransfer import (
    DANNClassifier,
    DeepCORALClassifier,
    DeepFeatureTransformer,
    DistilledFeatureTransformer,
    DomainAlignedClassifier,
    FineTuneClassifier,
    FineTuneRegressor,
    LabeledClassifier,
    MMDClassifier,
    NeighborSelfTrainingClassifier,
    NeighborSmoother,
)
from sktransfer.raw_pixels import PixelTransformer
from sktransfer.unlabelled import SquareRootTransformer


def small_transformer():
    """Build a vision transformer of two blocks, for 16 patches of 8 pixels."""
    size = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
    return timm.create_model("vit_tiny_patch16_224", dynamic_img_size=True, **size)


class OnItsOwnSource:
    """An adaptation whose target is its source, as tables of scikit-learn's checks know no target."""

    def fit(self, X, y, sample_domain=None, X_target=None):
        return super().fit(X, y, sample_domain, X if X_target is None else X_target)


class Distilled(DistilledFeatureTransformer):
    """A student whose teacher is not checked, for scikit-learn's labels are of random numbers."""

    def fit(self, X, y=None):
        return super().fit(X)


class DANN(OnItsOwnSource, DANNClassifier):
    pass


class DeepCORAL(OnItsOwnSource, DeepCORALClassifier):
    pass


class DomainAligned(OnItsOwnSource, DomainAlignedClassifier):
    pass


class MMD(OnItsOwnSource, MMDClassifier):
    pass


# Each with parameters under which scikit-learn's tables of random numbers are images.
# Sizes, epochs and rates are such that the many fits of the checks are quick; so is a small transformer,
# several times quicker than convolutions, and both train by the same code.
ESTIMATORS = [
    DeepFeatureTransformer(backbone="tiny", image_shape="row"),
    PixelTransformer(size=4, image_shape="row"),
    FineTuneClassifier(
        small_transformer,
        pooling="token",
        image_shape="row",
        max_epochs=1,
        lr=0.02,
        precision="float32",
        random_state=0,
    ),
    FineTuneRegressor(
        backbone="tiny", image_shape="row", image_size=32, strategy="frozen", lr=0.01
    ),
    DeepFeatureTransformer(
        small_transformer, pooling="tokenavg", image_shape="row", random_state=0
    ),
]

ADAPTATIONS = {"bottleneck": 16, "lr": 0.05, "max_epochs": 8, "dropout": 0.0, "unlabeled": "none"}
OF_TABLES = [
    DANN(None, domain_head=(16,), **ADAPTATIONS),
    DeepCORAL(None, **ADAPTATIONS),
    MMD(None, **ADAPTATIONS),
    DomainAligned(n_components=2, unlabeled="none"),
    NeighborSelfTrainingClassifier(unlabeled="none"),
    LabeledClassifier(unlabeled="none"),
    NeighborSmoother(),
    SquareRootTransformer(),
]
DISTILLED = Distilled(
    small_transformer,
    teacher=DeepFeatureTransformer(small_transformer, pooling="token", image_shape="row"),
    image_shape="row",
    max_epochs=1,
    precision="float32",
    check_teacher=False,
)
OF_IMAGES = [
    *ESTIMATORS,
    FineTuneClassifier(
        backbone="tiny",
        image_shape="row",
        image_size=32,
        max_epochs=3,
        lr=0.003,
        precision="float32",
    ),
    DANN("tiny", image_size=32, max_epochs=1, domain_head=(8,)),
    clone(DISTILLED).set_params(backbone="tiny", teacher="tiny", image_size=32),
]

# The names of scikit-learn's checks that cannot run here, with the reason. None may fail.
SKIPPED = {"check_array_api_input": "needs the environment variable SCIPY_ARRAY_API"}


def _targets(estimator, y):
    """Give a transformer that learns nothing no y, so that it cannot depend on one."""
    return y if get_tags(estimator).target_tags.required else None


def every(estimators):
    return pytest.mark.parametrize("estimator", estimators, ids=lambda e: type(e).__name__)


def classes_of_the_package():
    """All public estimators, those of masks too, for which scikit-learn has no checks."""
    public = (getattr(sktransfer, name) for name in sktransfer.__all__)
    return [
        each
        for each in (*public, PixelTransformer)
        if inspect.isclass(each) and issubclass(each, BaseEstimator) and hasattr(each, "fit")
    ]


each_class = pytest.mark.parametrize("cls", classes_of_the_package(), ids=lambda c: c.__name__)


@every(
    [
        *ESTIMATORS,
        *[pytest.param(each, marks=pytest.mark.slow) for each in (*OF_TABLES, DISTILLED)],
    ],
)
def test_scikit_learns_checks_pass(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        results = check_estimator(estimator, on_fail=None)
    others = {r["check_name"]: repr(r["exception"]) for r in results if r["status"] != "passed"}
    assert set(others) <= set(SKIPPED), others
    assert len(results) > 30


@each_class
def test_parameters_after_the_first_are_keyword_only_and_kept_as_they_are(cls):
    first, *others = inspect.signature(cls).parameters.values()
    assert first.kind is first.POSITIONAL_OR_KEYWORD
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in others)
    for parameter in (first, *others):
        marker = object()
        made = cls(**{parameter.name: marker})
        assert getattr(made, parameter.name) is marker


@each_class
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


@every(OF_IMAGES)
@pytest.mark.parametrize("kind", ["images", "colour", "list", "rows"])
def test_every_kind_of_x_keeps_its_rows_and_gives_float32(estimator, kind, digits):
    images = digits.X[:6]
    X = {
        "images": images,
        "colour": np.repeat(images[..., None], 3, axis=3),
        "list": list(images),
        "rows": images.reshape(6, -1),
    }[kind]
    y = _targets(estimator, digits.y[:6])
    features = clone(estimator).set_params(image_shape=None).fit(X, y).transform(X)
    assert features.shape[0] == 6
    assert features.dtype == np.float32
    assert len(np.unique(features, axis=0)) == 6


@every(OF_IMAGES)
def test_an_empty_x_is_refused(estimator, digits):
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        clone(estimator).fit(np.empty((0, 8, 8), np.uint8), _targets(estimator, digits.y[:0]))


@every(OF_IMAGES)
def test_a_copy_knows_its_columns(estimator, digits):
    y = _targets(estimator, digits.y[:3])
    fitted = clone(estimator).set_params(image_shape=None).fit(digits.X[:3], y)
    names = fitted.get_feature_names_out()
    assert len(names) == fitted.transform(digits.X[:3]).shape[1] == len(set(names))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).get_feature_names_out(), names)
