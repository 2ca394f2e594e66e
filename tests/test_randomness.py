"""Random numbers of our own, beside those of the user."""

import random
import threading

import numpy as np
import pytest
import torch
from joblib import parallel_config
from sklearn.model_selection import cross_val_predict

from sktransfer import FineTuneClassifier
from sktransfer.randomness import RandomStream, seeded, seeded_everywhere

CPU = torch.device("cpu")


def _state():
    return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002


def test_a_stream_goes_on_from_loan_to_loan_and_leaves_no_trace():
    with seeded(3):
        expected = torch.rand(4)
    before, stream = _state(), RandomStream(3, CPU)
    parts = []
    for _ in range(2):
        with stream.lent():
            parts.append(torch.rand(2))
        torch.rand(1)  # of the user
    assert torch.cat(parts).equal(expected)
    assert _state()[1:] == before[1:]


def test_all_three_generators_are_given_back_also_after_an_error():
    before, drawn = _state(), []

    def draw_and_fail():
        with seeded_everywhere(5):
            drawn.append((torch.rand(1).item(), random.random(), np.random.rand()))  # noqa: NPY002
            raise RuntimeError("stop")

    for _ in range(2):
        with pytest.raises(RuntimeError, match="stop"):
            draw_and_fail()
    assert drawn[0] == drawn[1]
    assert _state() == before


def test_streams_of_two_threads_do_not_mix():
    def draw(seed, found):
        stream = RandomStream(seed, CPU)
        for _ in range(200):
            with stream.lent():
                found.append(torch.rand(1).item())

    expected, found = [[], []], [[], []]
    for seed in range(2):
        draw(seed, expected[seed])
    threads = [threading.Thread(target=draw, args=(seed, found[seed])) for seed in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected


def test_threads_of_joblib_train_as_the_seed_says_and_leave_torchs_numbers(digits):
    X, y = digits.X[:80], digits.y[:80] % 3
    model = FineTuneClassifier(
        "tiny", strategy="frozen", head="mlp", max_epochs=4, random_state=0, precision="float32"
    )
    serial = cross_val_predict(model, X, y, cv=4, method="predict_proba")
    state = torch.get_rng_state()
    with parallel_config("threading", n_jobs=2):
        threads = cross_val_predict(model, X, y, cv=4, method="predict_proba", n_jobs=2)
    np.testing.assert_allclose(threads, serial, atol=1e-6)
    assert torch.get_rng_state().equal(state)


@pytest.mark.parametrize("draw", [random.random, np.random.rand, lambda: torch.rand(1).item()])
def test_the_seed_decides_an_augmentation_whatever_it_draws_from(draw, digits):
    X, y = digits.X[:40], digits.y[:40] % 2

    def flip(image):
        return torch.flip(image, [2]) if draw() < 0.5 else image

    model = FineTuneClassifier(
        "tiny", strategy="frozen", max_epochs=2, random_state=0, augmentation=flip, image_size=32
    )
    first, second = (model.fit(X, y).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)
