import multiprocessing
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import numpy as np
import PIL
import pytest
import torch

from sktransfer import DeepFeatureTransformer
from sktransfer.backbones import load_backbone
from sktransfer.exceptions import CacheError, CacheWarning
from sktransfer.features.engine import prepare
from sktransfer.features.folder_store import FolderStore
from sktransfer.features.plan import plan_features
from sktransfer.features.store import MemoryStore, Record, content_key, context_key, open_store
from sktransfer.features.taps import resolve_slots


def _record(value, n=4):
    return Record(np.full(n, value, np.float32), 0.25)


@pytest.fixture(params=["memory", "folder"])
def make(request, tmp_path):
    """Build a store of each kind that holds at most some bytes."""
    if request.param == "memory":
        return MemoryStore
    return lambda max_bytes: FolderStore(tmp_path / "store", max_bytes)


def test_what_was_put_is_found_again_and_nothing_else(make):
    store = make(2**30)
    store.put_many([b"a", b"b"], [_record(1), _record(2)])
    a, missing, b = store.get_many([b"a", b"c", b"b"])
    assert missing is None
    np.testing.assert_array_equal(a.vector, [1, 1, 1, 1])
    np.testing.assert_array_equal(b.vector, [2, 2, 2, 2])


def test_the_counts_are_of_images_and_seconds(make):
    store = make(2**30)
    store.put_many([b"a"], [_record(1)])
    store.get_many([b"a", b"b", b"a"])
    info = store.info()
    assert (info.hits, info.misses, info.seconds_saved) == (2, 1, 0.5)
    assert info.bytes >= 16
    store.clear()
    assert store.get_many([b"a"]) == [None]
    assert store.info()[:2] == (0, 1)


def test_a_key_put_again_has_the_later_value(make):
    store = make(2**30)
    store.put_many([b"a"], [_record(1)])
    store.put_many([b"a"], [_record(2)])
    assert store.get_many([b"a"])[0].vector[0] == 2


def test_many_keys_at_once(make):
    store = make(2**30)
    keys = [b"%d" % i for i in range(1201)]
    store.put_many(keys, [_record(i) for i in range(1201)])
    assert [record.vector[0] for record in store.get_many(keys)] == list(range(1201))


def test_the_bytes_are_bounded_and_the_oldest_go_first(make):
    store = make(200_000)
    for i in range(60):
        store.put_many([b"%d" % i], [_record(i, n=2500)])  # 10,000 bytes each
        time.sleep(0.001)
    assert store.info().bytes <= 200_000
    kept = [i for i in range(60) if store.get_many([b"%d" % i])[0] is not None]
    assert len(kept) >= 5
    assert kept == list(range(60 - len(kept), 60))


def test_in_memory_what_was_just_used_stays():
    store = MemoryStore(max_bytes=3 * 16)
    store.put_many([b"a", b"b", b"c"], [_record(i) for i in range(3)])
    store.get_many([b"a"])
    store.put_many([b"d"], [_record(3)])
    assert [record is not None for record in store.get_many([b"a", b"b", b"c", b"d"])] == [
        True,
        False,
        True,
        True,
    ]


def test_content_tells_images_apart_by_shape_and_pixels():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    keys = {
        content_key(pixels),
        content_key(pixels.reshape(4, 2, 3)),
        content_key(pixels + 1),
        content_key(pixels.tobytes()),
    }
    assert len(keys) == 4
    assert content_key(pixels.copy()) == content_key(pixels)


def test_a_row_depends_on_the_tokens_that_are_pooled_and_on_who_decoded_the_image(monkeypatch):
    loaded = load_backbone("tiny")
    slots = resolve_slots(loaded, None, "avg", 64)
    engine = prepare(loaded, torch.device("cpu"), "float32", slots)
    plan = plan_features(loaded, loaded.preprocessing, engine, slots)
    others = [
        replace(engine, spec=replace(loaded.spec, prefix_tokens=1)),
        replace(engine, spec=replace(loaded.spec, layout="nhwc")),
        replace(engine, architecture="another"),
    ]
    keys = [context_key(plan, one) for one in (engine, *others)]
    for library in (PIL, torch):
        monkeypatch.setattr(library, "__version__", "99")
        keys.append(context_key(plan, engine))
    assert len(set(keys)) == 6


# --- on disk -------------------------------------------------------------------------------------


def test_another_process_and_a_later_run_find_what_was_put(tmp_path):
    FolderStore(tmp_path, 2**30).put_many([b"a"], [_record(7)])
    code = textwrap.dedent(f"""
        from pathlib import Path
        from sktransfer.features.folder_store import FolderStore
        print(FolderStore(Path({str(tmp_path)!r}), 2**30).get_many([b"a"])[0].vector)
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[7. 7. 7. 7.]"


@pytest.mark.parametrize("damage", ["text", "empty", "cut", "zeros"])
def test_a_damaged_file_is_replaced(damage, tmp_path):
    first = FolderStore(tmp_path, 2**30)
    first.put_many([b"%d" % i for i in range(50)], [_record(i, 3000) for i in range(50)])
    first._open().close()
    (path,) = tmp_path.glob("*")
    content = path.read_bytes()
    path.write_bytes(
        {
            "text": b"hello " * 1000,
            "empty": b"",
            "cut": content[:20_000],
            "zeros": bytes(len(content)),
        }[damage]
    )
    store = FolderStore(tmp_path, 2**30)
    found = store.get_many([b"%d" % i for i in range(50)])
    assert all(record is None or (record.vector == i).all() for i, record in enumerate(found))
    store.put_many([b"new"], [_record(1)])
    assert store.get_many([b"new"])[0] is not None


def test_a_record_with_a_flipped_bit_is_not_found(tmp_path):
    store = FolderStore(tmp_path, 2**30)
    store.put_many([b"a", b"b"], [_record(1), _record(2)])
    (path,) = tmp_path.glob("*.sqlite")
    with sqlite3.connect(path) as connection:
        (data,) = connection.execute("SELECT vector FROM records WHERE key = ?", (b"a",)).fetchone()
        flipped = bytes([data[0] ^ 1]) + data[1:]
        connection.execute("UPDATE records SET vector = ? WHERE key = ?", (flipped, b"a"))
    connection.close()
    a, b = store.get_many([b"a", b"b"])
    assert a is None
    assert b is not None


def test_a_folder_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(CacheError, match=r"cache=.*file' cannot be used as a folder"):
        open_store(tmp_path / "file")


def test_a_full_disk_costs_a_warning_and_nothing_else(tmp_path, digits):
    features = DeepFeatureTransformer("tiny", cache=tmp_path / "full").fit(digits.X[:1])
    store = open_store(tmp_path / "full")
    store._open().execute(
        "PRAGMA max_page_count = 10"
    )  # what SQLite then does is what it does on a full disk
    with pytest.warns(CacheWarning, match="cannot be used now.*full"):
        found = features.transform(digits.X[:200])
    np.testing.assert_array_equal(found, features.set_params(cache=None).transform(digits.X[:200]))


def test_an_unknown_cache_is_refused():
    with pytest.raises(TypeError, match=r"cache=True is not possible\. Choose 'memory'"):
        open_store(True)
    with pytest.raises(TypeError, match="cache='' is not possible"):
        open_store("")


def test_a_child_process_opens_the_store_for_itself(tmp_path):
    store = FolderStore(tmp_path, 2**30)
    store.put_many([b"a"], [_record(1)])
    connection = store._open()
    store._pid -= 1  # as in a child after a fork
    assert store.get_many([b"a"])[0] is not None
    assert store._open() is not connection


_WRITER = """
import numpy as np
from sktransfer.features.folder_store import FolderStore
from sktransfer.features.store import Record
store = FolderStore(folder, 2**30)
ready.set()
for start in range(first, first + n, 20):
    numbers = range(start, min(start + 20, first + n))
    keys = [b"%d" % i for i in numbers]
    missing = [i for i, found in zip(numbers, store.get_many(keys)) if found is None]
    store.put_many([b"%d" % i for i in missing], [Record(np.full(500, i, np.float32), 0.0) for i in missing])
"""


def _writer(context, folder, first, n):
    ready = context.Event()
    names = {"folder": folder, "first": first, "n": n, "ready": ready}
    process = context.Process(target=exec, args=(_WRITER, names))
    process.start()
    assert ready.wait(60)
    return process


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_two_processes_on_one_folder_one_killed_again_and_again_lose_and_mix_nothing(tmp_path):
    # Their server loads the package once, and not each of them for itself.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sktransfer.features.folder_store"])
    steady = _writer(context, tmp_path, 0, 6000)
    rng = np.random.default_rng(0)
    for _ in range(5):
        victim = _writer(context, tmp_path, 3000, 6000)  # half of it overlaps with the other
        time.sleep(rng.uniform(0.01, 0.3))
        victim.kill()
        victim.join()
    steady.join(60)
    last = _writer(context, tmp_path, 3000, 6000)
    last.join(60)
    assert (steady.exitcode, last.exitcode) == (0, 0)
    found = FolderStore(tmp_path, 2**30).get_many([b"%d" % i for i in range(9000)])
    assert all(record is not None and (record.vector == i).all() for i, record in enumerate(found))


# --- through the transformer ---------------------------------------------------------------------


@pytest.fixture(params=["memory", "folder"])
def cache(request, tmp_path):
    return "memory" if request.param == "memory" else str(tmp_path / "store")


def test_a_search_over_layers_and_poolings_sends_each_image_through_the_network_once(
    cache, digits, batches_run
):
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline
    from sklearn.tree import DecisionTreeClassifier

    X, y = digits.X[:60] // 3, digits.y[:60]
    pipeline = Pipeline(
        [
            ("features", DeepFeatureTransformer("tiny", cache=cache)),
            ("tree", DecisionTreeClassifier()),
        ]
    )
    pipeline[0].clear_cache()
    grid = {
        "features__layers": [-1, -2, [-3, -1], "stem"],
        "features__pooling": ["avg", "max", "avgmax"],
    }
    GridSearchCV(pipeline, grid, cv=3).fit(X, y)
    assert sum(batches_run) == 60


def test_the_same_image_twice_in_a_batch_is_computed_once(cache, digits, batches_run):
    features = DeepFeatureTransformer("tiny", cache=cache).fit(digits.X)
    features.clear_cache()
    features.transform(digits.X[200:201])
    before = sum(batches_run)
    found = features.transform(digits.X[[201, 202, 201, 202, 201, 200]])
    assert sum(batches_run) - before == 2
    np.testing.assert_array_equal(found[[0, 1]], found[[2, 3]])


def test_without_a_cache_nothing_is_kept(digits, batches_run):
    features = DeepFeatureTransformer("tiny", cache=None).fit(digits.X)
    features.transform(digits.X[:3])
    before = sum(batches_run)
    features.transform(digits.X[:3])
    assert sum(batches_run) - before == 3
    assert features.cache_info() == (0, 0, 0, 0.0)
    features.clear_cache()


@pytest.mark.parametrize(
    "changed",
    [
        {"image_size": 48},
        {"precision": "float32"},
        {"weights": "random", "random_state": 0},
        {"backbone": "resnet18", "weights": "random", "random_state": 0, "image_size": 64},
    ],
)
def test_what_changes_features_is_never_found_under_the_same_key(changed, digits):
    X = digits.X[300:304]
    DeepFeatureTransformer("tiny", precision="bfloat16").fit_transform(X)
    kept = DeepFeatureTransformer(**{"backbone": "tiny", "precision": "bfloat16", **changed}).fit(X)
    new = DeepFeatureTransformer(
        **{"backbone": "tiny", "precision": "bfloat16", **changed, "cache": None}
    ).fit(X)
    np.testing.assert_allclose(kept.transform(X), new.transform(X), rtol=1e-5, atol=1e-5)


def test_networks_of_equal_weights_that_compute_otherwise_are_kept_apart(digits):
    import torch
    from torch import nn

    conv = nn.Conv2d(3, 4, 3)
    torch.nn.init.normal_(conv.weight)
    found = [
        DeepFeatureTransformer(
            nn.Sequential(conv, pool(2), nn.Conv2d(4, 4, 1)), layers="1", image_size=28
        ).transform(digits.X[:3])
        for pool in (nn.AvgPool2d, nn.MaxPool2d)
    ]
    assert not np.allclose(*found)


def test_hits_give_exactly_what_was_computed(cache, digits):
    features = DeepFeatureTransformer(
        "tiny", layers=[-2, -1], pooling=["gem", "avgmax"], cache=cache
    ).fit(digits.X)
    features.clear_cache()
    cold = features.transform(digits.X[:40])
    order = np.random.default_rng(0).permutation(40)
    np.testing.assert_array_equal(features.transform(digits.X[:40][order]), cold[order])
    info = features.cache_info()
    assert (info.hits, info.misses) == (40, 40)
    assert info.seconds_saved > 0


def test_layers_by_path_and_flattened_ones_are_kept_too(cache, digits):
    asked = {"layers": ["layer1.0", "layer4"], "pooling": ["avg", "flatten"], "image_size": 32}
    kept = DeepFeatureTransformer("tiny", cache=cache, **asked).fit(digits.X)
    first, again = kept.transform(digits.X[:5]), kept.transform(digits.X[:5])
    np.testing.assert_array_equal(first, again)
    plain = DeepFeatureTransformer("tiny", cache=None, **asked).transform(digits.X[:5])
    np.testing.assert_allclose(first, plain, rtol=1e-5, atol=1e-5)


def test_a_folder_that_vanishes_is_no_crash(tmp_path, digits):
    features = DeepFeatureTransformer("tiny", cache=tmp_path / "gone").fit(digits.X)
    expected = features.transform(digits.X[:2])
    shutil.rmtree(tmp_path / "gone")
    np.testing.assert_allclose(features.transform(digits.X[:2]), expected, rtol=0.02, atol=0.02)
