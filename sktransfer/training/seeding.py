"""One seed for everything random in a training, and torch's own random numbers left alone."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from sklearn.utils import check_random_state

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["draw_seed", "seeded"]


def draw_seed(random_state: Any) -> int:
    """Draw a seed; the same for the same int.

    Examples
    --------
    >>> draw_seed(0) == draw_seed(0)
    True
    """
    return int(check_random_state(random_state).randint(2**31 - 1))


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Let torch draw from `seed` inside, on the CPU and on one device, and as before afterwards.

    Examples
    --------
    >>> before = torch.get_rng_state()
    >>> with seeded(3, torch.device("cpu")):
    ...     _ = torch.rand(2)
    >>> bool((torch.get_rng_state() == before).all())
    True
    """
    on_gpu = device.type == "cuda"
    devices = [device.index or 0] if on_gpu else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed all GPUs
        if on_gpu:
            with torch.cuda.device(devices[0]):
                torch.cuda.manual_seed(seed)
        yield
