"""The range test: raise the rate from step to step, and read off one that works."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.training.batches import Batches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sktransfer.training.batches import TrainingRows

__all__ = ["RangeTest", "range_test"]

_SMOOTHING = 0.9
_DIVERGED = 3.0  # times the smallest loss
_FEWEST = 10  # steps before a loss can count as diverged


@dataclass(frozen=True, eq=False)
class RangeTest:
    """What a range test [1]_ has found.

    Parameters
    ----------
    suggestion : float
        A value for `lr`: where the loss fell fastest over the logarithm of the rate.
    rates : ndarray of shape (n_steps,), dtype float64
        Rates of the head, step by step, up to where the loss diverged.
    losses : ndarray of shape (n_steps,), dtype float64
        Smoothed training losses.

    References
    ----------
    .. [1] Smith, "Cyclical learning rates for training neural networks", WACV 2017, section 3.3.
    """

    suggestion: float
    rates: NDArray[np.float64]
    losses: NDArray[np.float64]


def range_test(
    net: Any, rows: TrainingRows, seed: int, lr_min: float, lr_max: float, n_steps: int
) -> RangeTest:
    """Train a net, which is spoilt by it, with rates that rise geometrically.

    Parameters
    ----------
    net : TransferNet
        Initialised.
    rows : TrainingRows
        To train on.
    seed : int
        Seed of the order of the rows.
    lr_min, lr_max : float
        First and last rate of the head; other groups keep their proportion to it.
    n_steps : int
        Most steps.

    Raises
    ------
    ValueError
        If the rates do not rise, or there are too few steps.
    """
    import torch

    if not 0 < lr_min < lr_max < math.inf:
        raise ValueError(
            f"lr_min={lr_min!r} and lr_max={lr_max!r} must be two rates, the first one smaller."
        )
    if n_steps < 2 * _FEWEST:
        raise ValueError(f"n_steps={n_steps!r} must be at least {2 * _FEWEST} to show a curve.")
    groups = net.optimizer_.param_groups
    proportions = [group["lr"] / net.lr for group in groups]
    batches = Batches(
        rows,
        net.batch_size,
        shuffle=True,
        generator=torch.Generator().manual_seed(seed),
        augmentation=net.get_params_for("iterator_train").get("augmentation"),
        device=torch.device(net.device),
    )
    rates: list[float] = []
    losses: list[float] = []
    average, batch_iterator = 0.0, iter(batches)
    for step in range(n_steps):
        rate = lr_min * (lr_max / lr_min) ** (step / (n_steps - 1))
        for group, proportion in zip(groups, proportions, strict=True):
            group["lr"] = rate * proportion
        batch = next(batch_iterator, None)
        if batch is None:
            batch_iterator = iter(batches)
            batch = next(batch_iterator)
        loss = _step(net, batch)
        average = _SMOOTHING * average + (1 - _SMOOTHING) * loss
        smooth = average / (1 - _SMOOTHING ** (step + 1))
        if not math.isfinite(loss) or (step > _FEWEST and smooth > _DIVERGED * min(losses)):
            break
        rates.append(rate)
        losses.append(smooth)
    return RangeTest(_steepest(rates, losses), np.array(rates), np.array(losses))


def _step(net: Any, batch: Any) -> float:
    """Take one step of the optimiser; the loss before it, which may be NaN."""
    network = net.module_.train()
    inputs, target = batch
    net.optimizer_.zero_grad()
    loss = net.get_loss(net.infer(inputs), target, X=inputs)
    loss.backward()
    net.optimizer_.step()
    del network
    return float(loss.item())


def _steepest(rates: list[float], losses: list[float]) -> float:
    """Find where the loss falls fastest, before its minimum."""
    lowest = int(np.argmin(losses))
    if lowest < 2:
        return rates[max(lowest - 1, 0)]
    slopes = np.gradient(np.array(losses[: lowest + 1]), np.log(rates[: lowest + 1]))
    return rates[int(np.argmin(slopes))]
