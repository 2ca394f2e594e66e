"""`EmbeddingDisplay`: how features lie to each other, flattened to a plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler

from sktransfer.docstrings import documented
from sktransfer.features.pipelines import split_pipeline
from sktransfer.labels import as_label_array, check_lengths
from sktransfer.parameters import check_choice
from sktransfer.plotting.canvas import CYCLE, MARKERS, MUTED, legend_text, plain_text
from sktransfer.plotting.display import Display
from sktransfer.plotting.scoring import is_classification

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

__all__ = ["EmbeddingDisplay"]

_N_BEFORE_TSNE = 50  # principal components, as van der Maaten and Hinton did
_MANY = 20  # classes, from which on names are written on the points instead of into a legend


@documented
class EmbeddingDisplay(Display):
    """Images as points in a plane; near each other where their features are alike.

    Make it with :meth:`from_estimator` or :meth:`from_features`; draw it again with :meth:`plot`.

    Parameters
    ----------
    points : ndarray of shape (n_images, 2)
        NaN for an image without features.
    y : array-like of shape (n_images,), default=None
        Labels or values that give the colours.
    axis_names : tuple of str, default=("", "")
        Names of the axes.

    See Also
    --------
    DomainsDisplay : Two domains, before and after an adaptation.

    Examples
    --------
    >>> from sktransfer import DeepFeatureTransformer
    >>> from sktransfer.datasets import load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> features = DeepFeatureTransformer("tiny")
    >>> display = EmbeddingDisplay.from_estimator(features, X[:50], y[:50])
    >>> display.points.shape
    (50, 2)
    >>> display.axis_names[0]
    'Component 1 (... % of the variance)'
    """

    def __init__(
        self,
        points: NDArray[np.float64],
        *,
        y: ArrayLike | None = None,
        axis_names: tuple[str, str] = ("", ""),
    ) -> None:
        self.points = points
        self.y = None if y is None else as_label_array(y)
        self.axis_names = axis_names

    @classmethod
    def from_estimator(
        cls,
        estimator: object,
        X: object,
        y: ArrayLike | None = None,
        *,
        method: str = "pca",
        random_state: int | None = 0,
        ax: Axes | None = None,
    ) -> EmbeddingDisplay:
        """Draw the features that an estimator works with.

        Parameters
        ----------
        estimator : estimator
            A Pipeline that begins with a :class:`~sktransfer.DeepFeatureTransformer`, whose features
            are taken, or anything with `transform`, such as a tuned network.
        X : images
            Whatever `estimator` takes.
        y : array-like of shape (n_images,), default=None
            Labels or values that give the colours.
        method, random_state, ax
            As in `from_features`.

        Returns
        -------
        EmbeddingDisplay

        Raises
        ------
        TypeError
            If `estimator` has no features.
        """
        features, _ = split_pipeline(estimator)
        maker = estimator if features is None else features
        if not hasattr(maker, "transform"):
            raise TypeError(
                f"estimator is a {type(estimator).__name__}, which has no features to draw. Pass a "
                "Pipeline that begins with a DeepFeatureTransformer, or an estimator with transform."
            )
        values = np.asarray(maker.transform(X))
        return cls.from_features(values, y, method=method, random_state=random_state, ax=ax)

    @classmethod
    def from_features(
        cls,
        features: NDArray[np.generic],
        y: ArrayLike | None = None,
        *,
        method: str = "pca",
        random_state: int | None = 0,
        ax: Axes | None = None,
    ) -> EmbeddingDisplay:
        """Flatten features, each column standardised, to a plane, and draw it.

        Parameters
        ----------
        features : ndarray of shape (n_images, n_features)
            Rows that hold NaN are left out.
        y : array-like of shape (n_images,), default=None
            Labels or values that give the colours.
        method : {"pca", "tsne"}, default="pca"
            "pca" keeps distances as far as two directions can; "tsne" keeps neighbours together
            [1]_, and distances between its groups mean nothing.
        random_state : int or None, default=0
            Seed of "tsne".
        ax : Axes, default=None
            None makes a new figure.

        Returns
        -------
        EmbeddingDisplay

        Raises
        ------
        ValueError
            If there are fewer than three rows, or `method` is unknown.

        References
        ----------
        .. [1] van der Maaten, Hinton, "Visualizing data using t-SNE", JMLR 9, 2008.
        """
        check_choice("method", method, ("pca", "tsne"))
        check_lengths(features=features, y=y)
        usable = np.isfinite(features).all(1)
        if usable.sum() < 3 or features.shape[1] < 2:
            raise ValueError(
                f"features has {usable.sum()} usable rows and {features.shape[1]} columns. A plane "
                "needs three rows and two columns or more."
            )
        scaled = StandardScaler().fit_transform(features[usable].astype(np.float64))
        flat, names = (_by_pca if method == "pca" else _by_tsne)(scaled, random_state)
        points = np.full((len(features), 2), np.nan)
        points[usable] = flat
        return cls(points, y=y, axis_names=names).plot(ax)

    def _height(self) -> float:
        return 4.2

    def _draw(self, ax: Axes) -> None:
        """Draw the points."""
        x, up = self.points.T
        size = float(np.clip(4000 / max(len(x), 1), 8, 36))
        if self.y is None:
            ax.scatter(x, up, s=size, c=MUTED, linewidths=0)
        elif is_classification(self.y):
            self._plot_classes(ax, self.y, size)
        else:
            drawn = ax.scatter(x, up, s=size, c=self.y, cmap="viridis", linewidths=0)
            ax.figure.colorbar(drawn, ax=ax)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.set_xlabel(plain_text(self.axis_names[0]))
        ax.set_ylabel(plain_text(self.axis_names[1]))

    def _plot_classes(self, ax: Axes, y: NDArray[np.generic], size: float) -> None:
        classes = np.unique(y)
        for i, label in enumerate(classes):
            own = self.points[y == label]
            ax.scatter(
                own[:, 0],
                own[:, 1],
                s=size,
                color=CYCLE[i % len(CYCLE)],
                linewidths=0,
                marker=MARKERS[(i + i // len(CYCLE)) % len(MARKERS)],
                label=legend_text(label),
            )
            if len(classes) > _MANY:
                ax.annotate(plain_text(label), np.nanmedian(own, 0), ha="center", fontsize="small")
        if len(classes) <= _MANY:
            legend = ax.legend(
                frameon=False,
                loc="upper center",
                bbox_to_anchor=(0.5, 0),
                borderaxespad=2.2,
                ncols=min(5, len(classes)),
                handletextpad=0.1,
                columnspacing=1,
            )
            for handle in legend.legend_handles:
                handle.set(sizes=[36])  # type: ignore[union-attr] # as large as is legible


def _by_pca(
    scaled: NDArray[np.float64], random_state: int | None
) -> tuple[NDArray[np.float64], tuple[str, str]]:
    pca = PCA(2, random_state=random_state)
    points = pca.fit_transform(scaled)
    first, second = (f"{100 * part:.0f} %" for part in pca.explained_variance_ratio_)
    return points, (f"Component 1 ({first} of the variance)", f"Component 2 ({second})")


def _by_tsne(
    scaled: NDArray[np.float64], random_state: int | None
) -> tuple[NDArray[np.float64], tuple[str, str]]:
    n_kept = min(_N_BEFORE_TSNE, *scaled.shape)
    kept = PCA(n_kept, random_state=random_state).fit_transform(scaled)
    perplexity = min(30.0, (len(kept) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=random_state)
    return tsne.fit_transform(kept).astype(np.float64), ("t-SNE 1", "t-SNE 2")
