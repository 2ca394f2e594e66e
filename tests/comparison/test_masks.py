import numpy as np
import pytest
from PIL import Image

from sktransfer import FineTuneSegmenter, MaskScorer, compare_strategies
from sktransfer.comparison.mask_candidates import holds_masks
from sktransfer.datasets import load_digit_masks


@pytest.fixture(scope="module")
def data():
    return load_digit_masks()


def test_masks_as_y_compare_strategies_for_pixels(data, tmp_path):
    y = data.y[:14].astype(np.int64)
    found = compare_strategies(
        data.X[:14], y, cv=2, max_epochs=1, scoring=MaskScorer(), backbone="tiny"
    )
    strategies = ["features", "frozen", "full", "partial", "raw pixels", "scratch"]
    assert sorted(found.results_["strategy"]) == strategies
    assert found.results_["error"].eq("").all()
    assert found.results_["score_mean"].between(0, 1).all()
    assert found.best_estimator_.predict(data.X[:2]).shape == (2, 64, 64)
    page = found.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "raw pixels + random forest" in page


def test_unlabeled_pixels_count_in_no_score(data):
    y = np.where(data.y[:12] == 3, 255, data.y[:12])
    found = compare_strategies(
        data.X[:12], y, cv=2, unlabeled=255, candidates=["features + logistic regression"],
        backbone="tiny",
    )  # fmt: skip
    assert found.best_estimator_.classes_.tolist() == [0, 1, 2]


def test_a_comparison_of_paths_of_masks_goes_on_where_it_was_unless_a_mask_changes(data, tmp_path):
    paths = [str(tmp_path / f"{row}.png") for row in range(8)]
    for row, path in enumerate(paths):
        Image.fromarray(data.y[row]).save(path)

    def score():
        found = compare_strategies(
            data.X[:8], paths, cv=2, groups=[0, 0, 0, 1, 1, 0, 1, 1], resume=tmp_path / "kept",
            candidates=["features + logistic regression"], backbone="tiny",
        )  # fmt: skip
        return found.results_["score_mean"][0]

    first, files = score(), len(list((tmp_path / "kept" / "results").iterdir()))
    assert score() == first
    assert len(list((tmp_path / "kept" / "results").iterdir())) == files
    Image.fromarray(np.where(data.y[0] > 0, 0, data.y[0])).save(paths[0])
    assert score() != first


def test_masks_and_labels_are_told_apart(data):
    assert holds_masks(list(data.y[:2]))
    assert holds_masks(data.y[0:1].tolist())
    assert not holds_masks(["ant", "bee"])
    assert not holds_masks([[0], [1]])


def test_a_target_domain_is_refused_for_masks(data):
    with pytest.raises(ValueError, match="X_target and y_target are not possible with masks"):
        compare_strategies(data.X[:4], data.y[:4], X_target=data.X[4:6])


def test_candidates_of_ones_own_label_pixels(data):
    own = {"own": FineTuneSegmenter("tiny", strategy="frozen", head="fcn8s", max_epochs=1)}
    found = compare_strategies(data.X[:14], data.y[:14], cv=2, candidates=own)
    assert found.results_["strategy"].tolist() == ["frozen"]
