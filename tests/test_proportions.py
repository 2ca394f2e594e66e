"""Intervals of shares that were counted."""

import numpy as np
import pytest

from sktransfer.proportions import mean_share_interval, wilson_interval


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (79, 80), (80, 80), (3, 7), (2.5, 6)])
def test_an_interval_holds_the_share_and_stays_within_0_and_1(hits, n):
    low, high = wilson_interval(hits, n)
    assert 0 <= low <= hits / n <= high + 1e-12 <= 1 + 1e-9
    assert high - low > 0.01


def test_wilson_covers_as_often_as_it_says():
    n, share = 40, 0.9
    hits = np.random.default_rng(0).binomial(n, share, size=2000)
    bounds = {k: wilson_interval(k, n) for k in np.unique(hits)}
    covered = np.mean([bounds[k][0] <= share <= bounds[k][1] for k in hits])
    assert 0.93 <= covered <= 0.98


def test_the_interval_of_no_image_is_unknown():
    assert np.isnan(wilson_interval(0, 0)).all()


def test_the_mean_over_classes_is_as_unsure_as_its_smallest_class():
    low, high = mean_share_interval([40, 5], [40, 5])
    few = high - low
    low, high = mean_share_interval([40, 40], [40, 40])
    assert high - low < 0.3 * few
    assert high <= 1
    covered = []
    rng = np.random.default_rng(1)
    for _ in range(200):
        low, high = mean_share_interval(rng.binomial([60, 15], [0.95, 0.7]), [60, 15])
        covered.append(low <= 0.825 <= high)
    assert 0.91 <= np.mean(covered) <= 0.99
