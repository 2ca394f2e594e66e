import json
import re
import subprocess
import sys
from pathlib import Path

import joblib
import pytest

import sktransfer.comparison
from sktransfer.cli import main

QUICK = ["--layers=-1", "--pooling", "avg", "--cv", "2", "--candidates", "pixels,svm"]


@pytest.fixture
def asked(monkeypatch):
    """What `compare_strategies` is asked for; it then ends in an error."""
    asked = {}

    def compare_strategies(X, y, **options):
        asked.update(options, n_images=len(X), n_classes=len(set(y)))
        raise ValueError("enough\nseen")

    monkeypatch.setattr(sktransfer.comparison, "compare_strategies", compare_strategies)
    return asked


def test_compare_prints_a_table_and_predicts_from_the_file_it_saved(folder, capsys):
    assert main(["compare", "digits", "--out", "model.joblib", *QUICK]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == (
        "16 images of 2 classes from digits; 2 folds, at most 20 epochs of fine-tuning, at most 15 "
        "minutes (--minutes); network tiny"
    )
    assert lines[2].split() == ["candidate", "score", "interval", "p", "fit", "predict"]
    assert max(map(len, lines[1:])) <= 80
    assert {line[:12] for line in lines[3:5]} == {"raw pixels +", "features + S"}
    scores = [
        float(line[len("raw pixels + logistic regression") :].split()[0]) for line in lines[3:5]
    ]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.9
    assert any(re.match(r"Saved to model\.joblib \(\S+ kB\)\. Label other", line) for line in lines)
    held_out = next(line for line in lines if "held-out images" in line)
    n_wrong = 0 if "rightly" in held_out else int(held_out.split()[2])
    assert sum("(label " in line for line in lines) == min(5, n_wrong)
    assert not list(folder.glob("*.resume*")), "what could be resumed is gone"
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
    assert report["results"][0]["p_value"] is None  # NaN is not JSON
    assert len(report["fold_scores"][report["best"]]) == 2
    assert report["model"] == "sktransfer-model.joblib"
    assert (folder / "sktransfer-model.joblib").stat().st_size < 2**20
    assert len(report["predictions"]) == 5
    assert set(report["predictions"][0]) == {"image", "label", "predicted"}


def test_without_a_folder_the_bundled_digits_are_compared_with_the_options_given(
    asked, tmp_path, capsys
):
    out = str(tmp_path / "model.joblib")
    words = "--backbone resnet18 --weights IMAGENET1K_V1 --device cpu --layers layer3,layer3+-1 "
    words += "--pooling gem --cv 3 --n-jobs 2 --batch-size 8 --seed 4 --quiet --candidates forest,pixels "
    words += "--resume kept --image-size 64 --images 200 --max-epochs 3 --out"
    assert main(["compare", *words.split(), out]) == 1
    assert capsys.readouterr().err == "sktransfer: error: enough seen\n"
    assert asked == {
        "n_images": 200,
        "n_classes": 10,
        "X_target": None,
        "y_target": None,
        "max_epochs": 3,
        "candidates": ["features + random forest", "raw pixels + logistic regression"],
        "groups": None,
        "image_size": 64,
        "resume": Path("kept"),
        "time_limit": 900,
        "backbone": "resnet18",
        "weights": "IMAGENET1K_V1",
        "device": "cpu",
        "layers": ["layer3", ["layer3", -1]],
        "poolings": ["gem"],
        "cv": 3,
        "scoring": None,
        "unlabeled": None,
        "X_unlabeled": None,
        "teacher": None,
        "teacher_weights": "default",
        "n_jobs": 2,
        "batch_size": 8,
        "random_state": 4,
        "verbose": 0,
    }


@pytest.mark.parametrize(("source", "n_images", "max_epochs"), [([], 300, 7), (["digits"], 16, 20)])
def test_the_budget_is_said_and_smaller_for_the_bundled_images(
    folder, asked, capsys, source, n_images, max_epochs
):
    main(["compare", *source])
    assert (asked["n_images"], asked["max_epochs"]) == (n_images, max_epochs)
    said = capsys.readouterr().err
    assert f"sktransfer: {n_images} images of {asked['n_classes']} classes" in said
    assert f"5 folds, at most {max_epochs} epochs of fine-tuning" in said


def test_images_without_labels_are_handed_on(folder, asked):
    main(["compare", "digits", "--unlabeled", "digits/one", "--quiet"])
    assert asked["X_unlabeled"].tolist()[:1] == ["digits/one/0001.png"]
    assert (len(asked["X_unlabeled"]), asked["unlabeled"]) == (8, None)


def test_images_of_another_domain_are_handed_on_without_labels(folder, asked):
    main(["compare", "digits", "--target", "digits/one", "--quiet"])
    assert len(asked["X_target"]) == 8
    assert asked["X_target"][0] == "digits/one/0001.png"


def test_labels_of_the_target_score_only_if_asked_for(folder, asked, capsys):
    main(["compare", "digits", "--target", "digits", "--quiet"])
    assert asked["y_target"] is None
    main(["compare", "digits", "--target", "digits", "--score-target", "--quiet"])
    assert [Path(path).parent.name for path in asked["X_target"]] == asked["y_target"].tolist()
    assert len(asked["y_target"]) == 16
    capsys.readouterr()
    assert main(["compare", "digits", "--score-target"]) == 1
    assert "--score-target has no target. Give its images by --target" in capsys.readouterr().err


def test_scores_on_a_target_are_called_that(folder, capsys):
    words = [
        "--target",
        "digits",
        "--score-target",
        "--candidates",
        "pixels",
        "--cv",
        "2",
        "--quiet",
    ]
    assert main(["compare", "digits", *words]) == 0
    shown = capsys.readouterr().out
    assert "mean over the folds, on the images in digits;" in shown
    assert "p: not tested, for all folds were scored on the same images." in shown
    assert (
        main(
            [
                "train",
                "digits",
                "--out",
                "m.joblib",
                "--candidate",
                "pixels",
                *words[:3],
                *words[5:],
            ]
        )
        == 0
    )
    assert "Score over 2 folds, on the images in digits: " in capsys.readouterr().out


@pytest.mark.slow
def test_a_report_is_written_beside_the_table(folder, capsys):
    words = ["--out", "m.joblib", "--report", "page.html", "--quiet"]
    assert main(["compare", "digits", *words, *QUICK]) == 0
    assert capsys.readouterr().out.endswith("The report is in page.html.\n")
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert "features + SVM" in page
    assert str(folder) not in page
    assert page.rstrip().endswith("</html>")


def test_a_missing_folder_is_one_line_and_code_1(folder, error_line):
    assert main(["compare", "nowhere"]) == 1
    assert error_line() == "sktransfer: error: folder='nowhere' does not exist."


def test_an_unknown_backbone_is_one_line_and_code_1(folder, error_line):
    assert main(["compare", "digits", "--quiet", "--backbone", "resnet51", *QUICK]) == 1
    assert error_line().startswith("sktransfer: error: backbone='resnet51'")


def test_an_unreadable_image_is_one_line_that_names_it(folder, error_line):
    (folder / "digits" / "one" / "broken.png").write_bytes(b"not an image")
    assert main(["compare", "digits", "--quiet", *QUICK]) == 1
    assert "broken.png" in error_line()


def test_more_folds_than_images_is_one_line_that_says_how_many_are_possible(folder, error_line):
    assert main(["compare", "digits", "--quiet", "--cv", "9"]) == 1
    assert "cv=9 asks for 9 folds, but the class 'one' has only 8 image(s)" in error_line()


@pytest.mark.parametrize(
    ("out", "message"),
    [("missing/model.joblib", "'missing' does not exist. Make it first."), (".", "is a folder.")],
)
def test_a_place_that_cannot_be_written_is_found_before_the_work(folder, error_line, out, message):
    assert main(["compare", "digits", "--out", out]) == 1
    assert message in error_line()


def test_traceback_shows_where_an_error_arose(folder):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        main(["compare", "nowhere", "--traceback"])


def test_an_interrupt_is_code_130_without_a_traceback(folder, monkeypatch, error_line):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(sktransfer.comparison, "compare_strategies", interrupted)
    assert main(["compare", "digits", "--quiet"]) == 130
    assert error_line() == "sktransfer: interrupted"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["embroider"], "invalid choice: 'embroider'"),
        (["compare", "--cv", "1"], "1 is too few; give 2 or more"),
        (["compare", "--cv", "many"], "invalid"),
        (["compare", "--pooling", "avg,,max"], "has an empty entry between its commas"),
        (["compare", "--candidates", "svn"], "'svn' is none of the candidates. Choose from pixels"),
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
