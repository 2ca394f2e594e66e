import builtins
import errno
import io
import os
import socket
import struct
import sys
import wave

import numpy as np
import pytest
from PIL import Image

from sktransfer.exceptions import ImageDecodeError
from sktransfer.formats import image_extensions, missing_reader, readable_formats
from sktransfer.images import as_image_sequence
from sktransfer.images.pixels import files


def refuse(item, match):
    with pytest.raises(ImageDecodeError, match=match):
        as_image_sequence([item]).load(0)


def encode(fmt, mode="RGB", size=(9, 9)):
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, fmt)
    return buffer.getvalue()


# ----------------------------------------------------------------- only regular files of some size


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    refuse(tmp_path / "pipe.jpg", r"is a named pipe\. Correct the path")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_that_takes_a_files_place_is_not_waited_for(tmp_path, monkeypatch):
    regular = tmp_path / "regular"
    regular.write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe.jpg")
    look = os.stat
    monkeypatch.setattr(files.os, "stat", lambda path, **options: look(regular))
    refuse(tmp_path / "pipe.jpg", "is a named pipe")


@pytest.mark.skipif(sys.platform == "win32", reason="needs devices")
def test_a_device_and_a_socket_are_not_read(tmp_path, monkeypatch):
    refuse("/dev/zero", r"is a device\.")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.jpg")
        refuse("s.jpg", r"is a socket\.")


def test_a_sparse_file_is_refused_by_its_size(tmp_path):
    with (tmp_path / "sparse.jpg").open("wb") as file:
        file.truncate(60 << 30)
    refuse(tmp_path / "sparse.jpg", r"has 64424509440 bytes or more, while \d+ are possible: 8 for")


def test_the_largest_file_follows_pillows_limit_of_pixels(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10**9)
    assert files.max_file_bytes() == 8 * 10**9
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert files.max_file_bytes() is None


@pytest.mark.parametrize("path", ["x" * 5000 + ".png", "a/" * 3000 + "b.png", "\udcff.png", ""])
def test_an_impossible_path_is_an_error_of_its_row(path):
    refuse(path, r"^image 0 of 1 .* (cannot be read \(.*\)|does not exist)\. Correct the path")


def test_a_file_in_a_locked_folder_is_an_error_of_its_row(monkeypatch):
    def locked(path, **options):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(files.os, "stat", locked)
    refuse("locked/a.png", r"cannot be read \(Permission denied\)\. Correct")


# ------------------------------------------------------------- a shortage is no fault of the image


def shortage(kind):
    return MemoryError("no memory") if kind is None else OSError(kind, "shortage")


SHORTAGES = [None, errno.EMFILE, errno.ENFILE, errno.ENOMEM]


@pytest.mark.parametrize("kind", SHORTAGES)
def test_a_shortage_while_a_file_is_opened_is_raised_as_it_is(kind, tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(encode("PNG"))

    def fail(*args):
        raise shortage(kind)

    monkeypatch.setattr(files.os, "open", fail)
    with pytest.raises((MemoryError, OSError), match=r"no memory|shortage") as caught:
        as_image_sequence([str(tmp_path / "a.png")]).read(0)
    assert not isinstance(caught.value, ImageDecodeError)


@pytest.mark.parametrize("kind", SHORTAGES)
@pytest.mark.parametrize("method", ["load", "getexif"])
@pytest.mark.parametrize("wrap", [lambda data: data, lambda data: Image.open(io.BytesIO(data))])
def test_a_shortage_while_an_image_is_decoded_is_raised_as_it_is(wrap, method, kind, monkeypatch):
    images = as_image_sequence([wrap(encode("PNG"))])

    def fail(*args):
        raise shortage(kind)

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile." + method, fail)
    with pytest.raises((MemoryError, OSError), match=r"no memory|shortage") as caught:
        images.load(0)
    assert not isinstance(caught.value, ImageDecodeError)


@pytest.mark.parametrize("kind", SHORTAGES)
def test_a_shortage_inside_a_data_set_is_raised_as_it_is(kind):
    class Short:
        def __len__(self):
            return 3

        def __getitem__(self, row):
            raise shortage(kind)

    with pytest.raises((MemoryError, OSError), match=r"no memory|shortage") as caught:
        as_image_sequence(Short()).read(0)
    assert not isinstance(caught.value, ImageDecodeError)


# ------------------------------------------------------------------------- formats and their names


@pytest.fixture
def no_programs(monkeypatch):
    def refused(*args, **options):
        raise AssertionError("a program was started")

    for name in ("check_call", "check_output", "run", "Popen", "call"):
        monkeypatch.setattr(f"subprocess.{name}", refused)


def test_postscript_is_never_handed_to_a_program(no_programs, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encode("EPS"))
    refuse(path, r"is not an image but PostScript, which is not opened")
    with Image.open(path) as opened:
        refuse(opened, r"is of the format EPS, which is not decoded")


def test_what_is_tried_holds_no_format_that_runs_programs_or_draws_metafiles():
    assert not {"EPS", "WMF", "MPEG", "HDF5", "GRIB", "BUFR", "IPTC"} & set(readable_formats())
    assert {"JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM"} <= set(readable_formats())


def test_every_raster_format_that_pillow_writes_is_read_and_listed():
    for fmt in ("BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "SGI", "TGA"):
        if fmt in readable_formats():
            assert as_image_sequence([encode(fmt, size=(16, 16))]).load(0).size == (16, 16)
    common = {".jpg", ".jfif", ".jpe", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".gif", ".bmp"}
    assert common <= image_extensions()
    assert not {".eps", ".pdf", ".mpg", ".txt", ".h5"} & image_extensions()


def test_photographs_of_telephones_are_read_where_their_reader_is_installed(tmp_path, monkeypatch):
    pytest.importorskip("pillow_heif")
    assert {".heic", ".heif"} <= image_extensions()
    assert missing_reader(["IMG_1.HEIC"]) == ""
    photo = Image.linear_gradient("L").convert("RGB").resize((64, 48))
    photo.save(tmp_path / "IMG_1.HEIC", quality=95)
    read = as_image_sequence([str(tmp_path / "IMG_1.HEIC")]).load(0)
    assert np.abs(np.asarray(read, float) - np.asarray(photo, float)).mean() < 3
    monkeypatch.delitem(Image.OPEN, "HEIF")
    assert ".heic" not in image_extensions()
    assert "can be read after: pip install 'pillow-heif'" in missing_reader(["IMG_1.HEIC"])
    refuse(tmp_path / "IMG_1.HEIC", r"pip install pillow-heif")


def sound():
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", "NONE"))
        file.writeframes(bytes(4000))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (sound(), r"is not an image but a sound or a film\."),
        (b"RIFF\x10\0\0\0AVI LIST" + bytes(50), r"is not an image but a sound or a film\."),
        (b"ID3\x04" + bytes(50), r"is not an image but a sound\."),
        (b"%PDF-1.7\n" + bytes(50), r"is not an image but a PDF\."),
        (b"PK\x03\x04" + bytes(50), r"is not an image but a zip archive"),
        (struct.pack(">I", 24) + b"ftypmp42" + bytes(50), r"is a film, or a photograph of a kind"),
        (
            b"RIFF\x10\0\0\0WEBPVP8 " + bytes(9),
            r"is a (truncated|damaged|truncated or damaged) WEBP",
        ),
    ],
)
def test_other_files_are_called_what_they_are(data, match):
    refuse(data, match)


def test_no_file_stays_open_when_reading_fails(tmp_path, monkeypatch):
    closed = []
    fdopen = builtins.open

    def spy(*args, **options):
        file = fdopen(*args, **options)
        closed.append(file)
        return file

    monkeypatch.setattr(files.os, "fdopen", spy)
    (tmp_path / "empty.png").touch()
    refuse(tmp_path / "empty.png", "is an empty file")
    assert [file.closed for file in closed] == [True]
