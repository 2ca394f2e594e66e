import json
import subprocess
import sys

import joblib
import numpy as np
import pytest
from PIL import Image

import sktransfer.selection
from sktransfer.cli import main

QUICK = ["--layers=-1", "--pooling", "avg", "--cv", "2"]


@pytest.fixture
def folder(digits, tmp_path, monkeypatch):
    """Eight images each of the digits zero and one, in one folder a class, as seen from inside."""
    monkeypatch.chdir(tmp_path)
    for digit, name in ((0, "zero"), (1, "one")):
        (tmp_path / "digits" / name).mkdir(parents=True)
        for row in np.flatnonzero(digits.y == digit)[:8]:
            Image.fromarray(digits.X[row]).save(tmp_path / "digits" / name / f"{row:04}.png")
    return tmp_path


def _error(capsys):
    """The only line on stderr."""
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def test_compare_prints_a_table_and_predicts_from_the_file_it_saved(folder, capsys):
    assert main(["compare", "digits", "--out", "model.joblib", *QUICK]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0].split() == ["candidate", "score", "spread", "seconds", "best", "parameters"]
    assert sum("raw pixels +" in line or "features +" in line for line in lines[1:5]) == 4
    scores = [
        float(line[len("raw pixels + logistic regression") :].split()[0]) for line in lines[1:5]
    ]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.9
    assert (
        "Saved to model.joblib. Loaded from there, it predicts, of the images it was fitted on:"
        in lines
    )
    assert sum("(label " in line for line in lines) == 5
    model = joblib.load(folder / "model.joblib")
    assert model.predict(["digits/zero/0000.png", "digits/one/0001.png"]).tolist() == [
        "zero",
        "one",
    ]


def test_progress_goes_to_stderr_and_quiet_silences_it(folder, capsys):
    main(["compare", "digits", *QUICK])
    assert "16 images of 2 classes from digits" in capsys.readouterr().err
    main(["compare", "digits", "--quiet", *QUICK])
    assert capsys.readouterr().err == ""


def test_json_holds_what_the_table_shows(folder, capsys):
    assert main(["compare", "digits", "--json", "--quiet", *QUICK]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["results"][0]["candidate"] == report["best"]
    assert {"score_mean", "score_std", "search_seconds"} <= set(report["results"][0])
    assert report["model"] == "sktransfer-model.joblib"
    assert (folder / "sktransfer-model.joblib").stat().st_size < 2**20
    assert len(report["predictions"]) == 5
    assert set(report["predictions"][0]) == {"image", "label", "predicted"}


def test_without_a_folder_the_bundled_digits_are_compared_with_the_options_given(
    tmp_path, monkeypatch, capsys
):
    asked = {}

    def compare_features(X, y, **options):
        asked.update(options, n_images=len(X))
        raise ValueError("enough\nseen")

    monkeypatch.setattr(sktransfer.selection, "compare_features", compare_features)
    out = str(tmp_path / "model.joblib")
    words = "--backbone resnet18 --weights IMAGENET1K_V1 --device cpu --layers layer3,layer3+-1 "
    words += "--pooling gem --cv 3 --n-jobs 2 --batch-size 8 --seed 4 --quiet --out"
    assert main(["compare", *words.split(), out]) == 1
    assert capsys.readouterr().err == "sktransfer: error: enough seen\n"
    assert asked == {
        "n_images": 1797,
        "backbone": "resnet18",
        "weights": "IMAGENET1K_V1",
        "device": "cpu",
        "layers": ["layer3", ["layer3", -1]],
        "poolings": ["gem"],
        "cv": 3,
        "n_jobs": 2,
        "batch_size": 8,
        "random_state": 4,
        "verbose": 0,
    }


def test_a_missing_folder_is_one_line_and_code_1(folder, capsys):
    assert main(["compare", "nowhere"]) == 1
    assert _error(capsys) == "sktransfer: error: folder='nowhere' does not exist."


def test_an_unknown_backbone_is_one_line_and_code_1(folder, capsys):
    assert main(["compare", "digits", "--quiet", "--backbone", "resnet51", *QUICK]) == 1
    assert _error(capsys).startswith("sktransfer: error: backbone='resnet51'")


def test_an_unreadable_image_is_one_line_that_names_it(folder, capsys):
    (folder / "digits" / "one" / "broken.png").write_bytes(b"not an image")
    assert main(["compare", "digits", "--quiet", *QUICK]) == 1
    assert "broken.png" in _error(capsys)


def test_more_folds_than_images_is_one_line_that_says_how_many_are_possible(folder, capsys):
    assert main(["compare", "digits", "--quiet", "--cv", "9"]) == 1
    assert "cv=9 asks for 9 folds, but the class 'one' has only 8 image(s)" in _error(capsys)


@pytest.mark.parametrize(
    ("out", "message"),
    [("missing/model.joblib", "'missing' does not exist. Make it first."), (".", "is a folder.")],
)
def test_a_place_that_cannot_be_written_is_found_before_the_work(folder, capsys, out, message):
    assert main(["compare", "digits", "--out", out]) == 1
    assert message in _error(capsys)


def test_traceback_shows_where_an_error_arose(folder):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        main(["compare", "nowhere", "--traceback"])


def test_an_interrupt_is_code_130_without_a_traceback(folder, monkeypatch, capsys):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(sktransfer.selection, "compare_features", interrupted)
    assert main(["compare", "digits", "--quiet"]) == 130
    assert _error(capsys) == "sktransfer: interrupted"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "required: COMMAND"),
        (["embroider"], "invalid choice: 'embroider'"),
        (["compare", "--cv", "1"], "1 is too few; give 2 or more"),
        (["compare", "--cv", "many"], "invalid"),
        (["compare", "--pooling", "avg,,max"], "has an empty entry between its commas"),
        (["compare", "--bakcbone", "tiny"], "unrecognized arguments: --bakcbone"),
    ],
)
def test_a_command_that_cannot_be_understood_is_code_2(words, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert message in capsys.readouterr().err


def test_version_is_printed_and_help_needs_no_torch():
    code = (
        "import sys; from sktransfer.cli import main\n"
        "try:\n    main(['--version'])\n"
        "except SystemExit as done:\n    print(done.code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["sktransfer", sktransfer.__version__, "0", "False"]


def test_the_module_runs_as_a_program(folder):
    command = [sys.executable, "-m", "sktransfer", "compare", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "sktransfer: error: folder='nowhere' does not exist.\n"
