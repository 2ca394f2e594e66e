import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def _bundled_by_default(monkeypatch):
    """Let commands take the bundled network where none is named: weights of others are not here."""
    monkeypatch.setattr("sktransfer.backbones.default.DEFAULT_BACKBONE", "tiny")


@pytest.fixture
def folder(digits, tmp_path, monkeypatch):
    """Eight images each of the digits zero and one, in one folder a class, as seen from inside."""
    monkeypatch.chdir(tmp_path)
    for digit, name in ((0, "zero"), (1, "one")):
        (tmp_path / "digits" / name).mkdir(parents=True)
        for row in np.flatnonzero(digits.y == digit)[:8]:
            Image.fromarray(digits.X[row]).save(tmp_path / "digits" / name / f"{row:04}.png")
    return tmp_path


@pytest.fixture
def error_line(capsys):
    """A function that gives the only line on stderr, after nothing was printed."""

    def line():
        captured = capsys.readouterr()
        assert captured.out == ""
        (message,) = captured.err.splitlines()
        return message

    return line
