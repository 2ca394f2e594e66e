"""What is told of an export: how near the file comes to the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ExportReport"]


@dataclass(frozen=True)
class ExportReport:
    """An exported model, and how it compared with the model itself.

    Parameters
    ----------
    path : Path
        The file.
    outputs : tuple of str
        Names of the graph's outputs.
    max_difference : float
        Largest absolute difference from the model in float32, of any number in the last output:
        of probabilities as they are, of anything else relative to the largest value.
    agreement : float
        Share of the images that were checked whose label is the same, or of their pixels; 1 where
        there are no labels.
    n_checked : int
        Number of the images that were checked.
    bytes : int
        Size of the file.
    opset : int
        Version of ONNX's operators.
    max_levels : int, default=0
        Largest difference of a resized pixel from Pillow's, in grey levels.

    See Also
    --------
    export_onnx : Makes it.

    Examples
    --------
    >>> from pathlib import Path
    >>> report = ExportReport(Path("model.onnx"), ("label", "probabilities"), 1e-6, 1.0, 5, 100, 18)
    >>> report.outputs[-1]
    'probabilities'
    """

    path: Path
    outputs: tuple[str, ...]
    max_difference: float
    agreement: float
    n_checked: int
    bytes: int
    opset: int
    max_levels: int = 0
