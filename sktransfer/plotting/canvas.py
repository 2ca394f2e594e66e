"""The canvas of every Display: matplotlib when it is needed, axes, and colours for light and dark.

Text takes its colour from matplotlib's settings, so that styles work; marks have colours that are
told apart, also by readers who see fewer colours, on white and on black alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ACCENT", "CYCLE", "MARKERS", "MUTED", "RELATED", "axes_for", "import_matplotlib"]

ACCENT: Final = "#2f7fd6"
"""What to look at first."""
RELATED: Final = "#7fb2ea"
"""What belongs to it."""
MUTED: Final = "#8d949c"
"""The rest."""
CYCLE: Final = (
    ACCENT, "#d9601a", "#149a74", "#cf4f87", "#b8860b", "#8a7be0", "#5a8f29", "#d64545", "#2aa5bd", MUTED,
)  # fmt: skip
"""Colours of classes, of lines."""
MARKERS: Final = "osD^vP*X<>"
"""Their markers."""


def import_matplotlib(needed_by: str) -> Any:
    """Import `matplotlib.pyplot`, or say how to get it.

    Parameters
    ----------
    needed_by : str
        For the message.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as exc:
        raise ImportError(
            f"{needed_by} draws with matplotlib, which is not installed. "
            'Install it with: pip install "sktransfer[plot]".'
        ) from exc
    return plt


def axes_for(
    ax: Axes | None, needed_by: str, *, width: float = 4.8, height: float = 3.4
) -> tuple[Figure, Axes]:
    """Return the axes to draw on, new ones if there are none, with a light frame.

    Parameters
    ----------
    ax : Axes or None
        The user's.
    needed_by : str
        For the message if matplotlib is missing.
    width, height : float
        Of a new figure, in inches. As wide as a phone, so that text stays legible there.
    """
    plt = import_matplotlib(needed_by)
    if ax is None:
        _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    assert ax is not None
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_axisbelow(True)
    return ax.figure, ax  # type: ignore[return-value] # of a subfigure too
