"""Collapse: noticing without target labels that a training has died, and returning to before."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sktransfer.training.callbacks import restore, snapshot

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["CollapseDetector", "Signs"]

_SMOOTHING: Final = 0.95  # of the label loss, from step to step
_LEARNED: Final = 0.5  # of chance: below it the label head has learned something
_LOST: Final = 0.9  # of chance: above it again, it has lost that
_DEAD: Final = 1e-3  # of the deviation that features had at first
_HEALTHY: Final = 1.5  # of the smallest label loss so far: worth returning to
_N_STATES: Final = 40  # in a training


@dataclass(frozen=True)
class Signs:
    """Signs of health of one step.

    Parameters
    ----------
    loss : float
        Sum of all that is minimised.
    label_loss : float
        Label loss of the source.
    deviation : float
        Mean over features of their standard deviation in the batch.
    """

    loss: float
    label_loss: float
    deviation: float


@dataclass
class CollapseDetector:
    """Looks at each step of a training and knows its last good state.

    Collapsed is a training whose loss is no number, whose features are the same for all rows, or
    whose label head has unlearned what it knew: its loss had fallen below half of chance and is
    back above nine tenths of it. No label of the target is looked at.

    Parameters
    ----------
    chance : float
        Label loss of a model that knows only how frequent the classes are.
    n_steps : int
        Steps of the training.
    max_recoveries : int, default=3
        Number of times that it may return to a good state.

    Attributes
    ----------
    n_recoveries : int
        Number of times that it has.
    strength : float
        Factor of lambda and rates: halved at each recovery.
    """

    chance: float
    n_steps: int
    max_recoveries: int = 3
    n_recoveries: int = 0
    strength: float = 1.0
    _smooth: float = math.nan
    _best: float = math.inf
    _first_deviation: float = math.nan
    _states: list[dict[str, Any]] = field(default_factory=list)

    @property
    def has_given_up(self) -> bool:
        """Whether the training has collapsed too often to go on."""
        return self.n_recoveries > self.max_recoveries

    def problem(self, signs: Signs) -> str | None:
        """Take in a step; say in words what has collapsed, if anything has."""
        if not math.isfinite(signs.loss):
            return f"the loss became {signs.loss}"
        if math.isnan(self._first_deviation):
            self._first_deviation, self._smooth = signs.deviation, signs.label_loss
        self._smooth = _SMOOTHING * self._smooth + (1 - _SMOOTHING) * signs.label_loss
        self._best = min(self._best, self._smooth)
        if signs.deviation <= _DEAD * self._first_deviation:
            return "the features became the same for all rows"
        if self._best < _LEARNED * self.chance and self._smooth > _LOST * self.chance:
            return "the label loss went back to chance"
        return None

    def is_due(self, step: int) -> bool:
        """Tell whether the state after this step should be kept, if it is good."""
        every = max(1, self.n_steps // _N_STATES)
        return step % every == 0 and (step == 0 or self._smooth <= _HEALTHY * self._best)

    def keep(self, network: nn.Module, optimizers: list[torch.optim.Optimizer]) -> None:
        """Remember a state. Two are kept, because the youngest may already be on its way down."""
        state = {
            "network": _everything(network, optimizers),
            "optimizers": [copy.deepcopy(optimizer.state_dict()) for optimizer in optimizers],
            "smooth": self._smooth,
            "best": self._best,
        }
        self._states = [*self._states[-1:], state]

    def recover(self, network: nn.Module, optimizers: list[torch.optim.Optimizer]) -> bool:
        """Go back to the older good state, with half the strength.

        Returns
        -------
        bool
            Whether training should go on. False after `max_recoveries`.
        """
        state = self._states[0]
        restore(network, state["network"])
        for optimizer, own in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(copy.deepcopy(own))
        self._smooth, self._best = state["smooth"], state["best"]
        self._states = [state]
        self.n_recoveries += 1
        self.strength /= 2
        return not self.has_given_up


def _everything(network: nn.Module, optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Copy all that the optimisers can change, and all buffers."""
    states = [snapshot(network, optimizer) for optimizer in optimizers]
    return {name: value for state in states for name, value in state.items()}
