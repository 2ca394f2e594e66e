"""`SaliencyDisplay`: images beside where an estimator sees what it decides by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.plotting.canvas import import_matplotlib, plain_text
from sktransfer.plotting.overlay import overlays
from sktransfer.saliency import saliency_maps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from numpy.typing import ArrayLike, NDArray

    from sktransfer.saliency import SaliencyMaps

__all__ = ["SaliencyDisplay"]

_COLUMNS = 4
_CELL = 1.5  # inches


class SaliencyDisplay:
    """Images, and below each a map of what speaks for its class (orange) and against it (blue).

    Make it with :meth:`from_estimator`; draw it again with :meth:`plot`.

    Parameters
    ----------
    saliency : SaliencyMaps
        As :func:`~sktransfer.saliency_maps` returns it.
    y : array-like of shape (n_images,), default=None
        True labels, to be shown where they differ from the class of the map.

    Attributes
    ----------
    ax_ : Axes
        Inside which it was drawn last.
    axes_ : ndarray of Axes of shape (n_rows, n_columns)
        Rows of images and rows of maps in turn; without images at the end of the last.
    figure_ : Figure
        To which `ax_` belongs.

    See Also
    --------
    saliency_maps : The maps as arrays.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sktransfer import DeepFeatureTransformer
    >>> from sktransfer.datasets import load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> model = make_pipeline(DeepFeatureTransformer("tiny"), LogisticRegression(max_iter=500))
    >>> display = SaliencyDisplay.from_estimator(model.fit(X[:100], y[:100]), X[100:104])
    >>> display.axes_.shape
    (2, 4)
    """

    ax_: Axes
    axes_: NDArray[Any]
    figure_: Figure | SubFigure

    def __init__(self, saliency: SaliencyMaps, *, y: ArrayLike | None = None) -> None:
        self.saliency = saliency
        self.y = y

    @classmethod
    def from_estimator(
        cls,
        estimator: object,
        X: object,
        y: ArrayLike | None = None,
        *,
        target: object = None,
        method: str = "auto",
        n_cells: int = 8,
        ax: Axes | None = None,
    ) -> SaliencyDisplay:
        """Compute the maps of some images and draw them.

        Parameters
        ----------
        estimator, X, target, method, n_cells
            As in :func:`~sktransfer.saliency_maps`.
        y : array-like of shape (n_images,), default=None
            True labels.
        ax : Axes, default=None
            Inside which to draw; None makes a new figure.

        Returns
        -------
        SaliencyDisplay
        """
        found = saliency_maps(estimator, X, target=target, method=method, n_cells=n_cells)
        return cls(found, y=y).plot(ax)

    def plot(self, ax: Axes | None = None) -> SaliencyDisplay:
        """Draw the images and their maps, four beside each other.

        Parameters
        ----------
        ax : Axes, default=None
            Inside which to draw; None makes a new figure.

        Returns
        -------
        SaliencyDisplay
            Itself.
        """
        plt = import_matplotlib()
        n_columns = min(_COLUMNS, len(self.saliency))
        n_rows = 2 * -(-len(self.saliency) // n_columns)
        if ax is None:
            size = (_CELL * n_columns, _CELL * n_rows + 0.25 * n_rows)
            _, ax = plt.subplots(figsize=size, layout="constrained")
        assert ax is not None
        ax.set_axis_off()
        grid = ax.get_subplotspec()
        assert grid is not None
        inner = grid.subgridspec(n_rows, n_columns, wspace=0.05, hspace=0.05)
        self.ax_, self.figure_ = ax, ax.figure
        self.axes_ = inner.subplots()  # type: ignore[assignment] # two rows at least
        self.axes_ = np.reshape(self.axes_, (n_rows, n_columns))
        for one in self.axes_.flat:
            one.set_axis_off()
        shown = overlays(self.saliency)
        for i in range(len(self.saliency)):
            row, column = 2 * (i // n_columns), i % n_columns
            self.axes_[row, column].imshow(self.saliency.pixels[i])
            self.axes_[row, column].set_title(plain_text(self._title(i)), fontsize="small")
            self.axes_[row + 1, column].imshow(shown[i])
        return self

    def _title(self, i: int) -> str:
        said = self.saliency.targets[i]
        if self.y is None:
            return f"{said} ({self.saliency.values[i]:.2g})"
        true = np.asarray(self.y)[i]
        return f"{said}" if true == said else f"{said}, is {true}"
