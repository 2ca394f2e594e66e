import os
import resource
import signal
import stat
from pathlib import Path

import pytest

from sktransfer.writing import check_writable, whole_file


def write(path, text):
    with whole_file(path) as unfinished:
        unfinished.write_text(text)


def test_a_file_is_replaced_when_all_is_written_and_nothing_else_is_left(tmp_path):
    file = tmp_path / "page.html"
    write(file, "old")
    with whole_file(file) as unfinished:
        unfinished.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "page.html"
    write(file, "old")

    def fail_half_way():
        with whole_file(file) as unfinished:
            unfinished.write_text("half")
            raise ZeroDivisionError("half way")

    with pytest.raises(ZeroDivisionError, match="half way"):
        fail_half_way()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_leaves_the_old_file_and_is_named_after_the_target(tmp_path):
    file = tmp_path / "page.html"
    write(file, "old")
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"page\.html"):
            write(file, "x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_the_unfinished_file_has_another_name_each_time_beside_the_target(tmp_path):
    names = set()
    for _ in range(3):
        with whole_file(tmp_path / "f.csv") as unfinished:
            names.add(unfinished.name)
            assert (unfinished.parent, unfinished.suffix) == (tmp_path, ".csv")
    assert len(names) == 3


def test_a_new_file_has_the_usual_permissions_and_a_replaced_one_keeps_its_own(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "new", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    (tmp_path / "new").chmod(0o604)
    write(tmp_path / "new", "again")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o604


def test_a_link_is_followed_and_stays_a_link(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "far" / "file")
    write(tmp_path / "near", "first")
    write(tmp_path / "near", "second")
    assert (tmp_path / "near").is_symlink()
    assert (tmp_path / "far" / "file").read_text() == "second"
    assert len(list((tmp_path / "far").iterdir())) == 1


def test_a_device_is_written_to_and_not_replaced():
    write("/dev/null", "words")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_folder_is_not_replaced(tmp_path):
    with pytest.raises(IsADirectoryError, match="directory"):
        write(tmp_path, "words")


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("missing/file", FileNotFoundError, "the folder .*missing' does not exist. Make it first"),
        (".", IsADirectoryError, "is a folder. Give the name of a file"),
        ("x" * 300, OSError, "cannot be written: File name too long. Give another file"),
        ("file/below", OSError, "Not a directory|does not exist"),
        ("/dev/null", OSError, "is a device or a pipe"),
        ("-", OSError, "is no file, and stdout is for what the command says"),
    ],
)
def test_what_cannot_be_written_is_told_beforehand(tmp_path, monkeypatch, name, error, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(error, match=message):
        check_writable("--out", Path(name))


def test_a_folder_that_cannot_be_written_to_is_told_beforehand(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(13, "Permission denied", "name")

    monkeypatch.setattr("sktransfer.writing.os.open", refused)  # root may write everywhere
    with pytest.raises(PermissionError, match=r"--out .*m' cannot be written: Permission denied"):
        check_writable("--out", tmp_path / "m")


def test_a_protected_file_is_told_beforehand_and_not_replaced(tmp_path, monkeypatch):
    file = tmp_path / "m"
    file.write_text("old")
    monkeypatch.setattr("sktransfer.writing.os.access", lambda *_: False)
    with pytest.raises(PermissionError, match="cannot be written: Permission denied"):
        check_writable("--out", file)
    with pytest.raises(PermissionError, match="Permission denied"):
        write(file, "new")
    assert file.read_text() == "old"


def test_a_check_leaves_nothing_behind(tmp_path):
    check_writable("--out", tmp_path / "m")
    assert list(tmp_path.iterdir()) == []
