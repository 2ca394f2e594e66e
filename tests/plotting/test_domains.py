import numpy as np
import pytest
from sklearn.preprocessing import FunctionTransformer

from sktransfer import DomainsDisplay, proxy_a_distance


@pytest.fixture
def halves():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 4)), rng.normal(loc=[5, 0, 0, 0], size=(30, 4))


def test_both_domains_are_drawn_before_and_after_with_their_distance(halves):
    hides = FunctionTransformer(lambda X: X[:, 1:])  # the column that tells the domain
    display = DomainsDisplay.from_estimator(hides, *halves)
    assert display.distances == (
        proxy_a_distance(None, *halves),
        proxy_a_distance(hides, *halves),
    )
    assert display.distances[0] > 1.8 > 0.8 > display.distances[1]
    for name, distance, ax in zip(
        ("before", "after"), display.distances, display.axes_, strict=True
    ):
        assert ax.get_title() == f"{name}, A-distance {distance:.2f}"
        drawn = sorted(len(points.get_offsets()) for points in ax.collections)
        assert drawn == [30, 40]


def test_it_can_be_drawn_again_on_given_axes(halves):
    import matplotlib.pyplot as plt

    display = DomainsDisplay.from_estimator(FunctionTransformer(), *halves)
    _, axes = plt.subplots(1, 2)
    assert display.plot(axes) is display
    assert list(display.axes_) == list(axes)
    assert display.figure_ is axes[0].figure
    plt.close("all")


def test_what_came_before_may_be_another_model(halves):
    scaled = FunctionTransformer(lambda X: X * [0, 1, 1, 1])
    display = DomainsDisplay.from_estimator(scaled, *halves, before=scaled, method="tsne")
    assert display.distances[0] == display.distances[1]
