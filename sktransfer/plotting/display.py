"""`Display`: a plot that was made of something once, and can be drawn again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sktransfer.plotting.canvas import axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Self

__all__ = ["Display"]


class Display:
    """Draws itself on one pair of axes; its subclasses say what is drawn.

    Attributes
    ----------
    ax_ : Axes
        Axes of the last drawing.
    figure_ : Figure
        Figure to which `ax_` belongs.
    """

    ax_: Axes
    figure_: Figure

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw it, on a new figure or on axes that are there.

        Parameters
        ----------
        ax : Axes, default=None
            Axes to draw on; None makes a new figure.

        Returns
        -------
        Display
            The display itself.
        """
        self.figure_, self.ax_ = axes_for(ax, height=self._height())
        self._draw(self.ax_)
        return self

    def _height(self) -> float:
        """Return the height of a new figure, in inches."""
        return 3.4

    def _draw(self, ax: Axes) -> None:
        raise NotImplementedError
