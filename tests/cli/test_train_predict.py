import csv
import io
import json

import joblib
import pytest
from sklearn.dummy import DummyRegressor

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
    assert "16 images of 2 classes from digits, is saved to model.joblib. Score over 2" in (
        captured.out
    )
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
