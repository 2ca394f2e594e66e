"""What can be wrong with an image, before anybody knows which image it is."""

from __future__ import annotations

__all__ = ["Unusable"]


class Unusable(Exception):  # noqa: N818 - never leaves the package: the caller adds row and path
    """An image cannot be used; `problem` completes "image 3 ...", `remedy` is what to do.

    Parameters
    ----------
    problem : str
        The end of a sentence whose subject is the image, without a full stop.
    remedy : str
        A request, without a full stop.
    """

    def __init__(self, problem: str, remedy: str = "Replace the file") -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy
