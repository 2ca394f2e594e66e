from pathlib import Path

import pytest

from sktransfer.exceptions import ImageError
from sktransfer.tables import load_image_table


@pytest.fixture
def write(tmp_path):
    def table(text):
        file = tmp_path / "table.csv"
        file.write_text(text, encoding="utf-8")
        return file

    return table


def test_paths_start_where_the_table_lies(write, tmp_path):
    table = load_image_table(write("path,label\na.png,x\nsub/b.png,y\n/c.png,x\n"))
    assert table.paths.tolist() == [str(tmp_path / "a.png"), str(tmp_path / "sub/b.png"), "/c.png"]
    assert table.labels.tolist() == ["x", "y", "x"]
    assert table.groups is None


def test_columns_may_stand_in_any_order_among_others(write):
    table = load_image_table(write("\ufeffgroup, label,size,path\n1,x,9,a.png\n2,y,9,b.png\n"))
    assert table.groups.tolist() == ["1", "2"]
    assert table.labels.tolist() == ["x", "y"]
    assert [Path(path).name for path in table.paths] == ["a.png", "b.png"]


def test_labels_may_be_missing(write):
    assert load_image_table(write("path\na.png\n")).labels is None


@pytest.mark.parametrize(
    "text",
    [
        "path;label\na,1.png;x\nb.png;y\n",
        "Filename\tClass\na,1.png\tx\nb.png\ty\n",
        '\ufeffIMAGE,Label\r\n"a,1.png",x\r\nb.png,y\r\n',
        "image;path;class;label\nno;a,1.png;no;x\nno;b.png;no;y\n",
    ],
)
def test_tables_of_other_programs(write, tmp_path, text):
    table = load_image_table(write(text))
    assert table.paths.tolist() == [str(tmp_path / "a,1.png"), str(tmp_path / "b.png")]
    assert table.labels.tolist() == ["x", "y"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("photo,label\na.png,x\n", r"no column 'path'; its columns are 'photo', 'label'"),
        ("", "no column 'path'; its columns are none"),
        ("path,label\n", "has no rows"),
        ("path,Path\na.png,b.png\n", r"has 2 columns 'path', and only one can be read\. Rename"),
        ("path,label,label\na.png,x,y\n", r"has 2 columns 'label'"),
        ("path,label\na.png,x\nb.png,\n", r"row 2 of the table .* has no label"),
        ("path,label\na.png,x\n,y\n", r"row 2 of the table .* has no path"),
        ("path,label\na.png\n", r"row 1 of the table .* has no label"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(write, text, message):
    with pytest.raises(ImageError, match=message):
        load_image_table(write(text))


def test_columns_of_other_names_can_be_named(write, tmp_path):
    file = write("path,Photo,species\nno,a.png,ant\n")
    table = load_image_table(file, path_column="photo", label_column="species")
    assert table.paths.tolist() == [str(tmp_path / "a.png")]
    assert table.labels.tolist() == ["ant"]
    message = r"has no column 'kind'; its columns are 'path', 'Photo', 'species'\."
    with pytest.raises(ImageError, match=message):
        load_image_table(file, label_column="kind")


def test_a_file_that_is_no_table_is_refused(tmp_path):
    (tmp_path / "image.csv").write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(ImageError, match="is no table in CSV and UTF-8"):
        load_image_table(tmp_path / "image.csv")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.csv"):
        load_image_table(tmp_path / "no.csv")
