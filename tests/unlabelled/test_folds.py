"""Folds over labelled rows, in which unlabelled rows train and are never scored."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    LeaveOneOut,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline

from sktransfer import DeepFeatureTransformer, LabeledFold, NeighborSelfTrainingClassifier

Y = np.array([0, 1, -1, 0, 1, -1, 0, 1, -1, 0, 1])
X = np.zeros((len(Y), 1))


def test_every_labelled_row_is_scored_once_and_unlabelled_rows_train_in_every_fold():
    folds = list(LabeledFold(2, random_state=0).split(X, Y))
    assert np.sort(np.concatenate([test for _, test in folds])).tolist() == [
        0, 1, 3, 4, 6, 7, 9, 10
    ]  # fmt: skip
    for train, test in folds:
        assert {2, 5, 8} <= set(train)
        assert not set(train) & set(test)
        assert len(train) + len(test) == len(Y)
        assert np.bincount(Y[test]).tolist() == [2, 2]


def test_without_unlabelled_rows_folds_are_those_of_the_splitter():
    labelled = Y[Y >= 0]
    splitter = StratifiedKFold(4, shuffle=True, random_state=3)
    for (train, test), (same_train, same_test) in zip(
        LabeledFold(splitter).split(X[Y >= 0], labelled),
        splitter.split(X[Y >= 0], labelled),
        strict=True,
    ):
        assert train.tolist() == same_train.tolist()
        assert test.tolist() == same_test.tolist()


@pytest.mark.parametrize(
    ("labels", "unlabeled"),
    [
        (np.where(Y < 0, "?", "y"), "?"),
        (pd.Series(np.where(Y < 0, None, "y"), index=Y + 5), None),
        (np.where(Y < 0, np.nan, 1.0), np.nan),
    ],
    ids=["text", "None", "NaN"],
)
def test_rows_without_a_label_are_marked_as_the_user_likes(labels, unlabeled):
    (train, test), _ = LabeledFold(2, unlabeled=unlabeled, random_state=0).split(X, labels)
    assert {2, 5, 8} <= set(train)
    assert not {2, 5, 8} & set(test)


def test_groups_that_are_scored_train_nowhere():
    groups = np.arange(len(Y)) // 3
    for train, test in LabeledFold(GroupKFold(2)).split(X, Y, groups):
        assert not set(groups[train]) & set(groups[test])


def test_the_number_of_folds_is_that_of_the_labelled_rows():
    assert LabeledFold(3).get_n_splits() == 3
    assert LabeledFold(LeaveOneOut()).get_n_splits(X, Y) == 8


def test_no_label_at_all_is_refused():
    with pytest.raises(ValueError, match="all 11 rows are unlabeled=-1"):
        next(LabeledFold(2).split(X, np.full(11, -1)))


def test_a_search_scores_labelled_rows_only_and_sends_each_image_through_once(
    digits, batches_run, empty_caches
):
    rows = np.flatnonzero(digits.y < 3)[:90]
    images, y = digits.X[rows], np.where(np.arange(90) % 3, -1, digits.y[rows])
    pipeline = make_pipeline(
        DeepFeatureTransformer("tiny"), NeighborSelfTrainingClassifier(n_neighbors=5)
    )
    search = GridSearchCV(
        pipeline,
        {"neighborselftrainingclassifier__n_neighbors": [5, 10]},
        cv=LabeledFold(3, random_state=0),
        scoring="accuracy",
        error_score="raise",
    ).fit(images, y)
    assert sum(batches_run) == 90
    assert search.best_score_ > 0.8
    alone = cross_val_score(
        make_pipeline(DeepFeatureTransformer("tiny"), LogisticRegression(max_iter=500)),
        images[y >= 0],
        y[y >= 0],
        cv=3,
    )
    assert search.best_score_ > alone.mean() - 0.1
