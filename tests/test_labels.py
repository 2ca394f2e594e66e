"""Labels mean the same in whatever container they come."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sktransfer import DANNClassifier, FineTuneClassifier, compare_strategies, rank_backbones
from sktransfer.labels import as_label_array, check_class_labels
from sktransfer.training.targets import check_labels


def objects(values):
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def shuffled_index(values, dtype=None):
    return pd.Series(values, index=np.arange(len(values))[::-1] * 3 + 7, dtype=dtype)


OF_ANYTHING = {
    "list": list,
    "tuple": tuple,
    "array": np.array,
    "objects": objects,
    "Series": shuffled_index,
    "Series of objects": lambda values: shuffled_index(values, object),
    "categorical": lambda values: shuffled_index(values, "category"),
    "polars": pl.Series,
    "Arrow": pa.array,
    "chunks of Arrow": lambda values: pa.chunked_array([values[:2], values[2:]]),
}
OF_NUMBERS = {
    "tensor": torch.tensor,
    "nullable": lambda values: shuffled_index(values, "Int64"),
    "small integers": lambda values: np.array(values, np.int8),
    "floats": lambda values: np.array(values, np.float64),
}
OF_TEXTS = {
    "string": lambda values: shuffled_index(values, "string"),
    "polars categorical": lambda values: pl.Series(values, dtype=pl.Categorical),
}
numbers = st.lists(st.integers(-5, 100), min_size=4, max_size=12)
texts = st.lists(st.text("abc é'$", max_size=3), min_size=4, max_size=12)


def equal(found, expected):
    classes, codes = found
    return classes.tolist() == expected[0].tolist() and codes.tolist() == expected[1].tolist()


@settings(deadline=None, max_examples=80)
@given(numbers, st.sampled_from(sorted(OF_ANYTHING | OF_NUMBERS)))
def test_property_numbers_mean_the_same_in_every_container(values, container):
    if len(set(values)) < 2:
        return
    expected = np.unique(values, return_inverse=True)
    labels = (OF_ANYTHING | OF_NUMBERS)[container](values)
    assert equal(check_class_labels(values, labels), expected)
    assert check_labels(labels).tolist() == values


@settings(deadline=None, max_examples=80)
@given(texts, st.sampled_from(sorted(OF_ANYTHING | OF_TEXTS)))
def test_property_texts_mean_the_same_in_every_container(values, container):
    if len(set(values)) < 2:
        return
    expected = np.unique(np.array(values, object), return_inverse=True)
    labels = (OF_ANYTHING | OF_TEXTS)[container](values)
    assert equal(check_class_labels(values, labels), expected)
    assert check_labels(labels).tolist() == values


MISSING = {
    "list": lambda values: [*values, None],
    "NaN in a list": lambda values: [*values, float("nan")],
    "objects": lambda values: objects([*values, None]),
    "Series": lambda values: pd.Series([*values, None]),
    "string": lambda values: pd.Series([*values, None], dtype="string"),
    "categorical": lambda values: pd.Series([*values, None], dtype="category"),
    "polars": lambda values: pl.Series([*values, None]),
    "Arrow": lambda values: pa.array([*values, None]),
}


@pytest.mark.parametrize("kind", MISSING)
@pytest.mark.parametrize("values", [["a", "b", "a"], [0, 1, 0]], ids=["texts", "numbers"])
def test_a_missing_label_is_refused_with_its_row(kind, values, digits):
    labels = MISSING[kind](values)
    for call in (
        lambda: FineTuneClassifier("tiny").fit(digits.X[:4], labels),
        lambda: rank_backbones(digits.X[:4], labels, backbones=["tiny"]),
        lambda: compare_strategies(digits.X[:4], labels, cv=2),
    ):
        with pytest.raises(ValueError, match=r"1 of 4 rows have no label, the first is row 3"):
            call()


@pytest.mark.parametrize("container", ["list", "categorical", "polars", "Arrow"])
def test_a_class_with_too_few_images_is_named_as_the_user_names_it(container, digits):
    labels = OF_ANYTHING[container](["a"] * 5 + ["b"] * 4 + ["c"])
    with pytest.raises(ValueError, match="class 'c' has only 1"):
        compare_strategies(digits.X[:10], labels, cv=2)


@pytest.mark.parametrize("container", sorted(OF_ANYTHING | OF_TEXTS))
def test_an_adapted_classifier_predicts_the_same_from_every_container(container):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    values = ["yes" if x > 0 else "no" for x in X[:20, 0]] + ["?"] * 20
    model = DANNClassifier(
        None, bottleneck=4, domain_head=(4,), max_epochs=2, unlabeled="?", random_state=0
    )
    expected = model.fit(X, values).predict_proba(X)
    found = model.fit(X, (OF_ANYTHING | OF_TEXTS)[container](values))
    assert found.classes_.tolist() == ["no", "yes"]
    np.testing.assert_array_equal(found.predict_proba(X), expected)


def test_numbers_among_texts_stay_numbers():
    assert as_label_array(["a", 1]).tolist() == ["a", 1]
    assert as_label_array(pl.Series([1, 2])).dtype == np.int64
