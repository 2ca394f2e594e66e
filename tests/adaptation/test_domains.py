import numpy as np
import pandas as pd
import pytest

from sktransfer.adaptation.domains import split_domains


@pytest.mark.parametrize(
    ("y", "unlabeled"),
    [
        ([3, -1, 7, -1], -1),
        ([-1, 0, 4, 0], 0),
        ([3.0, np.nan, 7.0, np.nan], np.nan),
        (["a", "?", "b", "?"], "?"),
        (np.array(["a", None, "b", None], dtype=object), None),
        (["a", -1, "b", -1], -1),
        (pd.Series(["a", "", "b", ""], index=[9, 8, 7, 6]), ""),
    ],
)
def test_any_sentinel_of_any_type_marks_the_target(y, unlabeled):
    domains = split_domains(y, unlabeled=unlabeled)
    np.testing.assert_array_equal(domains.is_source, [True, False, True, False])
    assert len(np.unique(domains.source_labels)) == 2
    assert list(domains.names) == [1, -2]


def test_numbers_of_domains_say_what_is_source_and_target_labels_are_not_read():
    domains = split_domains([0, 1, 5, -1], sample_domain=[0, 2, -3, -1])
    np.testing.assert_array_equal(domains.source_labels, [0, 1])
    assert list(domains.names) == [0, 2, -3, -1]


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        ([0, 1, 1], {}, r"y has no target row among 3: none is labelled -1\."),
        ([-1, -1], {}, r"y has no source row among 2: none is not labelled -1\."),
        (np.array(["a", "-1"]), {}, r"y holds the text '-1', .* pass unlabeled='-1'\."),
        ([0, 1], {"sample_domain": [1, 1]}, r"sample_domain has no target row among 2"),
        ([0, 1], {"sample_domain": [-1, -1]}, r"sample_domain has no source row among 2"),
        ([0, -1, 1], {"sample_domain": [1, 1, -1]}, r"in 1 rows of a source .* row 1\)\. Give"),
        ([0, 1], {"sample_domain": [0.5, -1]}, r"must hold whole numbers"),
        ([0, 1], {"sample_domain": [1, -1, 2]}, r"inconsistent numbers of samples"),
        ([0.5, 1.7, -1], {}, r"Unknown label type"),
    ],
)
def test_what_cannot_be_told_apart_is_an_error(y, options, message):
    with pytest.raises(ValueError, match=message):
        split_domains(y, **options)
