"""The time that a comparison may take, and what its candidates are expected to cost."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING

from sktransfer.comparison.candidates import strategy_of, student_of
from sktransfer.standings import SIMPLE_FIRST
from sktransfer.unlabelled.passes import n_passes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sktransfer.comparison.candidates import Candidate

__all__ = ["Budget", "cheap_first", "expected_fit_seconds"]

# Cost of one image in one epoch of training, in passes of one image through the network as features
# are computed. Of MobileNetV2 and 244 photographs it was .5 for "partial" and 3 for "full". Of the bundled
# network it was .2 for "distilled" with 100 photographs, most of whose pass is decoding, and .6 with 500
# small images. What would end a little late is better begun than left out.
_PASSES = {"partial": 0.5, "distilled": 0.3, "adaptation": 1.0, "scratch": 3.0, "full": 3.0}


@dataclass(frozen=True)
class Budget:
    """The seconds that a comparison may take, from now on.

    Parameters
    ----------
    limit_s : float or None
        None sets no limit.

    Raises
    ------
    ValueError
        If the limit is not above zero.
    """

    limit_s: float | None
    started: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        if self.limit_s is None:
            return
        if isinstance(self.limit_s, bool) or not isinstance(self.limit_s, Real):
            raise TypeError(
                f"time_limit={self.limit_s!r} must be a number of seconds. Pass None for no limit."
            )
        if not self.limit_s > 0:
            raise ValueError(
                f"time_limit={self.limit_s!r} must be above zero, in seconds. Pass None for no limit."
            )

    @property
    def deadline(self) -> float | None:
        """Moment at which no further fit begins, in seconds as of `time.time`; None without a limit."""
        return None if self.limit_s is None else self.started + self.limit_s

    def is_over(self) -> bool:
        """Tell whether the time has run out."""
        return self.deadline is not None and time.time() > self.deadline

    def leaves(self, seconds: float) -> bool:
        """Tell whether so many seconds are left."""
        return self.deadline is None or time.time() + seconds <= self.deadline


def cheap_first(candidates: Mapping[str, Candidate]) -> list[str]:
    """Order the names of candidates by what their strategy costs; of equals, the first."""
    return sorted(
        candidates, key=lambda name: SIMPLE_FIRST.index(strategy_of(candidates[name].estimator))
    )


def expected_fit_seconds(estimator: Any, n_images: float, seconds_per_image: float) -> float:
    """Estimate how long all cores need for one fit of a candidate.

    Parameters
    ----------
    estimator : estimator
        Candidate, with the parameters of its setting.
    n_images : float
        Images that it is fitted on.
    seconds_per_image : float
        Time of one image in the one pass through the network; 0 if there was none.

    Returns
    -------
    float
        0 for what trains no stage of a network.

    Examples
    --------
    >>> from sktransfer import FineTuneClassifier
    >>> full = FineTuneClassifier("tiny", strategy="full", max_epochs=10)
    >>> round(expected_fit_seconds(full, 100, 0.01))
    30
    """
    passes = _PASSES.get(strategy_of(estimator), 0.0)
    student = student_of(estimator)
    epochs = getattr(estimator, "max_epochs", 0) if student is None else student.max_epochs
    if epochs == "auto":
        epochs = n_passes(round(n_images))
    return passes * n_images * seconds_per_image * (epochs if isinstance(epochs, int) else 0)
