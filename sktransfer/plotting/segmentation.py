"""`SegmentationDisplay`: images under the masks that an estimator predicts, beside the true ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.docstrings import documented
from sktransfer.images import as_image_sequence
from sktransfer.plotting.canvas import CYCLE, legend_text
from sktransfer.plotting.display import Display
from sktransfer.segmentation.mask_labels import as_labels, classes_of
from sktransfer.segmentation.masks import as_mask_sequence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from sktransfer.segmentation.masks import MaskSequence

__all__ = ["SegmentationDisplay"]

_WIDTH = 4.8  # inches of a figure, as of every display
_TITLE, _LEGEND = 0.25, 0.5  # inches above a row, and below all
_OPACITY = 0.6


@documented
class SegmentationDisplay(Display):
    """Images, each under its predicted mask and, if there is one, under its true mask.

    Make it with :meth:`from_estimator` or :meth:`from_predictions`; draw it again with :meth:`plot`.
    Pixels that count nowhere stay as they are.

    Parameters
    ----------
    images : sequence of ndarray of shape (height, width, 3), dtype uint8
        The images.
    predicted : sequence of ndarray of shape (height, width)
        Predicted labels, each in the size of its image.
    true : sequence of ndarray of shape (height, width) or None, default=None
        True labels.
    unlabeled : label or sequence of labels, default=-1
        Labels that count nowhere.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        All labels that are drawn, sorted.
    axes_ : ndarray of Axes of shape (n_rows, n_images)
        A row of images, one of predicted masks, and one of true masks if there are such.

    See Also
    --------
    FineTuneSegmenter : Predicts masks.
    find_regions : Boxes and areas of the objects in masks.

    Examples
    --------
    >>> from sktransfer import FineTuneSegmenter
    >>> from sktransfer.datasets import load_digit_masks
    >>> data = load_digit_masks()
    >>> model = FineTuneSegmenter("tiny", strategy="frozen", max_epochs=1, random_state=0)
    >>> model = model.fit(data.X[:16], data.y[:16])
    >>> display = SegmentationDisplay.from_estimator(model, data.X[16:19], data.y[16:19])
    >>> display.axes_.shape
    (3, 3)
    """

    classes_: NDArray[np.generic]
    axes_: NDArray[np.object_]

    def __init__(
        self,
        images: Sequence[NDArray[np.uint8]],
        predicted: Sequence[NDArray[np.generic]],
        true: Sequence[NDArray[np.generic]] | None = None,
        *,
        unlabeled: object = -1,
    ) -> None:
        self.images = images
        self.predicted = predicted
        self.true = true
        self.unlabeled = unlabeled

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: object, y: object = None, *, ax: Axes | None = None
    ) -> SegmentationDisplay:
        """Predict the masks of some images and draw them.

        Parameters
        ----------
        estimator : estimator of masks
            A fitted :class:`~sktransfer.FineTuneSegmenter` or :class:`~sktransfer.PixelClassifier`.
        X : images
            Some images, as in its `predict`; all are drawn beside each other.
        y : masks, default=None
            Their true masks.
        ax : Axes, default=None
            Axes inside which to draw; None makes a new figure.

        Returns
        -------
        SegmentationDisplay
        """
        unlabeled = getattr(estimator, "unlabeled", -1)
        return cls.from_predictions(X, estimator.predict(X), y, unlabeled=unlabeled, ax=ax)

    @classmethod
    def from_predictions(
        cls,
        X: object,
        predicted: object,
        y: object = None,
        *,
        unlabeled: object = -1,
        ax: Axes | None = None,
    ) -> SegmentationDisplay:
        """Draw masks that have been predicted.

        Parameters
        ----------
        X : images
            Some images; all are drawn beside each other.
        predicted : masks
            Labels of their pixels, as `predict` returns them.
        y : masks, default=None
            Their true masks.
        unlabeled : label or sequence of labels, default=-1
            Labels that count nowhere.
        ax : Axes, default=None
            Axes inside which to draw; None makes a new figure.

        Returns
        -------
        SegmentationDisplay

        Raises
        ------
        ValueError
            If there are more or fewer masks than images, or a mask has another size than its image.
        """
        sequence = as_image_sequence(X)
        images = [np.asarray(sequence.load(row)) for row in range(len(sequence))]
        masks = _read(as_mask_sequence(predicted, name="predicted"), images, "predicted")
        true = None if y is None else _read(as_mask_sequence(y), images, "y")
        return cls(images, masks, true, unlabeled=unlabeled).plot(ax)

    def _height(self) -> float:
        tallest = max(pixels.shape[0] / pixels.shape[1] for pixels in self.images)
        row: float = _WIDTH / len(self.images) * min(tallest, 2.0) + _TITLE
        return row * (2 + (self.true is not None)) + _LEGEND

    def _draw(self, ax: Axes) -> None:
        left_out = as_labels(self.unlabeled)
        self.classes_ = classes_of([*self.predicted, *(self.true or [])], left_out)
        rows = [("image", None), ("predicted", self.predicted)]
        rows += [] if self.true is None else [("true", self.true)]
        ax.set_axis_off()
        grid = ax.get_subplotspec()
        assert grid is not None
        n_rows, n_images = len(rows), len(self.images)
        high = (self._height() - _LEGEND) / n_rows
        inner = grid.subgridspec(
            n_rows + 1,
            n_images,
            wspace=0.05,
            hspace=0.05,
            height_ratios=[high] * n_rows + [_LEGEND],
        )
        figure = ax.get_figure()
        assert figure is not None  # axes that have a place in a grid have a figure
        self.axes_ = np.array(
            [
                [figure.add_subplot(inner[row, column]) for column in range(n_images)]
                for row in range(n_rows)
            ]
        )
        for (name, masks), axes in zip(rows, self.axes_, strict=True):
            axes[0].set_title(name, loc="left", fontsize="small")
            for column, (one, pixels) in enumerate(zip(axes, self.images, strict=True)):
                one.set_axis_off()
                one.imshow(pixels if masks is None else self._over(pixels, masks[column]))
        for label, color in zip(self.classes_.tolist(), self._colors(), strict=True):
            ax.plot([], [], "s", color=color, mew=0, ms=8, label=legend_text(label))
        ax.legend(
            loc="lower center",
            borderaxespad=0,
            ncols=min(6, len(self.classes_)),
            frameon=False,
            fontsize="small",
            handletextpad=0.1,
            columnspacing=1,
        )

    def _over(self, pixels: NDArray[np.uint8], mask: NDArray[np.generic]) -> NDArray[np.uint8]:
        """Lay the colours of a mask over a grey version of its image."""
        grey = pixels @ np.array([0.299, 0.587, 0.114])  # luma of ITU-R BT.601
        shown = pixels.astype(np.float64)
        from matplotlib.colors import to_rgb  # matplotlib is optional

        for label, color in zip(self.classes_, self._colors(), strict=True):
            inside = mask == label
            tint = 255 * np.array(to_rgb(color))
            shown[inside] = (1 - _OPACITY) * grey[inside, None] + _OPACITY * tint
        return np.rint(shown).astype(np.uint8)

    def _colors(self) -> list[str]:
        return [CYCLE[i % len(CYCLE)] for i in range(len(self.classes_))]


def _read(
    masks: MaskSequence, images: Sequence[NDArray[np.uint8]], name: str
) -> list[NDArray[np.generic]]:
    if len(masks) != len(images):
        raise ValueError(f"X has {len(images)} images and {name} {len(masks)} masks. Pass as many.")
    found = [masks.read(row) for row in range(len(masks))]
    for row, (mask, pixels) in enumerate(zip(found, images, strict=True)):
        if mask.shape != pixels.shape[:2]:
            raise ValueError(
                f"mask {row} of {name} has {mask.shape[0]} x {mask.shape[1]} pixels (height x width), "
                f"and its image {pixels.shape[0]} x {pixels.shape[1]}. Pass masks in the size of their "
                "images."
            )
    return found
