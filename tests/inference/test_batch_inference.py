"""Batch inference: sources, parts, resuming, bad images, and the engines of joblib."""

import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktransfer import (
    BatchPredictor,
    DeepFeatureTransformer,
    FineTuneClassifier,
    FineTuneSegmenter,
    batch_inference,
    save_model,
)
from sktransfer.datasets import load_digit_masks
from sktransfer.exceptions import ImageDecodeError, ImageError
from sktransfer.inference.devices import device_of_worker
from sktransfer.inference.model import ServedModel
from sktransfer.inference.sources import Row

N_IMAGES = 23
CLASSES = np.array(["round", "square"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images in files, in tables, in tar files, and a model of them."""
    root = tmp_path_factory.mktemp("source")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N_IMAGES, 32, 32, 3)).astype(np.uint8)
    (root / "images").mkdir()
    names = [f"images/{row:02}.png" for row in range(N_IMAGES)]
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image).save(root / name)
    contents = [(root / name).read_bytes() for name in names]
    pd.DataFrame({"path": names, "other": 1}).to_csv(root / "table.csv", index=False)
    pd.DataFrame({"path": names}).to_parquet(root / "paths.parquet")
    pd.DataFrame({"content": contents, "path": names}).to_parquet(
        root / "bytes.parquet", row_group_size=7
    )
    structs = [
        {"bytes": content, "path": name} for content, name in zip(contents, names, strict=True)
    ]
    pd.DataFrame({"image": structs}).to_parquet(root / "structs.parquet")
    (root / "tars").mkdir()
    for number, rows in enumerate((range(9), range(9, N_IMAGES))):
        with tarfile.open(root / "tars" / f"{number}.tar", "w") as tar:
            for row in rows:
                tar.add(root / names[row], f"{row:02}.png")
                tar.add(root / "table.csv", f"{row:02}.csv")
    y = CLASSES[np.arange(N_IMAGES) % 2]
    model = make_pipeline(DeepFeatureTransformer("tiny"), LogisticRegression(max_iter=1000))
    joblib.dump(model.fit(images, y), root / "model.joblib")
    return root


@pytest.fixture(scope="module")
def paths(folder):
    return [str(path) for path in sorted((folder / "images").iterdir())]


@pytest.fixture(scope="module")
def expected(folder, paths):
    """Return what a run of one shard gives; the model itself rounds otherwise in the last place."""
    model = joblib.load(folder / "model.joblib")
    probabilities = (
        ServedModel(model, "predict_proba").answer([Row(p, p) for p in paths], "raise").values
    )
    np.testing.assert_allclose(probabilities, model.predict_proba(paths), rtol=1e-5)
    return probabilities


def probabilities(run):
    return run.table().filter(like="probability_").to_numpy()


@pytest.mark.parametrize(
    "source",
    [
        "images",
        "table.csv",
        "paths.parquet",
        "bytes.parquet",
        "structs.parquet",
        "tars",
        "images/*.png",
    ],
)
def test_every_source_gives_the_same_rows_in_the_same_order(folder, expected, tmp_path, source):
    run = batch_inference(
        folder / "model.joblib",
        str(folder / source),
        tmp_path / "out",
        method="predict_proba",
        shard_rows=5,
    )
    np.testing.assert_array_equal(probabilities(run), expected)
    assert run.n_rows_ == N_IMAGES
    assert run.failed_ == []
    table = run.table()
    assert list(table.columns) == ["path", "probability_round", "probability_square", "error"]
    assert [Path(name).name[-6:] for name in table["path"]] == [
        f"{row:02}.png" for row in range(N_IMAGES)
    ]


def test_urls_are_read_through_fsspec(folder, paths, expected, tmp_path):
    memory = pytest.importorskip("fsspec").filesystem("memory")
    for path in paths:
        memory.pipe(f"/photos/{Path(path).name}", Path(path).read_bytes())
    for number in range(2):
        memory.pipe(f"/shards/{number}.tar", (folder / "tars" / f"{number}.tar").read_bytes())
    memory.pipe("/photos/table.csv", (folder / "table.csv").read_bytes().replace(b"images/", b""))
    model = folder / "model.joblib"
    for number, source in enumerate(
        [
            "memory://photos/table.csv",
            "memory://photos",
            "memory://photos/*.png",
            "memory://shards",
            "memory://shards/*.tar",
        ]
    ):
        run = batch_inference(model, source, tmp_path / str(number), method="predict_proba")
        np.testing.assert_array_equal(probabilities(run), expected)
    listed = [f"memory://photos/{Path(paths[0]).name}", "memory://photos/gone.png"]
    run = batch_inference(model, listed, tmp_path / "gone")
    assert run.failed_ == [1]
    assert "cannot be fetched (FileNotFoundError" in run.table()["error"][1]


@pytest.mark.parametrize(
    ("method", "columns"),
    [
        ("predict", ["prediction"]),
        ("decision_function", ["decision"]),
        ("predict_proba", ["probability_round", "probability_square"]),
    ],
)
def test_methods_and_their_columns(folder, paths, tmp_path, method, columns):
    model = joblib.load(folder / "model.joblib")
    table = batch_inference(model, paths, tmp_path / "out", method=method, shard_rows=9).table()
    assert list(table.columns) == ["path", *columns, "error"]
    wanted = getattr(model, method)(paths).reshape(N_IMAGES, -1)
    found = table[columns].to_numpy()
    if method == "predict":
        np.testing.assert_array_equal(found, wanted)
    else:
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    assert table["error"].isna().all()


def test_features_keep_their_names_and_dtype(folder, paths, tmp_path):
    model = DeepFeatureTransformer("tiny").fit(paths)
    table = batch_inference(model, paths, tmp_path / "out", method="transform").table()
    features = table.drop(columns=["path", "error"])
    assert list(features.columns) == model.get_feature_names_out().tolist()
    np.testing.assert_array_equal(features.to_numpy(np.float32), model.transform(paths))
    assert set(features.dtypes) == {np.dtype(np.float32)}


def test_bad_images_are_rows_with_a_reason(folder, paths, expected, tmp_path):
    files = [tmp_path / Path(path).name for path in paths]
    for file, path in zip(files, paths, strict=True):
        file.write_bytes(Path(path).read_bytes())
    files[4].write_bytes(b"no image")
    files[5].unlink()
    files[21].write_bytes(files[21].read_bytes()[:300])
    given = list(map(str, files))
    model = folder / "model.joblib"
    run = batch_inference(model, given, tmp_path / "out", method="predict_proba", shard_rows=10)
    assert run.failed_ == [4, 5, 21]
    table = run.table()
    good = np.setdiff1d(np.arange(N_IMAGES), run.failed_)
    np.testing.assert_array_equal(probabilities(run)[good], expected[good])
    assert np.isnan(probabilities(run)[run.failed_]).all()
    reasons = table["error"][run.failed_].tolist()
    assert all(isinstance(reason, str) and reason for reason in reasons)
    assert "does not exist" in reasons[1]
    labels = batch_inference(model, given, tmp_path / "labels").table()["prediction"]
    assert labels.isna().to_numpy().nonzero()[0].tolist() == [4, 5, 21]
    with pytest.raises(ImageDecodeError, match=r"04\.png.*pass on_error"):
        batch_inference(model, given, tmp_path / "strict", on_error="raise")


def test_whole_numbers_stay_whole_where_some_are_missing(paths, tmp_path):
    model = FineTuneClassifier("tiny", strategy="frozen", max_epochs=1, random_state=0)
    model.fit(paths, np.arange(N_IMAGES) % 3)
    bad = tmp_path / "bad.png"
    bad.touch()
    table = batch_inference(
        model, [*paths, str(bad)], tmp_path / "out", shard_rows=N_IMAGES
    ).table()
    assert table["prediction"].dtype == "Int64"
    assert table["prediction"][:N_IMAGES].tolist() == model.predict(paths).tolist()
    assert table["prediction"].isna()[N_IMAGES]


def test_a_run_goes_on_where_it_was(folder, paths, expected, tmp_path):
    model, out = folder / "model.joblib", tmp_path / "out"
    settings = {"method": "predict_proba", "shard_rows": 5}
    first = batch_inference(model, paths, out, **settings)
    assert first.n_computed == 5
    kept = first.parts[0].stat().st_mtime_ns
    first.parts[3].unlink()
    again = batch_inference(model, paths, out, **settings)
    assert (again.n_computed, again.parts) == (1, first.parts)
    assert again.parts[0].stat().st_mtime_ns == kept
    np.testing.assert_array_equal(probabilities(again), expected)


def test_a_folder_of_another_run_is_refused(folder, paths, tmp_path):
    model, out = joblib.load(folder / "model.joblib"), tmp_path / "out"
    batch_inference(model, paths, out, shard_rows=9)
    assert batch_inference(model, paths, out, shard_rows=9).n_computed == 0
    for change, message in (
        ({"source": paths[:5]}, "another source"),
        ({"method": "predict_proba"}, "another method"),
        ({"shard_rows": 3}, "another shard_rows"),
        (
            {"model": make_pipeline(DeepFeatureTransformer("tiny"), PCA(2)).fit(paths)},
            "no such method",
        ),
        ({"model": out / "_model.joblib"}, None),
    ):
        given = {"model": model, "source": paths, "shard_rows": 9, "method": "predict"} | change
        if message is None:  # the file that the first call has saved
            assert batch_inference(out=out, **given).n_computed == 0
            continue
        with pytest.raises(ValueError, match=message):
            batch_inference(out=out, **given)
    other = make_pipeline(DeepFeatureTransformer("tiny"), LogisticRegression(C=0.1, max_iter=1000))
    other.fit(paths, np.arange(N_IMAGES) % 2)
    with pytest.raises(ValueError, match=r"another model\. Write to another folder"):
        batch_inference(other, paths, out, shard_rows=9)


def test_images_that_were_replaced_are_another_source(folder, tmp_path):
    file = tmp_path / "photo.png"
    file.write_bytes((folder / "images/00.png").read_bytes())
    batch_inference(folder / "model.joblib", tmp_path / "*.png", tmp_path / "out")
    file.write_bytes((folder / "images/01.png").read_bytes())
    model = joblib.load(folder / "model.joblib")
    with pytest.raises(ValueError, match="another source"):
        batch_inference(model, tmp_path / "*.png", tmp_path / "out")
    assert not (tmp_path / "out" / "_model.joblib").exists()


def test_a_folder_of_something_else_is_refused(folder, paths, tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"holds 'notes\.txt', and no run"):
        batch_inference(folder / "model.joblib", paths, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_a_model_of_masks_is_refused(tmp_path, paths):
    data = load_digit_masks()
    model = FineTuneSegmenter("tiny", strategy="frozen", max_epochs=1, random_state=0)
    model.fit(data.X[:4], data.y[:4])
    with pytest.raises(ValueError, match="no row of a table"):
        batch_inference(model, paths, tmp_path / "out")


def test_models_in_files_of_skops(paths, tmp_path, folder, expected):
    pytest.importorskip("skops")
    save_model(joblib.load(folder / "model.joblib"), tmp_path / "m.skops")
    run = batch_inference(tmp_path / "m.skops", paths, tmp_path / "out", method="predict_proba")
    np.testing.assert_array_equal(probabilities(run), expected)


def test_the_estimate_grows_with_the_images(folder, paths, tmp_path):
    run = batch_inference(folder / "model.joblib", paths, tmp_path / "out")
    small, large = run.estimate(N_IMAGES), run.estimate(1000 * N_IMAGES)
    assert large.core_hours == pytest.approx(1000 * small.core_hours)
    assert 0 < small.hours * 3600 < run.seconds_
    assert small.gigabytes == pytest.approx(sum(p.stat().st_size for p in run.parts) / 1e9)
    assert "23,000 images" in str(large)
    again = batch_inference(folder / "model.joblib", paths, tmp_path / "out", n_jobs=2)
    assert again.n_computed == 0
    assert again.estimate(N_IMAGES) == small
    assert "23 rows in 1 parts, 0 failed" in repr(run)


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("gone", FileNotFoundError, "does not exist"),
        ([], ImageError, "empty"),
        ([np.zeros((8, 8))], TypeError, "is a ndarray, not a path"),
        ("model.parquet", ImageError, "neither a column of encoded images nor a column 'path'"),
        ("no.tar", ImageError, "is no tar file"),
    ],
)
def test_what_is_no_source_is_refused(folder, tmp_path, source, error, message):
    pd.DataFrame({"file": ["a.png"]}).to_parquet(tmp_path / "model.parquet")
    (tmp_path / "no.tar").write_bytes(b"nothing" * 999)
    given = str(tmp_path / source) if isinstance(source, str) else source
    with pytest.raises(error, match=message):
        batch_inference(folder / "model.joblib", given, tmp_path / "out")


def test_batches_of_other_engines(folder, paths, expected):
    predictor = BatchPredictor(folder / "model.joblib", "predict_proba")
    table = pd.DataFrame({"path": [*paths, "gone.png"], "id": range(N_IMAGES + 1)})
    found = predictor(table)
    np.testing.assert_array_equal(found["probability_round"][:N_IMAGES], expected[:, 0])
    assert found["probability_round"].isna().tolist() == [False] * N_IMAGES + [True]
    assert "does not exist" in found["error"][N_IMAGES]
    assert "error" not in table
    contents = np.array([Path(path).read_bytes() for path in paths], dtype=object)
    as_dict = BatchPredictor(folder / "model.joblib")(
        {"bytes": contents, "id": np.arange(N_IMAGES)}
    )
    assert set(as_dict) == {"bytes", "id", "prediction", "error"}
    assert as_dict["prediction"].tolist() == CLASSES[expected.argmax(1)].tolist()
    with pytest.raises(ValueError, match="no column 'photo'"):
        BatchPredictor(folder / "model.joblib", column="photo")(table)


def test_workers_claim_one_gpu_each_and_a_model_that_leaves_the_choice_open_takes_it(
    folder, tmp_path
):
    claim = (
        "import sys, time; from sktransfer.inference.devices import claim_number; "
        "print(claim_number(sys.argv[1]), claim_number(sys.argv[1]), flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", claim, str(tmp_path)]
    workers = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        claimed = [worker.stdout.readline().split() for worker in workers]
        assert sorted(claimed) == [["0", "0"], ["1", "1"]]
        workers[0].kill()
        workers[0].wait()  # its number is free again, though it said nothing
        workers.append(
            subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        assert workers[2].stdout.readline().split() == claimed[0]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    assert device_of_worker(n_devices=0) == device_of_worker(n_devices=1) == "auto"
    model = joblib.load(folder / "model.joblib")
    assert ServedModel(model, "predict", "cpu").model[0].device == "cpu"
    chosen = joblib.load(folder / "model.joblib").set_params(deepfeaturetransformer__device="cpu")
    assert ServedModel(chosen, "predict", "meta").model[0].device == "cpu"


DRIVER = """
import sys
from sktransfer import batch_inference
if __name__ == "__main__":
    batch_inference(*sys.argv[1:4], method="predict_proba", n_jobs=2, shard_rows=1)
"""


@pytest.mark.slow
def test_a_killed_run_loses_and_doubles_nothing(folder, expected, tmp_path):
    script, out = tmp_path / "driver.py", tmp_path / "out"
    script.write_text(DRIVER)
    words = [
        sys.executable,
        str(script),
        str(folder / "model.joblib"),
        str(folder / "images"),
        str(out),
    ]
    process = subprocess.Popen(words, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while len(list(out.glob("part-*"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = len(list(out.glob("part-*.parquet")))
    assert done >= 3
    run = batch_inference(
        folder / "model.joblib", folder / "images", out, method="predict_proba", shard_rows=1
    )
    assert run.n_computed == N_IMAGES - done
    np.testing.assert_array_equal(probabilities(run), expected)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["dask", "ray", "spark"])
def test_engines_of_joblib_give_the_same(folder, expected, tmp_path, engine):
    pytest.importorskip({"dask": "distributed", "spark": "joblibspark"}.get(engine, engine))
    script = tmp_path / "driver.py"
    script.write_text(ENGINES[engine])
    words = [sys.executable, str(script), str(folder), str(tmp_path / "out")]
    subprocess.run(words, check=True, timeout=560, capture_output=True)
    run = batch_inference(
        folder / "model.joblib",
        folder / "images",
        tmp_path / "out",
        method="predict_proba",
        shard_rows=6,
    )
    assert run.n_computed == 0
    np.testing.assert_array_equal(probabilities(run), expected)


_ON_ENGINE = """
import sys, joblib, numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sktransfer import batch_inference

if __name__ == "__main__":
    {start}
    search = GridSearchCV(LogisticRegression(), {{"C": [0.1, 1, 10]}}, cv=3)
    X, y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 2
    with joblib.parallel_config("{engine}", n_jobs=2):
        run = batch_inference(
            sys.argv[1] + "/model.joblib", sys.argv[1] + "/images", sys.argv[2],
            method="predict_proba", shard_rows=6,
        )
        assert run.n_computed == 4
        there = search.fit(X, y).cv_results_["mean_test_score"] if {searches} else None
    if {searches}:
        np.testing.assert_array_equal(search.fit(X, y).cv_results_["mean_test_score"], there)
    {stop}
"""
# Ray starts new workers for each call of joblib, so its search is left to the benchmark.
ENGINES = {
    "dask": _ON_ENGINE.format(
        engine="dask",
        searches=True,
        start="from dask.distributed import Client; client = Client(n_workers=2, "
        "threads_per_worker=1, dashboard_address=None)",
        stop="client.close()",
    ),
    "ray": _ON_ENGINE.format(
        engine="ray",
        searches=False,
        start="import ray; from ray.util.joblib import register_ray; ray.init(num_cpus=2, "
        "include_dashboard=False, log_to_driver=False); register_ray()",
        stop="ray.shutdown()",
    ),
    "spark": _ON_ENGINE.format(
        engine="spark",
        searches=True,
        start="from pyspark.sql import SparkSession; from joblibspark import register_spark; "
        "session = SparkSession.builder.master('local[2]').getOrCreate(); register_spark()",
        stop="session.stop()",
    ),
}
