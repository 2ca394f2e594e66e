import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from sktransfer.cli import main


def test_rank_prints_a_table_best_first(folder, capsys):
    assert main(["rank", "digits", "--backbones", "tiny,tiny=random", "--method", "knn"]) == 0
    captured = capsys.readouterr()
    header, *rows = captured.out.splitlines()
    assert header.split()[:3] == ["backbone", "score", "seconds"]
    assert {row.split()[0] for row in rows} == {"tiny", "tiny=random"}
    scores = [float(row.split()[1]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert "16 images of 2 classes" in captured.err


def test_a_network_whose_weights_are_missing_is_left_out(folder, capsys):
    words = ["rank", "digits", "--backbones", "tiny=gone.safetensors,tiny", "--quiet", "--json"]
    assert main(words) == 0
    captured = capsys.readouterr()
    assert [row["backbone"] for row in json.loads(captured.out)] == ["tiny"]
    assert "warning: tiny=gone.safetensors is left out: " in captured.err


def test_rank_in_json(folder, capsys):
    words = ["rank", "digits", "--backbones", "tiny", "--json", "--quiet"]
    assert main(words) == 0
    captured = capsys.readouterr()
    (row,) = json.loads(captured.out)
    assert captured.err == ""
    assert (row["backbone"], row["width"]) == ("tiny", 256)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--backbones", "tiny,resnet51"], "backbone='resnet51'"),
        (["--backbones", "tiny", "--method", "logmee"], "method='logmee' is not possible"),
        (["--backbones", "tiny=no.safetensors"], "no.safetensors"),
    ],
)
def test_what_cannot_be_ranked_is_one_line_and_code_1(folder, error_line, words, message):
    assert main(["rank", "digits", "--quiet", *words]) == 1
    assert message in error_line()


@pytest.fixture
def spoilt(folder):
    """A copy under another label, a file that is no image, and one that is much larger."""
    shutil.copy("digits/zero/0000.png", "digits/one/copy.png")
    (folder / "digits" / "zero" / "broken.png").write_bytes(b"no image")
    large = np.random.default_rng(0).integers(0, 256, (90, 90), np.uint8)
    Image.fromarray(large).save("digits/one/large.png")
    return folder


def test_audit_says_what_is_wrong(spoilt, capsys):
    assert main(["audit", "digits", "--quiet"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == "19 images of 2 classes from digits"
    assert "unreadable: 1" in lines
    assert any(line.startswith("  digits/zero/broken.png: ") for line in lines)
    (copies,) = [line for line in lines if "copy.png" in line and "(" in line]
    assert "digits/zero/0000.png" in copies
    assert "the same, under different labels" in copies
    assert "  digits/one/large.png" in lines[lines.index("unlike most in size: 1") :]


def test_audit_in_json_and_as_a_table_that_train_takes(spoilt, capsys):
    assert main(["audit", "digits", "--json", "--quiet", "--out", "audit.csv"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == 19
    assert [item["path"] for item in found["unreadable"]] == ["digits/zero/broken.png"]
    assert sorted(found["duplicates"][0]["paths"]) == [
        "digits/one/copy.png",
        "digits/zero/0000.png",
    ]
    with (spoilt / "audit.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 19
    of_group = [row["path"] for row in rows if row["exact_group"] != "-1"]
    assert len(of_group) == 2
    assert all(path.startswith(str(spoilt)) for path in of_group)
    groups = {row["group"] for row in rows if row["path"] in of_group}
    assert len(groups) == 1


def test_audit_without_labels_takes_any_folders(spoilt, capsys):
    assert main(["audit", ".", "--no-labels", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == 19
    assert found["suspect_labels"] == []
