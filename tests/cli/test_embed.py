import csv
import json
import signal
import subprocess
import sys
import time

import joblib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import DeepFeatureTransformer
from sktransfer.cli import main


@pytest.fixture
def expected(folder):
    paths = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    return paths, DeepFeatureTransformer("tiny", cache=None).fit_transform(paths)


def test_npz_holds_paths_names_and_features(expected, capsys):
    paths, features = expected
    assert main(["embed", "digits", "--out", "f.npz"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "256 features of each of 16 images are in f.npz.\n"
    assert "16 images of 2 classes from digits" in captured.err
    with np.load("f.npz") as saved:
        assert saved["paths"].tolist() == paths
        np.testing.assert_allclose(saved["features"], features, rtol=1e-5)
        assert saved["names"][0] == "layer4_avg_0"
        assert saved["labels"].tolist() == ["one"] * 8 + ["zero"] * 8


def test_csv_holds_a_column_for_each_feature(expected, capsys):
    paths, features = expected
    assert main(["embed", "digits", "--out", "f.csv", "--json", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert json.loads(captured.out) == {
        "file": "f.csv",
        "images": 16,
        "features": 256,
        "failed": [],
    }
    with open("f.csv", encoding="utf-8") as file:  # noqa: PTH123
        header, *rows = csv.reader(file)
    assert header[:3] == ["path", "label", "layer4_avg_0"]
    assert [row[0] for row in rows] == paths
    np.testing.assert_allclose(np.array([row[2:] for row in rows], float), features, rtol=1e-4)


def test_parquet_holds_the_same(expected):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    paths, features = expected
    assert main(["embed", "digits", "--out", "f.parquet", "--quiet"]) == 0
    table = pd.read_parquet("f.parquet")
    assert table["path"].tolist() == paths
    np.testing.assert_allclose(table.iloc[:, 2:].to_numpy(), features, rtol=1e-5)


def test_parquet_without_pyarrow_is_one_line_and_code_1(folder, error_line, monkeypatch):
    monkeypatch.setattr("sktransfer.cli.embed.find_spec", lambda name: None)
    assert main(["embed", "digits", "--out", "f.parquet", "--quiet"]) == 1
    assert "pip install pyarrow; or choose .npz or .csv." in error_line()


def test_the_labels_of_a_table_are_kept_and_layers_can_be_chosen(folder):
    text = "label,photo,Kind\nno,digits/one/0001.png,b\nno,digits/zero/0000.png,a\n"
    (folder / "t.csv").write_text(text)
    words = ["--layers", "layer3,-1", "--pooling", "max,avg", "--out", "f.npz", "--quiet"]
    columns = ["--path-column", "Photo", "--label-column", "Kind"]
    assert main(["embed", "t.csv", *columns, *words]) == 0
    with np.load("f.npz") as saved:
        assert saved["labels"].tolist() == ["b", "a"]
        assert saved["features"].shape == (2, 384)
        assert saved["names"][0] == "layer3_max_0"


def test_an_unreadable_image_ends_it_or_becomes_nan(folder, error_line, capsys):
    (folder / "digits" / "broken.png").write_bytes(b"no image")
    (folder / "digits" / "one" / "empty.png").touch()
    assert main(["embed", "digits", "--out", "f.npz", "--quiet"]) == 1
    message = error_line()
    assert "2 of 18 images cannot be read: 'digits/broken.png' is not an image" in message
    assert "'digits/one/empty.png' is an empty file. Replace or remove these files, or " in message
    (folder / "digits" / "one" / "empty.png").unlink()
    assert not (folder / "f.npz").exists()
    assert main(["embed", "digits", "--out", "f.npz", "--quiet", "--on-error", "nan"]) == 0
    assert "NaN, because they cannot be read: digits/broken.png" in capsys.readouterr().out
    with np.load("f.npz") as saved:
        row = saved["paths"].tolist().index("digits/broken.png")
        assert np.isnan(saved["features"][row]).all()
        assert np.isfinite(saved["features"]).all(axis=1).sum() == 16


@pytest.mark.parametrize("out", ["f.txt", "f"])
def test_another_kind_of_file_is_one_line_and_code_1(folder, error_line, out):
    assert main(["embed", "digits", "--out", out]) == 1
    assert error_line().endswith("must end in one of .parquet, .npz, .csv.")


def test_a_folder_without_images_is_one_line_and_code_1(folder, error_line):
    (folder / "empty").mkdir()
    assert main(["embed", "empty", "--out", "f.npz", "--quiet"]) == 1
    assert "holds no image" in error_line()


def test_only_the_file_is_left_behind(folder):
    before = set(folder.iterdir())
    assert main(["embed", "digits", "--out", "f.npz", "--quiet"]) == 0
    assert set(folder.iterdir()) - before == {folder / "f.npz"}
    assert main(["embed", "digits", "--out", "f.npz", "--store", "kept", "--quiet"]) == 0
    assert set(folder.iterdir()) - before == {folder / "f.npz", folder / "kept"}


SCRIPT = """
import sys, time
from sktransfer.cli import main
from sktransfer.features.engine import Engine

n_images, run = 0, Engine.run

def counted(self, pixels, preprocessing):
    global n_images
    n_images += len(pixels)
    time.sleep(0.1)
    return run(self, pixels, preprocessing)

Engine.run = counted
code = main(["embed", "many", "--out", "f.npz", "--batch-size", "2", "--quiet"])
print(n_images)
sys.exit(code)
"""


@pytest.mark.slow
def test_an_embedding_that_is_killed_goes_on_where_it_was(digits, tmp_path):
    (tmp_path / "many").mkdir()
    for row in range(60):
        Image.fromarray(digits.X[row]).save(tmp_path / "many" / f"{row:02}.png")
    command = [sys.executable, "-c", SCRIPT]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    store, deadline = tmp_path / "f.npz.store", time.monotonic() + 120
    while sum(file.stat().st_size for file in store.glob("*-wal")) < 200_000:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "f.npz").exists()

    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert 0 < int(done.stdout.split()[-1]) < 60
    assert not store.exists()
    with np.load(tmp_path / "f.npz") as saved:
        features = saved["features"]
    images = list(digits.X[:60])
    expected = DeepFeatureTransformer("tiny", cache=None).fit_transform(images)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)


def test_a_saved_model_embeds_in_parts_without_its_classifier(folder, capsys):
    pytest.importorskip("pyarrow")
    paths = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    labels = np.arange(16) % 2
    model = make_pipeline(DeepFeatureTransformer("tiny"), StandardScaler(), LogisticRegression())
    joblib.dump(model.fit(paths, labels), "m.joblib")
    assert main(["embed", "m.joblib", "digits", "--out", "parts"]) == 0
    captured = capsys.readouterr()
    assert "Results of 16 images are in 1 parts in parts." in captured.out
    assert "only use files that you trust" in captured.err
    table = pd.read_parquet("parts").set_index("path").loc[paths]
    features = table.drop(columns="error").to_numpy(np.float32)
    np.testing.assert_allclose(features, model[:-1].transform(paths), rtol=1e-3, atol=1e-4)
    assert table.columns[0] == "layer4_avg_0"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["m.joblib", "--out", "parts"], "is a model. Name the images after it"),
        (["m.joblib", "digits", "--out", "f.csv"], "parts in a folder. Give its name"),
        (["digits", "more", "--out", "f.csv"], "'digits' is no saved model. Several sources"),
        (["digits", "--jobs", "2", "--out", "f.csv"], "'digits' is no saved model"),
        (["m.joblib", "digits", "--layers=-2", "--out", "parts"], "--layers is not possible with"),
        (
            ["m.joblib", "digits", "--image-size", "32", "--out", "p"],
            "--image-size is not possible",
        ),
    ],
)
def test_what_belongs_to_saved_models_alone_is_said(folder, capsys, words, message):
    assert main(["embed", *words]) == 1
    assert message in capsys.readouterr().err
