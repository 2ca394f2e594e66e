"""The command that lets a small network learn from a better one, and saves its weights."""

import json
import signal
import subprocess
import sys

import numpy as np
import safetensors.torch

from sktransfer import DeepFeatureTransformer
from sktransfer.cli.program import main

WORDS = ["distil", "digits", "--image-size", "32", "--teacher", "tiny", "--max-epochs", "1"]


def test_the_saved_weights_make_the_features_of_the_student(folder, capsys):
    assert main([*WORDS, "--out", "mine.safetensors", "--quiet", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["images"], said["epochs"], said["teacher_score"]) == (16, 1, None)
    assert sorted(path.name for path in folder.iterdir()) == ["digits", "mine.safetensors"]
    paths = [str(path) for path in sorted((folder / "digits").rglob("*.png"))]
    mine, bundled = (
        DeepFeatureTransformer("tiny", weights=weights, image_size=32).fit_transform(paths)
        for weights in ("mine.safetensors", "default")
    )
    assert np.abs(mine - bundled).max() > 0.01


def test_without_labels_a_line_says_that_the_teacher_was_not_checked(folder, capsys):
    assert main([*WORDS, "--out", "mine.safetensors"]) == 0
    assert "nothing tells whether the teacher is better" in (said := capsys.readouterr()).err
    assert said.out.startswith("tiny has learned from tiny by 16 images, in 1 pass; ")
    assert "compare FOLDER --backbone tiny --weights mine.safetensors" in said.out


def test_a_teacher_that_is_no_better_is_refused_by_labels(folder, error_line):
    words = [*WORDS, "--labelled", "digits", "--teacher-size", "32", "--out", "m.safetensors"]
    assert main([*words, "--quiet"]) == 1
    assert "no better than the student's by more than 0.02" in error_line()
    assert [path.name for path in folder.iterdir()] == ["digits"]


def test_the_file_must_be_one_of_weights(folder, error_line):
    assert main([*WORDS, "--out", "mine.pt"]) == 1
    assert "must end in .safetensors" in error_line()


KILLED = """
import os, signal, sys
from sktransfer.cli.program import main
from sktransfer.training import unfinished

unfinished._EVERY_S = 0
written = unfinished.Unfinished.on_epoch_end

def killed_after_the_second_epoch(self, net, **which):
    written(self, net, **which)
    if len(net.history) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

unfinished.Unfinished.on_epoch_end = killed_after_the_second_epoch
main(sys.argv[1:])
"""


def test_a_run_that_is_killed_goes_on_from_its_last_epoch_to_the_same_weights(
    folder, capsys, monkeypatch
):
    words = [*WORDS[:-1], "4", "--json", "--out"]
    main([*words, "at_once.safetensors", "--quiet"])
    capsys.readouterr()
    killed = subprocess.run([sys.executable, "-c", KILLED, *words, "killed.safetensors"])
    assert killed.returncode == -signal.SIGKILL
    assert not (folder / "killed.safetensors").exists()

    epochs = []
    from sktransfer.unlabelled import distil

    train = distil.train
    monkeypatch.setattr(distil, "train", lambda *a: (epochs.append(a[-1]), train(*a)))
    assert main([*words, "killed.safetensors"]) == 0
    assert epochs == [2]
    assert "going on where it was" in (said := capsys.readouterr()).err
    assert json.loads(said.out)["epochs"] == 4
    assert {path.name for path in folder.iterdir()} == {
        "digits", "at_once.safetensors", "killed.safetensors",
    }  # fmt: skip
    one, other = map(safetensors.torch.load_file, ("at_once.safetensors", "killed.safetensors"))
    assert all(one[key].equal(other[key]) for key in one)
