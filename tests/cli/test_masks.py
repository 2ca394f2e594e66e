import json

import numpy as np
import pytest
from PIL import Image

from sktransfer.cli import main
from sktransfer.datasets import load_digit_masks

QUICK = ["--cv", "2", "--max-epochs", "1", "--quiet"]


@pytest.fixture
def scenes(tmp_path, monkeypatch):
    """Fourteen images and their masks, in two folders, as seen from inside."""
    monkeypatch.chdir(tmp_path)
    data = load_digit_masks()
    for name in ("images", "masks"):
        (tmp_path / name / "street").mkdir(parents=True)
    for row in range(14):
        Image.fromarray(data.X[row]).save(tmp_path / "images" / "street" / f"{row:02}.bmp")
        Image.fromarray(data.y[row]).save(tmp_path / "masks" / "street" / f"{row:02}.png")
    return tmp_path


def test_train_and_predict_write_label_images_with_a_palette(scenes, capsys):
    words = ["train", "images", "--masks", "masks", "--out", "m.joblib", "--unlabeled", "3"]
    assert main([*words, "--json", *QUICK]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == [0, 1, 2]
    assert main(["predict", "m.joblib", "images", "--out", "found", "--json", "--quiet"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 14
    with Image.open(scenes / "found" / "street" / "03.png") as mask:
        assert (mask.mode, mask.size) == ("P", (64, 64))
        labels = np.asarray(mask)
    assert " ".join(map(str, np.unique(labels))) == rows[3]["labels"]
    assert set(np.unique(labels)) <= {0, 1, 2}


def test_compare_names_the_best_strategy_for_pixels(scenes, capsys):
    words = ["compare", "images", "--masks", "masks", "--candidates", "pixels,logistic"]
    assert main([*words, "--report", "page.html", *QUICK]) == 0
    printed = capsys.readouterr().out
    assert "14 images with masks from images" in printed
    assert "raw pixels + random forest" in printed
    assert (scenes / "page.html").stat().st_size > 1000


def test_an_image_without_a_mask_is_named(scenes, error_line):
    (scenes / "masks" / "street" / "05.png").unlink()
    assert main(["train", "images", "--masks", "masks", "--out", "m.joblib", *QUICK]) == 1
    assert "1 of 14 images have no mask in 'masks'; the first is 'images/street/05.bmp'" in (
        error_line()
    )
