import os
import re

import numpy as np
import pytest

from sktransfer.exceptions import ImageError, ImageWarning
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


def test_what_systems_leave_behind_is_left_out_silently(tmp_path):
    noise = [".git/config", "__MACOSX/ant/._notes.txt", "bee/Thumbs.db", "desktop.ini", ".DS_Store"]
    _touch(tmp_path, "ant/1.png", "bee/1.png", *noise)
    paths, labels = load_class_folders(tmp_path)
    assert paths.tolist() == [str(tmp_path / name) for name in ("ant/1.png", "bee/1.png")]
    assert labels.tolist() == ["ant", "bee"]
    assert list_images(tmp_path).tolist() == paths.tolist()


def test_hidden_images_are_left_out_and_named(tmp_path):
    hidden = [".git/x.png", ".h.png", "__MACOSX/ant/._1.png", "bee/._1.png", "bee/.hidden/2.png"]
    _touch(tmp_path, "ant/1.png", "bee/1.png", *hidden)
    message = "left out 5 hidden images: " + ", ".join(f"'{re.escape(name)}'" for name in hidden)
    with pytest.warns(ImageWarning, match=f"{message}\\.$"):
        paths, _ = load_class_folders(tmp_path)
    with pytest.warns(ImageWarning, match="left out 5 hidden images: "):
        assert list_images(tmp_path).tolist() == paths.tolist()
    assert len(paths) == 2


def test_a_sub_folder_without_images_is_no_class_where_others_are(tmp_path):
    _touch(tmp_path, "ant/1.png", "bee/1.png", "papers/deep/licence.txt")
    message = (
        r"left out 1 file \(1 of \.txt\): '.*licence\.txt'; 1 folder without images: 'papers'\."
    )
    with pytest.warns(ImageWarning, match=message):
        _, labels = load_class_folders(tmp_path)
    assert labels.tolist() == ["ant", "bee"]


def test_every_kind_of_file_that_pillow_reads_is_taken_also_from_sub_folders(tmp_path):
    names = ["a.PPM", "b.jfif", "c.pgm", "d.jpe", "deep/er/e.png", "f.tga"]
    _touch(tmp_path, *(f"ant/{name}" for name in names), "bee/1.png")
    paths, labels = load_class_folders(tmp_path)
    assert paths.tolist() == [str(tmp_path / "ant" / name) for name in names] + [
        str(tmp_path / "bee/1.png")
    ]
    assert labels.tolist() == ["ant"] * 6 + ["bee"]


def test_all_files_that_are_left_out_are_counted_and_named_in_one_warning(tmp_path):
    _touch(tmp_path, "ant/1.png", "ant/clip.mp4", "bee/1.png", "bee/sub/a.psx", "stray.png")
    (tmp_path / "bee/broken.png").symlink_to("nowhere.png")
    message = (
        r"left out 4 files \(2 of \.png, 1 of \.mp4, 1 of \.psx\): "
        r"'stray\.png', 'ant/clip\.mp4', 'bee/broken\.png', 'bee/sub/a\.psx'\. Images end in"
    )
    with pytest.warns(ImageWarning, match=message) as told:
        paths, _ = load_class_folders(tmp_path)
    assert len(told) == 1
    assert len(paths) == 2
    with pytest.warns(ImageWarning, match=r"left out 3 files \(.*1 of \.mp4.*\)"):
        assert len(list_images(tmp_path)) == 3


def test_only_the_first_of_many_files_are_named(tmp_path):
    _touch(tmp_path, "1.png", *(f"{i}.txt" for i in range(9)))
    with pytest.warns(ImageWarning, match=r"left out 9 files \(9 of \.txt\): .* and 4 more\."):
        list_images(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_no_image(tmp_path):
    _touch(tmp_path, "1.png")
    os.mkfifo(tmp_path / "2.png")
    with pytest.warns(ImageWarning, match=r"left out 1 file \(1 of \.png\): '2\.png'"):
        assert list_images(tmp_path).tolist() == [str(tmp_path / "1.png")]


def test_a_link_to_a_folder_above_is_entered_once(tmp_path):
    _touch(tmp_path, "1.png", "sub/2.png")
    (tmp_path / "sub/again").symlink_to(tmp_path, target_is_directory=True)
    assert len(list_images(tmp_path)) == 2


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
    with pytest.raises(
        ImageError,
        match=r"bee' holds no image, but 1 file .*'.*readme\.txt'\. Images end in .*\.bmp, .*\.webp",
    ):
        load_class_folders(tmp_path)


def test_a_folder_of_train_and_val_parts_is_not_taken_for_two_classes(tmp_path):
    _touch(tmp_path, "train/ant/1.png", "train/bee/1.png", "val/ant/2.png", "val/bee/2.png")
    with pytest.raises(ImageError, match=r"too deep, in 'ant'.*did you mean to give '.*train'"):
        load_class_folders(tmp_path)


def test_images_of_all_sub_folders_are_listed_but_hidden_ones_are_not(tmp_path):
    _touch(tmp_path, "b.png", "a/deep/c.jpg", ".hidden/d.png", ".e.png")
    expected = [str(tmp_path / "a/deep/c.jpg"), str(tmp_path / "b.png")]
    with pytest.warns(ImageWarning, match="left out 2 hidden images"):
        assert list_images(tmp_path).tolist() == expected


def test_a_folder_tree_without_images_is_refused(tmp_path):
    _touch(tmp_path, "a/notes.txt")
    with pytest.raises(ImageError, match="holds no image"):
        list_images(tmp_path)


def test_a_file_in_place_of_a_folder_of_images_is_refused(tmp_path):
    _touch(tmp_path, "a.png")
    with pytest.raises(NotADirectoryError, match=r"is a file\. Give a folder that holds images"):
        list_images(tmp_path / "a.png")
