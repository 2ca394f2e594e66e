"""The schedule: what the rates are multiplied with at each step of the optimiser."""

from __future__ import annotations

import math
from typing import Final, Literal, TypeAlias, get_args

__all__ = ["SCHEDULES", "Schedule", "rate_factor"]

Schedule: TypeAlias = Literal["cosine", "constant"]

SCHEDULES: Final[tuple[Schedule, ...]] = get_args(Schedule)

_RAMP = 0.05  # part of all steps in which rates rise from zero


def rate_factor(schedule: str, step: int, n_steps: int, start: int = 0) -> float:
    """Compute the factor for one group of parameters.

    Parameters
    ----------
    schedule : {"cosine", "constant"}
        "cosine" rises linearly over the first twentieth of the steps and then falls to zero by half
        a cosine [1]_.
    step : int
        Counts from 0.
    n_steps : int
        Number of steps of the whole training.
    start : int, default=0
        The step at which these parameters begin to train. They rise from there and then join the
        common curve, so that what has been learned before is not torn down.

    References
    ----------
    .. [1] Loshchilov, Hutter, "SGDR: Stochastic gradient descent with warm restarts", ICLR 2017,
       equation 5, without restarts.

    Examples
    --------
    >>> [round(rate_factor("cosine", step, 100), 2) for step in (0, 4, 5, 50, 99)]
    [0.2, 1.0, 1.0, 0.54, 0.0]
    """
    if schedule == "constant":
        return 1.0
    ramp = max(1, math.ceil(_RAMP * n_steps))
    rise = min(1.0, (step - start + 1) / ramp)
    done = max(0, step - ramp) / max(1, n_steps - ramp)
    return rise * 0.5 * (1 + math.cos(math.pi * done))
