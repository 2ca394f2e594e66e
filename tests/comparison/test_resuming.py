import json
import pickle
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from sktransfer import compare_strategies
from sktransfer.comparison.resuming import Journal, digest_of_images, identity_of_result, key_of
from sktransfer.exceptions import CacheError

QUICK = {"backbone": "tiny", "layers": [-1], "poolings": ["avg"], "cv": 3, "pixel_size": 8}


class Counted(DummyClassifier):
    """Counts the fits of all its clones in a file."""

    def __init__(self, file=None, strategy="prior", random_state=None):
        super().__init__(strategy=strategy, random_state=random_state)
        self.file = file

    def fit(self, X, y):
        with Path(self.file).open("ab") as file:
            file.write(b".")
        return super().fit(np.zeros((len(y), 1)), y)


LOADED = []


class Loading(Counted):
    """Loads something once in a process."""

    def fit(self, X, y):
        LOADED.append(len(LOADED))
        return super().fit(X, y)


@pytest.fixture
def counted(tmp_path):
    """A candidate, and a function that tells how often it was fitted since the last call."""
    file = tmp_path / "fits"
    seen = 0

    def n_fits():
        nonlocal seen
        before, seen = seen, file.stat().st_size
        return seen - before

    return {"guess": (Counted(str(file)), {"random_state": [0, 1]})}, n_fits


@pytest.fixture(scope="module")
def few(digits):
    return digits.X[:90], digits.y[:90]


def test_what_is_finished_is_not_done_again(few, counted, tmp_path):
    candidates, n_fits = counted
    compare = partial(compare_strategies, *few, candidates=candidates, cv=3, resume=tmp_path / "r")
    first = compare()
    assert n_fits() == 2 * 3 + 1  # settings times folds, and the winner on all images
    again = compare()
    assert n_fits() == 1
    assert first.results_.equals(again.results_)
    assert first.fold_scores_.equals(again.fold_scores_)


def test_what_a_fit_changes_outside_its_estimator_is_no_other_estimator(few, tmp_path):
    file = tmp_path / "fits"
    candidates = {"guess": (Loading(str(file)), {"random_state": [0, 1]})}
    for n_fits in (2 * 3 + 1, 2 * 3 + 2):
        LOADED.clear()  # as in a new process
        compare_strategies(*few, candidates=candidates, cv=3, resume=tmp_path / "r")
        assert file.stat().st_size == n_fits


def test_scores_are_those_without_an_interruption(few, counted, tmp_path):
    candidates, _ = counted
    kept, plain = (
        compare_strategies(*few, candidates=candidates, cv=3, resume=resume)
        for resume in (tmp_path / "r", None)
    )
    assert kept.fold_scores_.equals(plain.fold_scores_)


@pytest.mark.parametrize(
    "other",
    [
        {"X": slice(1, 91), "y": slice(0, 90)},
        {"X": slice(0, 90), "y": slice(1, 91)},
        {"random_state": 1},
        {"scoring": "f1_macro"},
        {"candidates": {"strategy": ["stratified"], "random_state": [0, 1]}},
    ],
    ids=["images", "labels", "folds", "scoring", "parameters"],
)
def test_nothing_is_found_for_something_else(digits, counted, tmp_path, other):
    candidates, n_fits = counted
    (guess, _) = candidates["guess"]
    resume = tmp_path / "r"
    X, y = digits.X[:90], digits.y[:90]
    compare_strategies(X, y, candidates=candidates, cv=3, resume=resume)
    assert n_fits() == 7
    changed = {**other}
    X, y = digits.X[changed.pop("X", slice(90))], digits.y[changed.pop("y", slice(90))]
    if "candidates" in changed:
        candidates = {"guess": (guess, changed.pop("candidates"))}
    compare_strategies(X, y, candidates=candidates, cv=3, resume=resume, **changed)
    assert n_fits() == 7


def test_a_larger_grid_does_only_what_is_new(few, counted, tmp_path):
    candidates, n_fits = counted
    resume = tmp_path / "r"
    compare_strategies(*few, candidates=candidates, cv=3, resume=resume)
    n_fits()
    larger = {"guess": (candidates["guess"][0], {"random_state": [0, 1, 2]})}
    compare_strategies(*few, candidates=larger, cv=3, resume=resume, n_jobs=None)
    assert n_fits() == 3 + 1


def test_damaged_results_are_done_again(few, counted, tmp_path):
    candidates, n_fits = counted
    compare = partial(compare_strategies, *few, candidates=candidates, cv=3, resume=tmp_path / "r")
    first = compare()
    n_fits()
    cut, other, wrong, *_ = sorted((tmp_path / "r" / "results").glob("*.json"))
    cut.write_text(cut.read_text()[:40])
    other.write_text(wrong.read_text())
    wrong.write_text(json.dumps({"key": json.loads(wrong.read_text())["key"], "result": {}}))
    assert first.fold_scores_.equals(compare().fold_scores_)
    assert n_fits() == 3 + 1


SCRIPT = """
import json, time
from sktransfer import compare_strategies
from sktransfer.datasets import load_digit_images
from sktransfer.features.engine import Engine

n_images, run = 0, Engine.run

def counted(self, pixels, preprocessing):
    global n_images
    n_images += len(pixels)
    return run(self, pixels, preprocessing)

def slowly(model, X, y):
    time.sleep(0.2)
    return model.score(X, y)

Engine.run = counted
X, y = load_digit_images(return_X_y=True)
comparison = compare_strategies(
    X[:90], y[:90], candidates=["features + SVM", "raw pixels + logistic regression"],
    layers=[-1], poolings=["avg"], cv=3, pixel_size=8, scoring=slowly, resume="kept", backbone="tiny", n_jobs=1,
)
print(json.dumps([n_images, comparison.fold_scores_.to_dict(orient="list")]))
"""
N_FILES = (2 + 3) * 3 + 1  # settings times folds, and the one pass through the network


@pytest.mark.slow
def test_a_comparison_that_is_killed_goes_on_where_it_was(few, tmp_path):
    command = [sys.executable, "-c", SCRIPT]
    process = subprocess.Popen(command, cwd=tmp_path)
    results, deadline = tmp_path / "kept" / "results", time.monotonic() + 120
    while len(list(results.glob("*.json"))) < 4:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    kept = {path.name: path.read_bytes() for path in results.glob("*.json")}
    assert 4 <= len(kept) < N_FILES

    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    after = {path.name: path.read_bytes() for path in results.glob("*.json")}
    assert len(after) == N_FILES
    assert kept.items() <= after.items()  # nothing of it was done again
    n_images, scores = json.loads(done.stdout)
    assert n_images == 0
    plain = compare_strategies(*few, candidates=list(scores)[:-1], **QUICK)
    assert scores == plain.fold_scores_.to_dict(orient="list")


def test_a_folder_that_cannot_be_used_is_refused(few, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match=r"resume='.*' cannot be used as a folder"):
        compare_strategies(*few, resume=tmp_path / "file")


def test_a_parameter_that_cannot_be_told_from_others_is_refused():
    guess = SVC(kernel=(number for number in [1]))
    with pytest.raises(
        TypeError, match="candidate holds a generator, which cannot be told from others"
    ):
        key_of(candidate=guess)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (1, True),
        ("1", 1),
        ([1, 2], [2, 1]),
        (SVC(C=1), SVC(C=2)),
        (SVC(), DummyClassifier()),
        (Pipeline([("a", SVC(C=1))]), Pipeline([("a", SVC(C=2))])),
        (lambda x: x + 1, lambda x: x + 2),
        (partial(max, 1), partial(max, 2)),
        (np.zeros(3), np.zeros((3, 1))),
        (np.zeros(3, np.float32), np.zeros(3)),
        (torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)),
        (SVC, DummyClassifier),
    ],
)
def test_different_things_have_different_descriptions(one, other):
    assert identity_of_result(one) != identity_of_result(other)


def test_functions_differ_by_what_they_have_closed_over():
    def power(n):
        return lambda x: x**n

    assert (
        identity_of_result(power(2)) == identity_of_result(power(2)) != identity_of_result(power(3))
    )


@pytest.mark.parametrize(
    "value",
    [SVC(C=3), lambda x: x, np.arange(3), torch.nn.Linear(2, 2), {"a": (1, None)}, partial(max, 1)],
)
def test_equal_things_have_equal_descriptions(value):
    copy = value if callable(value) and not hasattr(value, "parameters") else None
    copy = copy or pickle.loads(pickle.dumps(value))
    assert identity_of_result(value) == identity_of_result(copy)


def test_how_something_is_computed_is_not_described():
    first, second = (Counted("f").set_params() for _ in range(2))
    assert identity_of_result(first) == identity_of_result(second)
    from sktransfer import DeepFeatureTransformer

    features = DeepFeatureTransformer("tiny", cache="memory", num_workers=1, verbose=0)
    others = DeepFeatureTransformer("tiny", cache=None, num_workers=0, verbose=1)
    assert identity_of_result(features) == identity_of_result(others)
    assert identity_of_result(features) != identity_of_result(others.set_params(pooling="max"))


def test_a_file_of_weights_is_described_with_its_state(tmp_path):
    from sktransfer import DeepFeatureTransformer

    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"1")
    before = identity_of_result(DeepFeatureTransformer("tiny", weights=str(weights)))
    weights.write_bytes(b"22")
    assert identity_of_result(DeepFeatureTransformer("tiny", weights=str(weights))) != before


def test_the_digest_of_images_is_that_of_their_content(digits, tmp_path):
    paths = [str(tmp_path / f"{row}.png") for row in range(3)]
    for path, image in zip(paths, digits.X, strict=False):
        Image.fromarray(image).save(path)
    before = digest_of_images(paths)
    assert digest_of_images([*paths]) == before
    assert digest_of_images(paths[::-1]) != before
    Image.fromarray(digits.X[7]).save(paths[1])
    assert digest_of_images(paths) != before
    assert digest_of_images(digits.X[:3]) == digest_of_images(list(digits.X[:3]))


def test_a_table_that_holds_no_images_has_a_digest_too():
    import pandas as pd

    table = pd.DataFrame({"a": ["x", "y"], "b": [1, 2]})
    assert digest_of_images(table) != digest_of_images(table.assign(b=[1, 3]))


def test_an_unfinished_file_is_not_found(tmp_path):
    journal = Journal(tmp_path)
    journal.write("key", {"score": 1.0})
    (file,) = tmp_path.iterdir()
    file.rename(file.with_suffix(".1.unfinished"))
    assert journal.read("key") is None
