import csv
import io
import json

import joblib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.dummy import DummyRegressor

from sktransfer import DeepFeatureTransformer
from sktransfer.cli import main

QUICK = ["--layers=-1", "--pooling", "avg", "--cv", "2"]


@pytest.fixture
def model(folder, capsys):
    assert main(["train", "digits", "--out", "model.joblib", "--quiet", *QUICK]) == 0
    capsys.readouterr()
    return "model.joblib"


def test_train_saves_a_model_and_prints_its_score(folder, capsys):
    words = ["train", "digits", "--out", "model.joblib", "--candidate", "svm", *QUICK]
    assert main(words) == 0
    captured = capsys.readouterr()
    assert "features + SVM (layers=-1, pooling='avg', C=" in captured.out
    assert "16 images of 2 classes from digits, is saved to model.joblib (" in (captured.out)
    assert "16 images" in captured.err
    assert joblib.load("model.joblib").predict(["digits/zero/0000.png"]).tolist() == ["zero"]


def test_train_in_json(folder, capsys):
    assert main(["train", "digits", "--out", "m.joblib", "--json", "--quiet", *QUICK]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert captured.err == ""
    assert (result["model"], result["images"]) == ("m.joblib", 16)
    assert result["classes"] == ["one", "zero"]
    assert 0.5 < result["score_mean"] <= 1
    assert result["candidate"] == "features + logistic regression"


def test_a_table_of_paths_labels_and_groups_can_be_trained_on(folder, capsys):
    rows = [
        f"{name}/{file.name},{name},{row // 2}"
        for name in ("one", "zero")
        for row, file in enumerate(sorted((folder / "digits" / name).iterdir()))
    ]
    (folder / "digits" / "table.csv").write_text("\n".join(["path,label,group", *rows]))
    words = ["train", "digits/table.csv", "--out", "m.joblib", "--json", "--quiet", *QUICK]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 16


def test_all_broken_images_are_named_at_once(folder, error_line):
    for name in ("one/a.png", "zero/b.png"):
        (folder / "digits" / name).write_bytes(b"no image")
    assert main(["train", "digits", "--out", "m.joblib", "--quiet", *QUICK]) == 1
    message = error_line()
    assert "2 of 18 images cannot be read: 'digits/one/a.png' is not an image" in message
    assert "'digits/zero/b.png' is not an image" in message
    assert message.endswith("Replace or remove these files.")


def test_a_table_without_labels_is_one_line_and_code_1(folder, error_line):
    (folder / "table.csv").write_text("path\ndigits/one/0001.png\n")
    assert main(["train", "table.csv", "--out", "m.joblib"]) == 1
    assert "has no column 'label'. Name the columns in its first line" in error_line()


def test_predict_prints_csv(model, capsys):
    assert main(["predict", model, "digits/one/0001.png", "digits/zero", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    rows = list(csv.DictReader(io.StringIO(captured.out)))
    assert len(rows) == 9
    assert rows[0]["path"] == "digits/one/0001.png"
    assert [row["label"] for row in rows] == ["one"] + 8 * ["zero"]
    assert all(0.5 <= float(row["probability"]) <= 1 for row in rows)


@pytest.mark.parametrize("words", [["--format", "json"], ["--json"]])
def test_predict_prints_json(model, capsys, words):
    assert main(["predict", model, "digits/one/0001.png", *words]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["path"], row["label"]) == ("digits/one/0001.png", "one")


def test_predict_says_that_model_files_must_be_trusted(model, capsys):
    assert main(["predict", model, "digits/one/0001.png"]) == 0
    assert "a model file is a pickle" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        main(["predict", "--help"])
    assert "only use files that you trust" in " ".join(capsys.readouterr().out.split())


def test_a_model_without_probabilities_gives_labels_only(folder, capsys):
    joblib.dump(DummyRegressor().fit([[0]], [1.5]), "m.joblib")
    assert main(["predict", "m.joblib", "digits/one/0001.png", "--quiet"]) == 0
    assert capsys.readouterr().out == "path,label\ndigits/one/0001.png,1.5\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.joblib", "digits/one/0001.png"], "the model 'nowhere.joblib' does not exist."),
        (["digits/one/0001.png", "digits/one/0001.png"], "cannot be loaded"),
        (["words.joblib", "digits/one/0001.png"], "holds a list, no model"),
        (["model.joblib", "nowhere.png"], "the image 'nowhere.png' does not exist."),
        (["model.joblib", "broken"], "broken.png"),
    ],
)
def test_what_cannot_be_predicted_is_one_line_and_code_1(folder, model, error_line, words, message):
    joblib.dump(["a", "b"], "words.joblib")
    (folder / "broken").mkdir()
    (folder / "broken/broken.png").write_bytes(b"no image")
    assert main(["predict", *words, "--quiet"]) == 1
    assert message in error_line()


def test_one_broken_photograph_leaves_the_others_their_labels(folder, model, capsys):
    (folder / "some").mkdir()
    (folder / "some/a.png").write_bytes((folder / "digits/one/0001.png").read_bytes())
    (folder / "some/b.png").write_bytes(b"no image")
    assert main(["predict", model, "some", "digits/zero", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert "1 of 10 images cannot be read" in captured.err
    rows = list(csv.DictReader(io.StringIO(captured.out)))
    assert [row["label"] for row in rows] == ["one", ""] + 8 * ["zero"]
    assert rows[1]["error"].startswith("is not an image")
    assert {row["error"] for row in rows[2:]} == {""}
    assert main(["predict", model, "some", "--quiet", "--json"]) == 0
    assert [row["label"] for row in json.loads(capsys.readouterr().out)] == ["one", None]
    assert main(["predict", model, "some", "--on-error", "raise"]) == 1
    assert "b.png" in capsys.readouterr().err


def test_results_in_files(folder, model, capsys):
    words = ["predict", model, "digits/zero", "--out", "results", "--quiet"]
    assert main(words) == 0
    assert "Results of 8 images are in 1 parts in results." in capsys.readouterr().out
    assert pd.read_parquet("results")["prediction"].tolist() == 8 * ["zero"]
    assert main(["predict", model, "digits/zero", "--method", "transform"]) == 1
    assert "Give a folder by --out FOLDER" in capsys.readouterr().err
    joblib.dump(DeepFeatureTransformer("tiny"), "features.joblib")
    words = [
        "predict",
        "features.joblib",
        "digits/zero",
        "--method",
        "transform",
        "--out",
        "vectors",
    ]
    assert main([*words, "--quiet"]) == 0
    assert pd.read_parquet("vectors").shape == (8, 258)


def test_a_model_in_a_file_of_skops_is_saved_and_loaded_by_its_ending(folder, capsys):
    pytest.importorskip("skops", reason="the extra skops is not installed")
    assert main(["train", "digits", "--out", "model.skops", "--quiet", *QUICK]) == 0
    capsys.readouterr()
    assert main(["predict", "model.skops", "digits/one/0001.png"]) == 0
    captured = capsys.readouterr()
    assert "loading model.skops; a file of skops, which executes nothing" in captured.err
    assert captured.out.splitlines()[1].startswith("digits/one/0001.png,one,")


def test_a_pickle_with_the_ending_of_skops_is_not_run(model, folder, error_line):
    pytest.importorskip("skops", reason="the extra skops is not installed")
    (folder / model).rename(folder / "model.skops")
    assert main(["predict", "model.skops", "digits/one/0001.png", "--quiet"]) == 1
    assert "must be a file that save_model wrote" in error_line()


def test_export_writes_a_file_of_onnx_and_says_how_near_it_comes(model, folder, capsys):
    runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    pytest.importorskip("skl2onnx", reason="the extra onnx is not installed")
    words = ["export", model, "--out", "model.onnx", "--check", "digits/one", "--quiet"]
    assert main([*words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["outputs"] == ["label", "probabilities"]
    assert (report["n_checked"], report["agreement"]) == (8, 1)
    assert report["bytes"] == (folder / "model.onnx").stat().st_size
    pixels = np.asarray(Image.open("digits/one/0001.png").convert("RGB"))
    session = runtime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    assert session.run(["label"], {"images": pixels[None]})[0].tolist() == ["one"]


def test_export_does_not_write_over_the_model(model, error_line):
    assert main(["export", model, "--out", model]) == 1
    assert "is also what the command reads" in error_line()
