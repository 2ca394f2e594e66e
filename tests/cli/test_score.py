import json

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline

from sktransfer.cli import main
from sktransfer.raw_pixels import PixelTransformer


@pytest.fixture
def model(folder):
    """A model that calls everything a zero, surely."""
    dummy = make_pipeline(
        PixelTransformer(4), DummyClassifier(strategy="constant", constant="zero")
    )
    paths = [str(path) for path in sorted((folder / "digits").glob("*/*.png"))]
    dummy.fit(np.array(paths, dtype=object), [path.split("/")[-2] for path in paths])
    joblib.dump(dummy, folder / "m.joblib")
    return "m.joblib"


def test_score_tells_accuracy_interval_classes_confusions_and_mistakes(model, folder, capsys):
    assert main(["score", model, "digits", "--mistakes", "wrong.csv", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "Accuracy 0.500 (0.280 to 0.720) on 16 images of 2 classes from digits." in captured.out
    assert "one         8      0  0.000    0.000-0.324  too few for a verdict" in captured.out
    assert captured.out.count("zero, 1.00 (label one)") == 5
    wrong = pd.read_csv("wrong.csv")
    assert wrong["label"].tolist() == ["one"] * 8
    assert main(["score", model, "digits", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["accuracy"], found["matrix"]) == (0.5, [[0, 8], [0, 8]])


def test_classes_that_the_model_does_not_know_are_named(model, folder, error_line):
    (folder / "digits" / "one").rename(folder / "digits" / "eins")
    assert main(["score", model, "digits", "--quiet"]) == 1
    assert "have the classes 'eins', which the model does not know; it knows 'one', 'zero'" in (
        error_line()
    )


def test_compare_scores_its_winner_on_images_that_took_no_part(folder, capsys):
    words = "compare digits --test digits --mistakes wrong.csv --candidates pixels --cv 2 --quiet"
    assert main(words.split()) == 0
    shown = capsys.readouterr().out
    assert "Accuracy 1.000 (0.806 to 1.000) on 16 images of 2 classes from digits." in shown
    assert pd.read_csv("wrong.csv").columns.tolist() == [
        "image",
        "fold",
        "label",
        "predicted",
        "confidence",
    ]


def test_backbones_lists_networks_and_what_is_known_of_them(capsys):
    assert main(["backbones", "mobilenet_v2"]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["network", "M", "parameters"]
    assert row.split()[:5] == ["mobilenet_v2", "3.5", "224", "1280", "72.2"]
    assert main(["backbones", "nothing*"]) == 1
    assert "no network matches 'nothing*'" in capsys.readouterr().err


def test_without_words_the_program_shows_its_commands(capsys):
    assert main([]) == 0
    assert "compare strategies of transfer on the same folds" in capsys.readouterr().out


def test_what_a_comparison_has_finished_is_found_again_unless_nothing_was(
    folder, capsys, monkeypatch
):
    words = ["compare", "digits", "--out", "m.joblib", "--candidates", "pixels", "--cv", "2"]
    monkeypatch.setattr("sktransfer.comparison.compare.tabulate", _full)
    assert main(words) == 1
    assert list(folder.glob("m.joblib.resume/results/*.json"))
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    (folder / "m.joblib.resume" / "thesis.txt").write_text("years of work")
    assert main(words) == 0
    assert ", going on where it was" in capsys.readouterr().err
    assert [path.name for path in (folder / "m.joblib.resume").iterdir()] == ["thesis.txt"]
    assert main([*words, "--cv", "99"]) == 1
    assert not list(folder.glob("m.joblib.resume-2"))


def _full(*_, **__):
    raise OSError(28, "No space left on device")


def test_two_options_cannot_name_one_file(folder, error_line):
    assert main(["compare", "digits", "--out", "x", "--mistakes", "x", "--quiet"]) == 1
    assert "--mistakes and --out are the same file. Give each a name of its own." in error_line()
