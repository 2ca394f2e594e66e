import os

import pytest

from sktransfer.readable import as_cell, readable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ant & bee <i>, größer, 蜂, 🐝", "ant & bee <i>, größer, 蜂, 🐝"),
        (os.fsdecode(b"caf\xe9.png"), r"caf\xe9.png"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("two\r\nlines\u2028", r"two\r\nlines\u2028"),
        ("photo\u202egnp.exe", r"photo\u202egnp.exe"),
        ("\ud800", r"\ud800"),
        ("\x9b2J", r"\x9b2J"),
    ],
)
def test_what_steers_or_hides_becomes_an_escape_and_the_rest_stays(text, shown):
    assert readable(text) == shown
    assert readable(text).encode("utf-8")


def test_line_ends_stay_where_they_are_meant():
    assert readable("one\ntwo\x00", keep="\n") == "one\ntwo\\x00"


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+SUM(A1)", "-ant", "@x", " =1+1"])
def test_a_cell_is_no_formula(text):
    assert as_cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["ant", "-1", "+4.5e3", "", -1, None, 2.5, "a=b"])
def test_other_cells_stay_as_they_are(value):
    assert as_cell(value) == value
