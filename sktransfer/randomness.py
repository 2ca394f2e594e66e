"""Random numbers of our own, where a library draws from the generators of the whole process.

Dropout, the first weights of a layer, and a user's augmentation draw from generators that every
thread shares. Whoever needs them here lends them a state of its own, for as long as it draws and
under one lock, and gives back the state that was there.
"""

from __future__ import annotations

import os
import random
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.utils import check_random_state

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RandomStream", "draw_seed", "seeded", "seeded_everywhere"]

_LOCK = threading.RLock()
if hasattr(os, "register_at_fork"):  # a child must not find the lock held by a thread it lacks
    os.register_at_fork(
        before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release
    )


def draw_seed(random_state: object) -> int:
    """Draw a seed; the same for the same int.

    Parameters
    ----------
    random_state : int, RandomState or None
        scikit-learn's parameter of this name.

    Examples
    --------
    >>> draw_seed(0) == draw_seed(0)
    True
    """
    return int(check_random_state(random_state).randint(2**31 - 1))


class RandomStream:
    """A sequence of torch's random numbers that only its own users advance.

    Parameters
    ----------
    seed : int
        Start of the sequence.
    device : torch.device
        Device whose numbers belong to the stream, beside those of the CPU.

    Examples
    --------
    >>> before = torch.get_rng_state()
    >>> stream = RandomStream(3, torch.device("cpu"))
    >>> with stream.lent():
    ...     first = torch.rand(2)
    >>> with stream.lent():
    ...     second = torch.rand(2)
    >>> bool(first.equal(second)), bool((torch.get_rng_state() == before).all())
    (False, True)
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._device = device
        self._states = {"cpu": torch.Generator().manual_seed(seed).get_state()}
        if device.type == "cuda":
            self._states["cuda"] = torch.Generator(device).manual_seed(seed).get_state()
        if device.type == "mps":
            self._states["mps"] = torch.Generator("mps").manual_seed(seed).get_state()

    @property
    def states(self) -> dict[str, torch.Tensor]:
        """Place in the sequence, for each kind of device; one that was kept can be set again."""
        return self._states

    @states.setter
    def states(self, states: dict[str, torch.Tensor]) -> None:
        self._states = dict(states)

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Let torch draw from this stream inside, and from its own generators afterwards."""
        with _LOCK:
            theirs = self._current()
            self._install(self._states)
            try:
                yield
            finally:
                self._states = self._current()
                self._install(theirs)

    def _current(self) -> dict[str, torch.Tensor]:
        states = {"cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self._device)
        if self._device.type == "mps":
            states["mps"] = torch.mps.get_rng_state()
        return states

    def _install(self, states: dict[str, torch.Tensor]) -> None:
        torch.set_rng_state(states["cpu"])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(states["cuda"], self._device)
        if self._device.type == "mps":
            torch.mps.set_rng_state(states["mps"])


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Let torch draw from `seed` inside, on the CPU and on one device, and as before afterwards.

    Parameters
    ----------
    seed : int
        Start of the sequence.
    device : torch.device, optional
        Device whose numbers are seeded beside those of the CPU.

    Examples
    --------
    >>> before = torch.get_rng_state()
    >>> with seeded(3):
    ...     _ = torch.rand(2)
    >>> bool((torch.get_rng_state() == before).all())
    True
    """
    with RandomStream(seed, device or torch.device("cpu")).lent():
        yield


@contextmanager
def seeded_everywhere(seed: int) -> Iterator[None]:
    """Let torch, NumPy and Python's `random` draw from `seed` inside, and as before afterwards.

    For functions of the user, which may draw from any of the three.
    """
    with _LOCK:
        of_numpy, of_python = np.random.get_state(), random.getstate()  # noqa: NPY002 - the user's
        try:
            np.random.seed(seed)  # noqa: NPY002
            random.seed(seed)
            with seeded(seed):
                yield
        finally:
            np.random.set_state(of_numpy)  # noqa: NPY002
            random.setstate(of_python)
