"""A forked child can use the package after its parent has, and while its parent does."""

import os
import signal
import threading
import time
import traceback
import warnings

import numpy as np
import pytest
import torch

from sktransfer import DeepFeatureTransformer, FineTuneClassifier
from sktransfer.forks import ForkSafeLock

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not fork")


def _in_child(job, timeout_s=30):
    """Run something in a forked child and tell whether it ended well; one that hangs is killed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is the test
        child = os.fork()
    if child == 0:
        status = 1
        try:
            job()
            status = 0
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(status)
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


@pytest.fixture
def two_threads():
    """A pool of OpenMP, whose threads are not there in a child."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("n_workers", [0, 2])
def test_features_are_computed_in_a_child_as_in_its_parent(two_threads, n_workers, digits):
    model = DeepFeatureTransformer("tiny", cache=None, num_workers=n_workers, precision="float32")
    expected = model.fit_transform(digits.X[:32])

    def compute():
        found = model.transform(digits.X[:32])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

    assert _in_child(compute)
    assert torch.get_num_threads() == 2  # the parent keeps what it had


def test_networks_are_tuned_in_a_child_of_a_process_that_has_tuned_one(two_threads, digits):
    def tune():
        model = FineTuneClassifier("tiny", strategy="full", image_size=32, max_epochs=1)
        model.fit(digits.X[:16], digits.y[:16])

    tune()
    assert _in_child(tune)


@pytest.mark.parametrize("cache", ["memory", "folder"])
def test_a_child_finds_what_its_parent_has_kept_and_keeps_more(cache, tmp_path, digits):
    where = "memory" if cache == "memory" else tmp_path
    model = DeepFeatureTransformer("tiny", cache=where, num_workers=0)
    images = digits.X[:12] ^ 1  # that no other test has put into the memory
    model.fit_transform(images[:8])

    def compute():
        before = model.cache_info()
        model.transform(images)
        assert model.cache_info().hits == before.hits + 8

    assert _in_child(compute)
    before = model.cache_info().hits
    model.transform(images)
    assert model.cache_info().hits - before == (8 if cache == "memory" else 12)


def test_a_lock_that_another_thread_holds_is_free_in_a_child():
    lock = ForkSafeLock()
    held, may_end = threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            may_end.wait(60)

    other = threading.Thread(target=hold)
    other.start()
    held.wait(10)

    def take():
        with lock:
            pass

    assert _in_child(take, timeout_s=5)
    assert not lock.acquire(blocking=False)  # in the parent it is held as before
    may_end.set()
    other.join()


def test_a_lock_that_the_forking_thread_holds_stays_held():
    lock = ForkSafeLock()

    def leave():
        lock.release()
        with pytest.raises(RuntimeError, match="un-acquired"):
            lock.release()

    with lock:
        assert _in_child(leave)
