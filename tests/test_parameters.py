"""Numbers of bytes are read from the environment as people write them."""

import sys

import pytest

from sktransfer.parameters import bytes_allowed


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1000", 1000), ("1e9", 10**9), (" 2.5e3 ", 2500), ("0", 0), ("inf", sys.maxsize), ("", 7)],
)
def test_a_number_of_bytes_is_understood(text, expected, monkeypatch):
    monkeypatch.setenv("SKTRANSFER_FOLDER_BYTES", text)
    assert bytes_allowed("SKTRANSFER_FOLDER_BYTES", 7) == expected


@pytest.mark.parametrize("text", ["much", "-1", "nan", "1 GB"])
def test_anything_else_is_refused_in_words(text, monkeypatch):
    monkeypatch.setenv("SKTRANSFER_FOLDER_BYTES", text)
    with pytest.raises(ValueError, match=f"SKTRANSFER_FOLDER_BYTES='{text}' is no number of bytes"):
        bytes_allowed("SKTRANSFER_FOLDER_BYTES", 7)
