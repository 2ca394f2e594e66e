"""`audit_images` finds what was planted, and nothing else."""

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.model_selection import GroupKFold, KFold
from torch import nn

from sktransfer import audit_images
from sktransfer.audit.duplicates import near_threshold_of, nearest_images, united
from sktransfer.audit.label_errors import confident_disagreement, out_of_fold_probabilities
from sktransfer.datasets import load_digit_images
from sktransfer.preprocessing import Preprocessing


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """40 files of smooth noise, 48 x 40 pixels, and copies of some in several guises."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    paths = []

    def save(image, name, **options):
        image.save(folder / name, **options)
        paths.append(str(folder / name))

    originals = []
    for row in range(40):
        coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8))
        originals.append(coarse.resize((48, 40), Image.Resampling.BICUBIC))
        save(originals[-1], f"{row:02}.png")
    save(originals[3], "40_same_pixels.bmp")
    save(originals[5], "41_again_as_jpeg.jpg", quality=85)
    save(originals[7].resize((40, 33), Image.Resampling.BICUBIC), "42_smaller.png")
    save(originals[9].resize((480, 400)), "43_huge.png")
    save(
        originals[11].convert("CMYK").transpose(Image.Transpose.ROTATE_90),
        "44_cmyk.jpg",
        quality=95,
    )
    (folder / "45_broken.jpg").write_bytes(b"\xff\xd8 and nothing else")
    (folder / "46_empty.png").touch()
    paths += [str(folder / "45_broken.jpg"), str(folder / "46_empty.png")]
    paths.append(paths[13])  # the same file a second time
    return paths


@pytest.fixture(scope="module")
def audit(photos):
    return audit_images(photos, cv=4, backbone="tiny")


def test_a_row_for_each_image_in_the_order_of_x(audit, photos):
    assert audit["path"].tolist() == photos
    assert audit.index.equals(pd.RangeIndex(len(photos)))


def test_a_notebook_shows_what_was_found_and_slices_are_plain_tables(audit):
    html = audit._repr_html_()
    assert "<p>In 48 images:</p><ul><li>2 images that cannot be read</li><li>4 images" in html
    assert "<td>45_broken.jpg</td>" in html
    assert "cannot be read: is a truncated" in html
    assert type(audit.head()) is pd.DataFrame
    assert (
        "Nothing was found in 5 images."
        in audit_images(audit["path"][20:25], backbone="tiny")._repr_html_()
    )


def test_copies_of_the_same_pixels_are_exact_whatever_file_they_are_in(audit):
    exact = audit["exact_group"][audit["exact_group"] >= 0]
    assert exact.to_dict() == {3: 3, 40: 3, 13: 13, 47: 13}


def test_copies_that_were_saved_again_or_resized_are_near(audit):
    near = audit["near_group"][audit["near_group"] >= 0]
    assert near.to_dict() == {3: 3, 40: 3, 13: 13, 47: 13, 5: 5, 41: 5, 7: 7, 42: 7, 9: 9, 43: 9}
    assert audit.loc[[41, 42, 43], "nearest"].tolist() == [5, 7, 9]
    assert (audit.loc[[41, 42, 43], "similarity"] >= audit.attrs["near_threshold"]).all()


def test_groups_keep_copies_in_one_fold_and_leaks_say_that_folds_do_not(audit):
    groups = audit["group"].to_numpy()
    X = np.zeros((len(audit), 1))
    for train, test in GroupKFold(4).split(X, groups=groups):
        assert not set(groups[train]) & set(groups[test])
    expected = np.zeros(len(audit), bool)
    for train, test in KFold(4, shuffle=True, random_state=0).split(X):
        expected[[row for row in test if groups[row] in groups[train]]] = True
    assert expected.any()
    np.testing.assert_array_equal(audit["leaks"], expected)
    assert not expected[audit["near_group"] < 0].any()


def test_splitters_of_ones_own_are_asked(photos):
    contiguous = audit_images(photos, cv=KFold(2), backbone="tiny")["leaks"]
    assert contiguous[contiguous].index.tolist() == [3, 5, 7, 9, 13, 40, 41, 42, 43, 47]


def test_files_that_cannot_be_read_are_named_and_do_not_stop_the_rest(audit):
    problems = audit["problem"][audit["problem"] != ""]
    assert problems.to_dict() == {45: "is a truncated or damaged JPEG", 46: "is an empty file"}
    assert audit.loc[45, ["width", "height", "nearest", "near_group", "group"]].tolist() == [
        0, 0, -1, -1, 45,
    ]  # fmt: skip


def test_sizes_and_modes_unlike_the_others_are_odd(audit):
    assert audit.index[audit["odd_size"]].tolist() == [43]
    assert audit.index[audit["odd_mode"]].tolist() == [44]
    assert audit.loc[44, ["width", "height", "mode", "format"]].tolist() == [40, 48, "CMYK", "JPEG"]


@pytest.mark.parametrize("n", [1, 2])
def test_there_may_be_no_readable_image_at_all(n, photos):
    audit = audit_images([photos[45]] * n, backbone="tiny")
    assert audit["problem"].tolist() == ["is a truncated or damaged JPEG"] * n
    assert audit["group"].tolist() == list(range(n))
    assert not audit[["odd_size", "odd_mode", "leaks", "suspect_label"]].any(axis=None)


def test_a_network_may_have_a_single_stage(photos):
    one = nn.Sequential(nn.Conv2d(3, 16, 7, 4), nn.ReLU())
    one.preprocessing = Preprocessing(32, 32, mean=(0.5,) * 3, std=(0.25,) * 3)
    audit = audit_images(photos[:20] + photos[:1], backbone=one)
    assert audit["nearest"].iloc[20] == 0


def test_a_turned_photograph_has_no_odd_size():
    images = [np.zeros((30, 40), np.uint8)] * 9 + [np.zeros((40, 30), np.uint8)]
    assert not audit_images(images, backbone="tiny")["odd_size"].any()


@pytest.fixture(scope="module")
def mislabelled():
    X, y = load_digit_images(return_X_y=True)
    X, wrong = X[:300].copy(), y[:300].copy()
    rng = np.random.default_rng(0)
    flipped = rng.choice(300, 15, replace=False)
    wrong[flipped] = (wrong[flipped] + rng.integers(1, 10, 15)) % 10
    names = np.array([f"digit {k}" for k in range(10)])
    return X, names[wrong], names[y[:300]], flipped


def test_flipped_labels_are_suspected_and_few_others(mislabelled):
    X, given, true, flipped = mislabelled
    audit = audit_images(X, given, backbone="tiny")
    suspects = np.flatnonzero(audit["suspect_label"])
    found = np.intersect1d(suspects, flipped)
    assert len(found) >= 7
    assert len(suspects) - len(found) <= 8  # of 285
    assert np.mean(audit["suggested_label"][found] == true[found]) > 0.9
    assert audit["suggested_label"][~audit["suspect_label"]].isna().all()
    assert (
        audit.loc[suspects, "suggested_probability"] > audit.loc[suspects, "label_probability"]
    ).all()


def test_a_copy_under_another_label_is_a_conflict_and_does_not_vouch_for_itself():
    X, y = load_digit_images(return_X_y=True)
    X, y = X[:200].copy(), y[:200].copy()
    X[150:160], y[150:160] = X[7], (y[7] + 1) % 10  # ten copies, all with the same wrong label
    audit = audit_images(X, y, backbone="tiny")
    conflicts = audit.index[audit["label_conflict"]].tolist()
    assert conflicts == [7, *range(150, 160)]
    # Had some of the copies been trained on, they would have agreed with the others.
    assert (audit.loc[150:159, "label_probability"] < 0.1).all()


def test_without_labels_nothing_is_said_of_them(photos):
    audit = audit_images(photos[:20], backbone="tiny")
    assert not audit[["suspect_label", "label_conflict"]].any(axis=None)
    assert audit[["label", "suggested_label", "label_probability"]].isna().all(axis=None)


def test_classes_of_one_image_are_not_judged():
    X, _ = load_digit_images(return_X_y=True)
    labels = np.array([*("ab" * 10), "lonely"])
    audit = audit_images(X[:21], labels, backbone="tiny")
    assert np.isnan(audit["label_probability"].iloc[20])
    assert not audit["suspect_label"].iloc[20]
    assert audit["label_probability"].iloc[:20].notna().all()


def test_confident_learning_compares_with_the_mean_of_each_class():
    p = np.array([[0.6, 0.4], [0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.55, 0.45], [np.nan, np.nan]])
    found = confident_disagreement(p, np.array([0, 0, 1, 1, 1, 0]))
    # Means: (.6 + .9) / 2 = .75 for class 0, (.3 + .8 + .45) / 3 = .517 for class 1. Row 2 prefers
    # class 0, though not as confidently as images of that class do.
    assert found.suspect.tolist() == [False] * 6
    p[2] = [0.8, 0.2]
    found = confident_disagreement(p, np.array([0, 0, 1, 1, 1, 0]))
    assert found.suspect.tolist() == [False, False, True, False, False, False]
    assert found.suggested.tolist() == [0, 0, 0, 1, 1, 0]


def test_a_class_that_is_hardly_known_is_not_suggested():
    p = np.array([[0.4, 0.35, 0.25], [0.3, 0.4, 0.3], [0.36, 0.34, 0.3], [0.1, 0.6, 0.3]])
    assert confident_disagreement(p, np.array([0, 1, 2, 2])).suspect.tolist() == [False] * 3 + [
        True
    ]


def test_the_accuracy_of_the_judge_is_told(mislabelled):
    X, given, _, _ = mislabelled
    assert (
        0.85 < audit_images(X, given, backbone="tiny").attrs["label_accuracy"] < 0.95
    )  # 5 % are wrong
    assert np.isnan(audit_images(X[:5], backbone="tiny").attrs["label_accuracy"])


def test_probabilities_come_from_classifiers_that_saw_neither_image_nor_group():
    rng = np.random.default_rng(0)
    F = rng.standard_normal((40, 200)).astype(np.float32)
    F[20:] = F[:20]  # every image twice, and labels that have nothing to do with them
    codes, groups = np.tile(rng.permutation(20) % 2, 2), np.tile(np.arange(20), 2)
    settings = {"n_classes": 2, "cv": 5, "random_state": 0}
    alone = out_of_fold_probabilities(F, codes, np.arange(40), **settings)
    grouped = out_of_fold_probabilities(F, codes, groups, **settings)
    assert np.mean(alone.argmax(1) == codes) > 0.8
    assert np.mean(grouped.argmax(1) == codes) < 0.6


def test_a_threshold_of_ones_own_is_used(photos):
    loose = audit_images(photos[:40], near_threshold=0.2, backbone="tiny")
    assert loose.attrs["near_threshold"] == 0.2
    assert (loose["near_group"] >= 0).sum() > 10
    strict = audit_images(photos, near_threshold=1.0, backbone="tiny")
    assert set(strict.index[strict["near_group"] >= 0]) >= {3, 40, 13, 47}  # exact ones always


def test_the_threshold_follows_the_images_and_not_their_copies():
    rng = np.random.default_rng(0)
    F = rng.standard_normal((100, 40)).astype(np.float32)
    alike = np.hstack([F[:, :10], np.zeros((100, 30), np.float32)])
    assert 0.75 <= nearest_images(F, None).threshold < nearest_images(alike, None).threshold <= 0.98
    # Even if every image has a copy, only copies are found.
    found = nearest_images(np.concatenate([F, F + rng.normal(0, 0.05, F.shape)]), None)
    np.testing.assert_array_equal(found.groups, np.tile(np.arange(100), 2))
    assert near_threshold_of(np.full(29, 0.1)) == 0.95  # of too few images to tell


def test_neighbours_are_those_of_brute_force(monkeypatch):
    monkeypatch.setattr("sktransfer.audit.duplicates._BLOCK", 7)
    F = np.random.default_rng(0).standard_normal((40, 9)).astype(np.float32)
    found = nearest_images(F, 0.6)
    Z = (F - F.mean(0)) / (F.std(0) + 1e-3 * F.std())
    cosines = np.corrcoef(np.hstack([Z, -Z]))  # rows of mean zero: their correlation is the cosine
    np.fill_diagonal(cosines, -2)
    np.testing.assert_array_equal(found.nearest, cosines.argmax(1))
    expected = np.argwhere(np.triu(cosines >= 0.6))
    np.testing.assert_array_equal(found.groups, united(40, expected))
    assert len(np.unique(found.groups)) < 40


def test_many_copies_of_one_image_take_no_memory_for_all_their_pairs(monkeypatch):
    monkeypatch.setattr("sktransfer.audit.duplicates._BLOCK", 16)
    F = np.random.default_rng(0).standard_normal((3000, 4)).astype(np.float32)
    F[100:] = F[0]  # four million pairs, 32 MB for each of their rows and again for each other end
    tracemalloc.start()
    groups = nearest_images(F, 0.999).groups
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (groups == 0).sum() == 2901
    assert peak < 20e6


def test_groups_are_chains_of_pairs():
    assert united(6, np.array([[4, 5], [1, 4], [0, 2]])).tolist() == [0, 1, 0, 3, 1, 1]
    assert united(3, np.empty((0, 2), np.intp)).tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", ["series", "frame", "bytes", "arrays"])
def test_images_may_come_in_any_wrapper(kind, photos):
    def encoded(path):
        return Path(path).read_bytes()

    X = {
        "series": pd.Series(photos, index=np.arange(len(photos))[::-1]),
        "frame": pd.DataFrame({"path": photos}),
        "bytes": [encoded(path) for path in photos],
        "arrays": [np.asarray(Image.open(io.BytesIO(encoded(path))).convert("RGB"))
                   for path in photos[:44]],
    }[kind]  # fmt: skip
    audit = audit_images(X, backbone="tiny")
    assert audit.loc[[3, 40], "exact_group"].tolist() == [3, 3]
    assert audit["path"].notna().all() == (kind in ("series", "frame"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"near_threshold": 1.5}, r"near_threshold=1\.5 must be in \(0, 1\]: it is a cosine"),
        ({"y": [0] * 48}, "y holds a single class, 0"),
        ({"y": [0, 1]}, "inconsistent numbers of samples"),
        ({"cv": 1}, "cv=1 must be at least 2: folds"),
    ],
)
def test_what_cannot_be_audited_is_refused(change, match, photos):
    with pytest.raises(ValueError, match=match):
        audit_images(photos, **change, backbone="tiny")
