"""The canvas of every Display: matplotlib when it is needed, axes, and colours for light and dark.

Text takes its colour from matplotlib's settings, so that styles work; marks have colours that are
told apart, also by readers who see fewer colours, on white and on black alike, with a contrast of three at
least to either page (WCAG 2.1, 1.4.11).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sktransfer.readable import readable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "ACCENT",
    "CYCLE",
    "MARKERS",
    "MUTED",
    "RELATED",
    "axes_for",
    "import_matplotlib",
    "legend_text",
    "plain_text",
]

ACCENT: Final = "#1f6fc4"
"""What to look at first."""
RELATED: Final = "#5794d6"
"""What belongs to it."""
MUTED: Final = "#858c94"
"""The rest."""
CYCLE: Final = (
    ACCENT, "#d9601a", "#149a74", "#cf4f87", "#b8860b", "#8a7be0", "#5a8f29", "#d64545", "#2197ae", MUTED,
)  # fmt: skip
"""Colours of classes, of lines."""
MARKERS: Final = "osD^vP*X<>"
"""Their markers."""

_LONGEST_TEXT = 48  # characters; names of classes and candidates beyond that leave no room to draw


def import_matplotlib() -> Any:
    """Import `matplotlib.pyplot` when something is drawn, not before: it takes a second."""
    import matplotlib.pyplot as plt

    return plt


def plain_text(text: object) -> str:
    r"""Return text that matplotlib draws as it is: no formula, no line end, not endlessly long.

    Examples
    --------
    >>> print(plain_text("$5 to $10"))
    \$5 to \$10
    """
    shown = readable(text)
    short = shown if len(shown) <= _LONGEST_TEXT else f"{shown[: _LONGEST_TEXT - 1]}…"
    return short.replace("$", r"\$")


def legend_text(text: object) -> str:
    """Return text for a legend, which leaves out what is empty or begins with an underscore."""
    shown = plain_text(text)
    return f" {shown}" if not shown or shown.startswith("_") else shown


def axes_for(ax: Axes | None, *, width: float = 4.8, height: float = 3.4) -> tuple[Figure, Axes]:
    """Return the axes to draw on, new ones if there are none, with a light frame.

    Parameters
    ----------
    ax : Axes or None
        The user's.
    width, height : float
        Size of a new figure, in inches. As wide as a phone, so that text stays legible there.
    """
    plt = import_matplotlib()
    if ax is None:
        _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    assert ax is not None
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_axisbelow(True)
    return ax.figure, ax  # type: ignore[return-value] # of a subfigure too
