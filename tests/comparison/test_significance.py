import numpy as np
import pytest
from scipy import stats

from sktransfer.comparison import corrected_paired_ttest


def test_without_test_images_it_is_the_plain_paired_t_test():
    differences = np.random.default_rng(0).normal(0.3, 1, 12)
    expected = stats.ttest_1samp(differences, 0).pvalue
    assert corrected_paired_ttest(differences, n_train=1, n_test=0) == pytest.approx(expected)


def test_the_formula_of_the_paper_by_hand():
    # Ten folds of nine tenths: the variance is widened from 1/10 to 1/10 + 1/9.
    differences = np.array([3, 1, 2, 2, 4, 0, 1, 3, 2, 2]) / 100
    t = differences.mean() / np.sqrt((1 / 10 + 1 / 9) * differences.var(ddof=1))
    expected = 2 * stats.t.sf(t, 9)
    found = corrected_paired_ttest(differences, n_train=90, n_test=10)
    assert found == pytest.approx(expected)
    assert found > stats.ttest_1samp(differences, 0).pvalue


def test_it_finds_no_difference_between_equals_more_often_than_it_says():
    # Ten repetitions of two folds of the same 40 rows: the plain test is wrong most of the time.
    rng = np.random.default_rng(0)
    plain = corrected = 0
    for _ in range(200):
        gain = rng.normal(size=40)  # of one candidate over the other, image by image: none
        halves = [rng.permutation(40).reshape(2, 20) for _ in range(10)]
        differences = [gain[half].mean() for pair in halves for half in pair]
        differences += rng.normal(scale=1e-3, size=20)
        corrected += corrected_paired_ttest(differences, n_train=20, n_test=20) < 0.05
        plain += stats.ttest_1samp(differences, 0).pvalue < 0.05
    assert plain > 0.2 * 200
    assert corrected < 0.1 * 200


def test_the_sign_of_the_differences_plays_no_part():
    d = np.array([0.1, 0.3, -0.1, 0.2])
    there, back = (corrected_paired_ttest(s * d, n_train=3, n_test=1) for s in (1, -1))
    assert there == back


def test_equal_scores_are_certainly_no_difference_and_a_constant_one_certainly_is():
    assert corrected_paired_ttest([0, 0, 0], n_train=2, n_test=1) == 1
    assert corrected_paired_ttest([0.25, 0.25], n_train=2, n_test=1) == 0


def test_a_single_fold_tells_nothing():
    assert np.isnan(corrected_paired_ttest([0.2], n_train=2, n_test=1))


@pytest.mark.parametrize("differences", [[], [[0.1, 0.2]], 0.3])
def test_what_is_no_list_of_numbers_is_refused(differences):
    with pytest.raises(ValueError, match="must be a list of numbers, one for each fold"):
        corrected_paired_ttest(differences, n_train=2, n_test=1)
