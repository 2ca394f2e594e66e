import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, Subset

from sktransfer import DeepFeatureTransformer, FineTuneClassifier, audit_images
from sktransfer.images import as_image_sequence

X = np.random.default_rng(0).integers(0, 256, (60, 9, 9, 3), dtype=np.uint8)
Y = np.arange(60) % 2


class OneHandle(Dataset):
    """Seeks, waits and reads, as a data set with one open file may."""

    def __init__(self):
        self.position = None
        self.threads = set()

    def __len__(self):
        return len(X)

    def __getitem__(self, row):
        self.threads.add(threading.get_ident())
        self.position = row
        time.sleep(1e-4)
        return X[self.position]


class ThreadSafe(OneHandle):
    thread_safe = True

    def __getitem__(self, row):
        self.threads.add(threading.get_ident())
        time.sleep(1e-3)
        return X[row]


class ArrayLike(OneHandle):
    shape, dtype = X.shape, X.dtype


@pytest.mark.parametrize("kind", [OneHandle, ArrayLike])
def test_a_data_set_is_read_by_the_calling_thread_only(kind):
    data = kind()
    features = DeepFeatureTransformer("tiny", cache=None, num_workers=4, batch_size=30)
    expected = features.transform(X)
    np.testing.assert_array_equal(features.transform(data), expected)
    assert data.threads == {threading.get_ident()}


def test_training_and_audit_read_a_data_set_by_one_thread_too():
    data = OneHandle()
    FineTuneClassifier(
        "tiny", strategy="frozen", max_epochs=1, num_workers=4, early_stopping=False, cache=None
    ).fit(data, Y)
    audit_images(data, num_workers=4, backbone="tiny")
    assert data.threads == {threading.get_ident()}


def test_a_data_set_that_says_so_is_read_by_several_threads():
    data = ThreadSafe()
    DeepFeatureTransformer("tiny", cache=None, num_workers=4).transform(data)
    assert len(data.threads) > 1
    assert not as_image_sequence(Subset(data, [1, 2])).one_reader
    assert as_image_sequence(Subset(OneHandle(), [1, 2])).one_reader


def test_arrays_lists_and_tensors_are_read_by_several_threads():
    for kind in (X, list(X), torch.from_numpy(X), ["a.png"]):
        assert not as_image_sequence(kind).one_reader


def test_two_subsets_of_one_data_set_are_not_read_at_once():
    data = OneHandle()
    halves = [as_image_sequence(Subset(data, range(i, 60, 2))) for i in range(2)]
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda row: halves[row % 2].read(row // 2), range(60)))
    np.testing.assert_array_equal(read, X)


def test_images_opened_from_one_archive_are_not_decoded_at_once(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for row, image in enumerate(X):
            Image.fromarray(image).save(tmp_path / f"{row}.png")
            tar.add(tmp_path / f"{row}.png", f"{row}.png")
    with tarfile.open(tmp_path / "a.tar") as tar:
        lazy = [Image.open(tar.extractfile(f"{row}.png")) for row in range(len(X))]
        images = as_image_sequence(lazy)
        with ThreadPoolExecutor(8) as pool:
            read = list(pool.map(images.read, range(len(X))))
    np.testing.assert_array_equal(read, X)
