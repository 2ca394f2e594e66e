import numpy as np
import pytest

from sktransfer import DeepFeatureTransformer
from sktransfer.adaptation.distance import proxy_a_distance
from sktransfer.datasets import load_digit_domains


def gauss(n_rows, shift=0.0, seed=0):
    return np.random.default_rng(seed).normal(size=(n_rows, 5)) + shift


def test_the_distance_is_small_for_one_domain_and_two_for_domains_that_are_far_apart():
    assert proxy_a_distance(None, gauss(200), gauss(200, seed=1)) < 0.3
    assert proxy_a_distance(None, gauss(200), gauss(200, 5.0, seed=1)) == 2.0


def test_the_distance_grows_with_the_shift():
    distances = [
        proxy_a_distance(None, gauss(200), gauss(200, shift, 1)) for shift in (0, 0.3, 1, 3)
    ]
    assert distances == sorted(distances)
    assert len(set(distances)) == 4


def test_a_majority_of_one_domain_is_no_distance():
    # A classifier that always says "source" is right for 90 % of the rows and knows nothing.
    assert proxy_a_distance(None, gauss(450), gauss(50, seed=1)) < 0.4


def test_the_features_are_those_of_the_estimator():
    domains = load_digit_domains()
    features = DeepFeatureTransformer("tiny")
    given = proxy_a_distance(features, domains.X_source[:40], domains.X_target[:40])
    own = proxy_a_distance(
        None,
        features.transform(domains.X_source[:40]),
        features.transform(domains.X_target[:40]),
    )
    assert given == own > 1.5


def test_three_rows_are_too_few():
    with pytest.raises(ValueError, match=r"X_source has 3 rows and X_target 10\. .* Pass more"):
        proxy_a_distance(None, gauss(3), gauss(10))
