import numpy as np
import pytest

from sktransfer.exceptions import ImageError
from sktransfer.folders import list_images, load_class_folders


def _touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_paths_are_sorted_and_labelled_by_their_folder(tmp_path):
    _touch(tmp_path, "bee/2.png", "bee/1.JPG", "ant/9.jpeg", "ant/10.jpeg")
    paths, labels = load_class_folders(tmp_path)
    expected = ["ant/10.jpeg", "ant/9.jpeg", "bee/1.JPG", "bee/2.png"]
    assert paths.tolist() == [str(tmp_path / name) for name in expected]
    assert labels.tolist() == ["ant", "ant", "bee", "bee"]
    assert paths.dtype == np.dtype(object)


def test_hidden_files_and_files_that_are_no_images_are_left_out(tmp_path):
    _touch(
        tmp_path, "ant/1.png", "bee/1.png", "bee/notes.txt", "bee/._1.png", ".git/x.png", "a.png"
    )
    paths, _ = load_class_folders(tmp_path)
    assert paths.tolist() == [str(tmp_path / name) for name in ("ant/1.png", "bee/1.png")]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder='.*nowhere' does not exist\."):
        load_class_folders(tmp_path / "nowhere")


def test_a_file_in_place_of_a_folder_is_named(tmp_path):
    _touch(tmp_path, "photo.png")
    with pytest.raises(NotADirectoryError, match=r"photo\.png' is a file\. Give the folder"):
        load_class_folders(tmp_path / "photo.png")


def test_one_class_is_too_few(tmp_path):
    _touch(tmp_path, "ant/1.png")
    with pytest.raises(ImageError, match=r"has 1 sub-folder\(s\).*at least two classes\. Put"):
        load_class_folders(tmp_path)


def test_a_class_without_images_is_named(tmp_path):
    _touch(tmp_path, "ant/1.png", "bee/readme.txt")
    with pytest.raises(ImageError, match=r"bee' holds no image\. Images end in \.bmp, .*\.webp\."):
        load_class_folders(tmp_path)


def test_a_folder_of_train_and_val_parts_is_not_taken_for_two_classes(tmp_path):
    _touch(tmp_path, "train/ant/1.png", "train/bee/1.png", "val/ant/2.png", "val/bee/2.png")
    with pytest.raises(ImageError, match=r"too deep, in 'ant'.*did you mean to give '.*train'"):
        load_class_folders(tmp_path)


def test_images_of_all_sub_folders_are_listed_but_hidden_ones_are_not(tmp_path):
    _touch(tmp_path, "b.png", "a/deep/c.jpg", "notes.txt", ".hidden/d.png", ".e.png")
    expected = [str(tmp_path / "a/deep/c.jpg"), str(tmp_path / "b.png")]
    assert list_images(tmp_path).tolist() == expected


def test_a_folder_tree_without_images_is_refused(tmp_path):
    _touch(tmp_path, "a/notes.txt")
    with pytest.raises(ImageError, match="holds no image"):
        list_images(tmp_path)


def test_a_file_in_place_of_a_folder_of_images_is_refused(tmp_path):
    _touch(tmp_path, "a.png")
    with pytest.raises(NotADirectoryError, match=r"is a file\. Give a folder that holds images"):
        list_images(tmp_path / "a.png")
