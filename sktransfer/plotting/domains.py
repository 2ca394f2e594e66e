"""`DomainsDisplay`: how the features of two domains lie to each other, before and after an adaptation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.adaptation.distance import proxy_a_distance
from sktransfer.plotting.canvas import import_matplotlib
from sktransfer.plotting.embedding import EmbeddingDisplay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["DomainsDisplay"]


class DomainsDisplay:
    """Two planes of points, coloured by domain: features before an adaptation and after it.

    Make it with :meth:`from_estimator`; draw it again with :meth:`plot`. Above each plane stands the
    proxy A-distance of the domains: 2 where a linear classifier tells them apart without error, 0
    where it cannot.

    Parameters
    ----------
    before, after : EmbeddingDisplay
        Embeddings of the same images, labelled "source" and "target".
    distances : tuple of float
        Proxy A-distance of both, see :func:`~sktransfer.proxy_a_distance`.

    Attributes
    ----------
    axes_ : ndarray of shape (2,), dtype object
        Axes that it was drawn on last.
    figure_ : Figure
        To which `axes_` belong.

    See Also
    --------
    DANNClassifier : What brings the domains together.
    proxy_a_distance : The distance above each plane.

    Examples
    --------
    >>> from sktransfer import DANNClassifier
    >>> rng = np.random.default_rng(0)
    >>> source, target = rng.normal(size=(60, 5)), rng.normal(loc=3, size=(60, 5))
    >>> model = DANNClassifier(None, bottleneck=8, domain_head=(8,), random_state=0)
    >>> model = model.fit(source, source[:, 0] > 0, X_target=target)
    >>> display = DomainsDisplay.from_estimator(model, source, target)
    >>> [axes.get_title()[:6] for axes in display.axes_]
    ['before', 'after,']
    """

    axes_: NDArray[np.object_]
    figure_: Figure

    def __init__(
        self, before: EmbeddingDisplay, after: EmbeddingDisplay, *, distances: tuple[float, float]
    ) -> None:
        self.before = before
        self.after = after
        self.distances = distances

    @classmethod
    def from_estimator(
        cls,
        estimator: object,
        X_source: Any,
        X_target: Any,
        *,
        before: Any = None,
        method: str = "pca",
        random_state: int | None = 0,
        axes: Sequence[Axes] | None = None,
    ) -> DomainsDisplay:
        """Draw what an adapted model has made of two domains.

        Parameters
        ----------
        estimator : estimator
            Fitted, with `transform`, such as a :class:`~sktransfer.DANNClassifier`.
        X_source, X_target : images, or arrays of shape (n_rows, n_features)
            At least four rows of each.
        before : estimator or None, default=None
            Estimator whose features are drawn beside: a :class:`~sktransfer.DeepFeatureTransformer`, or the
            same model fitted with ``lambda_max=0``. None takes the numbers of `X_source` and
            `X_target`, flattened, which then have to be arrays.
        method : {"pca", "tsne"}, default="pca"
            As in :meth:`EmbeddingDisplay.from_features`.
        random_state : int or None, default=0
            Seed of "tsne" and of the distance.
        axes : sequence of two Axes, default=None
            None makes a new figure.

        Returns
        -------
        DomainsDisplay

        Raises
        ------
        ValueError
            If there are fewer than four rows of a domain.
        """
        names = np.repeat(["source", "target"], [len(X_source), len(X_target)])
        canvas = _two_axes(axes)
        displays, distances = [], []
        for maker, ax in zip((before, estimator), canvas, strict=True):
            pair = [_features(maker, X) for X in (X_source, X_target)]
            distances.append(proxy_a_distance(None, *pair, random_state=random_state))
            plane = EmbeddingDisplay.from_features(
                np.concatenate(pair), names, method=method, random_state=random_state, ax=ax
            )
            displays.append(plane)
        return cls(*displays, distances=(distances[0], distances[1]))._titled(canvas)

    def plot(self, axes: Sequence[Axes] | None = None) -> DomainsDisplay:
        """Draw both planes.

        Parameters
        ----------
        axes : sequence of two Axes, default=None
            None makes a new figure.

        Returns
        -------
        DomainsDisplay
            Itself.
        """
        canvas = _two_axes(axes)
        for display, ax in zip((self.before, self.after), canvas, strict=True):
            display.plot(ax)
        return self._titled(canvas)

    def _titled(self, canvas: NDArray[np.object_]) -> DomainsDisplay:
        for name, distance, ax in zip(("before", "after"), self.distances, canvas, strict=True):
            ax.set_title(f"{name}, A-distance {distance:.2f}")
        self.axes_, self.figure_ = canvas, canvas[0].figure
        return self


def _two_axes(axes: Sequence[Axes] | None) -> NDArray[np.object_]:
    if axes is None:
        plt = import_matplotlib()
        _, axes = plt.subplots(1, 2, figsize=(8.4, 4.2), layout="constrained")
    return np.asarray(axes, dtype=object)


def _features(maker: Any, X: Any) -> NDArray[np.generic]:
    values = X if maker is None else maker.transform(X)
    flat: NDArray[np.generic] = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    return flat
