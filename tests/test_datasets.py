import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer.datasets import load_digit_domains, load_digit_images


@pytest.fixture(scope="module")
def domains():
    return load_digit_domains()


def _rows(X):
    return X.reshape(len(X), -1) / 255.0


def test_digit_images_are_all_of_scikit_learns_digits_as_full_range_bytes():
    digits = load_digit_images()
    assert digits.X.shape == (1797, 8, 8)
    assert digits.X.dtype == np.uint8
    assert (digits.X.min(), digits.X.max()) == (0, 255)
    np.testing.assert_allclose(digits.X / 255, load_digits().images / 16, atol=0.5 / 255)
    np.testing.assert_array_equal(digits.y, load_digits().target)
    assert digits.target_names.tolist() == list(range(10))
    assert "load_digits" in digits.DESCR


def test_digit_images_as_a_pair_are_the_bunchs_entries():
    X, y = load_digit_images(return_X_y=True)
    digits = load_digit_images()
    np.testing.assert_array_equal(X, digits.X)
    np.testing.assert_array_equal(y, digits.y)


def test_domains_have_the_promised_shapes_and_types(domains):
    n_source, n_target = len(domains.y_source), len(domains.y_target)
    assert {n_source, n_target} == {898, 899}
    assert domains.X.shape == (1797, 32, 32, 3)
    assert domains.X_source.shape == (n_source, 32, 32, 3)
    assert domains.X_target.shape == (n_target, 32, 32, 3)
    assert {domains[name].dtype for name in ("X", "X_source", "X_target")} == {np.dtype("uint8")}
    names = ("y", "y_source", "y_target", "sample_domain")
    assert {domains[name].dtype for name in names} == {np.dtype("int64")}


def test_target_rows_come_last_marked_by_a_negative_domain_and_without_labels(domains):
    n_source = len(domains.y_source)
    np.testing.assert_array_equal(domains.X[:n_source], domains.X_source)
    np.testing.assert_array_equal(domains.X[n_source:], domains.X_target)
    np.testing.assert_array_equal(domains.y[:n_source], domains.y_source)
    assert set(domains.sample_domain[:n_source]) == {1}
    assert set(domains.sample_domain[n_source:]) == {-2}
    assert set(domains.y[n_source:]) == {-1}
    assert set(domains.y_target) == set(range(10))


def test_both_domains_have_the_same_share_of_each_class(domains):
    counts = np.bincount(domains.y_source) - np.bincount(domains.y_target)
    assert np.abs(counts).max() <= 1


def test_source_is_grey_and_dark_while_target_is_coloured(domains):
    source, target = domains.X_source.astype(float), domains.X_target.astype(float)
    assert np.ptp(source, axis=-1).max() == 0
    assert np.ptp(target, axis=-1).mean() > 20
    assert 50 < source.mean() < 100  # 4.88 of 16 in the originals
    assert 80 < target.mean() < 150


def test_no_digit_is_in_both_domains(monkeypatch):
    # Black photographs leave |0 - digit| = digit, so the target shows its digits as they are.
    black = [np.zeros((40, 40, 3), dtype=np.uint8)]
    monkeypatch.setattr(
        "sktransfer.datasets.load_sample_images", lambda: type("Photos", (), {"images": black})
    )
    domains = load_digit_domains()
    source = {image.tobytes() for image in domains.X_source}
    target = {image.tobytes() for image in domains.X_target}
    assert not source & target
    assert len(source) + len(target) == len(np.unique(load_digits().data, axis=0))


def test_target_is_the_absolute_difference_of_patch_and_digit(monkeypatch):
    # Over a white photograph the digit appears inverted: |255 - digit|.
    def domains_over(value):
        photos = [np.full((40, 40, 3), value, dtype=np.uint8)]
        monkeypatch.setattr(
            "sktransfer.datasets.load_sample_images", lambda: type("Photos", (), {"images": photos})
        )
        return load_digit_domains().X_target

    digits = domains_over(0)
    np.testing.assert_array_equal(domains_over(255), 255 - digits)
    np.testing.assert_array_equal(domains_over(100), np.abs(100 - digits.astype(int)))


def test_the_same_seed_gives_the_same_domains_and_another_seed_others(domains):
    again, other = load_digit_domains(random_state=0), load_digit_domains(random_state=1)
    np.testing.assert_array_equal(again.X, domains.X)
    np.testing.assert_array_equal(again.y_target, domains.y_target)
    assert (other.X != domains.X).mean() > 0.3


def test_loading_leaves_numpys_global_generator_alone_and_shares_no_memory(domains):
    before = np.random.get_state()[1].tolist()  # noqa: NPY002 - the global state is the point
    again = load_digit_domains()
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    again.X[:] = 0
    np.testing.assert_array_equal(load_digit_domains().X, domains.X)


def test_a_linear_model_of_the_source_does_clearly_worse_on_target_than_one_of_the_target(domains):
    X_fit, X_score, y_fit, y_score = train_test_split(
        _rows(domains.X_target), domains.y_target, stratify=domains.y_target, random_state=0
    )
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.001, max_iter=1000))
    from_source = linear.fit(_rows(domains.X_source), domains.y_source).score(X_score, y_score)
    from_target = linear.fit(X_fit, y_fit).score(X_score, y_score)
    assert from_target > from_source + 0.1
