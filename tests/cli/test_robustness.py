"""Names that are hard to show, outputs that may not be written, and errors of every kind."""

import csv
import json
import os
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import sktransfer.comparison
from sktransfer.cli import main, program
from sktransfer.cli.output import check_apart, print_result

QUICK = ["--layers=-1", "--pooling", "avg", "--cv", "2", "--candidates", "logistic", "--quiet"]


class Failing:
    """A model whose `predict` fails."""

    def __init__(self, error):
        self.error = error

    def predict(self, X):
        raise self.error


@pytest.fixture
def odd_names(folder):
    """A file that is not UTF-8, one with an escape and a line end, and a class like a formula."""
    try:
        Path("digits/zero/0000.png").rename(os.fsdecode(b"digits/zero/caf\xe9.png"))
    except OSError:
        pytest.skip("this file system takes no such names")
    one, other, *_ = sorted(Path("digits/one").iterdir())
    one.rename("digits/one/\x1b[2J\nx.png")
    other.rename("digits/one/=cmd.png")
    Path("digits/one").rename("digits/=one")
    return folder


def test_odd_names_are_in_the_table_of_an_audit_as_escapes(odd_names, capsys):
    assert main(["audit", "digits", "--out", "a.csv"]) == 0
    captured = capsys.readouterr()
    assert "2 file name(s) hold control characters or are not UTF-8" in captured.err
    assert "\x1b" not in captured.err + captured.out
    with Path("a.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["path"][-17:] for row in rows if "caf" in row["path"]] == [
        r"igits/zero/caf\xe9.png"[-17:]
    ]
    assert {row["label"] for row in rows} == {"'=one", "zero"}
    assert all("\n" not in row["path"] for row in rows)


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz"])
def test_odd_names_are_embedded(odd_names, kind):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    assert main(["embed", "digits", "--out", f"f.{kind}", "--quiet"]) == 0
    if kind == "npz":
        with np.load("f.npz") as saved:
            assert os.fsdecode(b"digits/zero/caf\xe9.png") in saved["paths"]
        return
    table = pd.read_csv("f.csv") if kind == "csv" else pd.read_parquet("f.parquet")
    assert r"digits/zero/caf\xe9.png" in set(table["path"])


def test_odd_names_are_compared_and_predicted_on_an_ascii_terminal(odd_names):
    command = [sys.executable, "-m", "sktransfer"]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    run = {"env": env, "capture_output": True, "check": False}
    done = subprocess.run([*command, "compare", "digits", *QUICK, "--out", "m"], **run)
    assert (done.returncode, done.stderr) == (0, b"")
    done = subprocess.run([*command, "predict", "m", "digits", "--quiet"], **run)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"digits/zero/caf\xe9.png,zero," in done.stdout
    assert b",'=one," in done.stdout
    assert b"\x1b" not in done.stdout


def test_what_a_terminal_cannot_encode_is_an_escape(monkeypatch, tmp_path):
    with (tmp_path / "out").open("w", encoding="ascii") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        print_result("Käfer 🐞")
    assert (tmp_path / "out").read_text() == "K\\xe4fer \\U0001f41e\n"


def test_a_folder_that_embed_has_not_made_is_left_alone(folder):
    (folder / "f.npz.store").mkdir()
    (folder / "f.npz.store" / "thesis.txt").write_text("years of work")
    assert main(["embed", "digits", "--out", "f.npz", "--quiet"]) == 0
    assert [path.name for path in (folder / "f.npz.store").iterdir()] == ["thesis.txt"]
    assert not (folder / "f.npz.store-2").exists()


def test_a_link_in_the_place_of_the_store_is_not_followed(folder):
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "made-by-sktransfer-embed").touch()
    (folder / "f.npz.store").symlink_to("elsewhere")
    assert main(["embed", "digits", "--out", "f.npz", "--quiet"]) == 0
    assert (folder / "elsewhere" / "made-by-sktransfer-embed").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["audit", "digits", "--out"],
        ["train", "digits", "--out"],
        ["compare", "digits", "--out"],
        ["compare", "digits", "--report"],
    ],
)
def test_an_image_that_is_read_is_not_written_over(folder, error_line, words):
    image = folder / "digits" / "one" / "0001.png"
    before = image.read_bytes()
    assert main([*words, "digits/one/../one/0001.png", "--quiet"]) == 1
    assert "is also what the command reads" in error_line()
    assert image.read_bytes() == before


def test_a_table_that_is_read_is_not_written_over(folder, error_line):
    (folder / "t.csv").write_text("path,label\ndigits/one/0001.png,a\ndigits/zero/0000.png,b\n")
    assert main(["audit", "t.csv", "--out", "t.csv", "--quiet"]) == 1
    assert "is also what the command reads" in error_line()
    check_apart("--out", Path("new.csv"), ["t.csv"])


def test_the_report_and_the_model_are_two_files(folder, error_line):
    assert main(["compare", "digits", "--out", "m", "--report", "m"]) == 1
    assert "are the same file" in error_line()


@pytest.mark.parametrize("json_words", [[], ["--json"]])
def test_the_table_is_printed_before_a_page_that_fails(folder, capsys, monkeypatch, json_words):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "page.html")

    monkeypatch.setattr(sktransfer.comparison.StrategyComparison, "to_html", full)
    monkeypatch.setattr("sktransfer.audit.audit_images", lambda *_, **__: None)
    monkeypatch.setattr("sktransfer.advice.recommend_strategy", lambda *_, **__: None)
    words = ["compare", "digits", *QUICK, "--report", "page.html", *json_words]
    assert main(words) == 1
    captured = capsys.readouterr()
    assert "features + logistic regression" in captured.out
    assert captured.err.splitlines() == [
        "sktransfer: error: [Errno 28] No space left on device: 'page.html'"
    ]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("can't allocate\nmemory"), "RuntimeError: can't allocate memory (--trace"),
        (MemoryError("40 GiB"), "not enough memory (40 GiB). Close other programs"),
        (KeyError("head"), "KeyError: 'head'"),
        (OSError(), "OSError: "),
        (AssertionError(), "AssertionError: "),
    ],
)
def test_every_error_is_one_line(folder, error_line, error, message):
    joblib.dump(Failing(error), "m.joblib")
    assert main(["predict", "m.joblib", "digits", "--quiet"]) == 1
    assert f"sktransfer: error: {message}" in error_line()
    with pytest.raises(type(error)):
        main(["predict", "m.joblib", "digits", "--quiet", "--traceback"])


@pytest.mark.parametrize("quiet", [True, False])
def test_a_warning_is_one_line_unless_quiet_is_asked_for(folder, capsys, monkeypatch, quiet):
    def passed_over(*_, **__):
        warnings.warn("2 files were\npassed over", UserWarning, stacklevel=2)
        raise KeyboardInterrupt

    monkeypatch.setattr(sktransfer.comparison, "compare_strategies", passed_over)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        words = ["compare", "digits", *(["--quiet"] if quiet else [])]
        assert main(words) == 130
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == "sktransfer: interrupted"
    assert ("sktransfer: warning: 2 files were passed over" in said) is not quiet


def test_labels_are_not_suspected_by_a_network_that_knows_nothing(folder, capsys):
    rng = np.random.default_rng(0)
    for file in Path("digits").rglob("*.png"):
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(file)
    assert main(["audit", "digits", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["suspects_withheld"]
    assert found["suspect_labels"] == []
    assert main(["audit", "digits", "--quiet"]) == 0
    assert "No label is called wrong: the classifier that judges" in capsys.readouterr().out


def test_the_help_of_each_command_fits_and_has_examples_that_can_be_understood(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    parser = program._build_parser()
    for name, module in program._COMMANDS.items():
        with pytest.raises(SystemExit, match="0"):
            parser.parse_args([name, "--help"])
        shown = capsys.readouterr().out
        assert max(map(len, shown.splitlines())) <= 80
        for example in module.EXAMPLES:
            assert example.split()[0] == name
            assert f"  sktransfer {example}\n" in shown
            parser.parse_args(shlex.split(example))
